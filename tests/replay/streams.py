"""Random streams of tiny time steps, and the slow twin of the ring: a plain list of what can be sampled."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from envs.timestep import TimeStep
from replay.transition import FrameBatch, Transition


@dataclass
class Stream:
    """B emulators whose frames are numbered pixels, so that no two frames of a stream are equal.

    fill: what the older frames of an episode's first stack hold: zeros, copies of the first, or noise.
    """

    seed: int
    batch: int
    stack: int = 4
    side: int = 3
    fill: str = "zeros"
    ends: float = 0.15
    lives: float = 0.1
    cuts: float = 0.1
    tag: int = 0
    now: TimeStep = field(init=False)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        self.count = 0
        zero = np.zeros(self.batch, np.float32)
        stacks = np.stack([self._reset() for _ in range(self.batch)])
        self.now = TimeStep(stacks, zero, zero + 1, np.ones(self.batch, np.bool_))

    def step(self) -> tuple[TimeStep, np.ndarray, TimeStep]:
        """now, action, following; `now` moves on."""
        action = self.rng.integers(0, 18, self.batch)
        first, discount = np.zeros(self.batch, np.bool_), np.ones(self.batch, np.float32)
        observation = np.empty_like(self.now.observation)
        for b, u in enumerate(self.rng.random(self.batch)):
            ended, cut = u < self.ends, self.ends <= u < self.ends + self.cuts
            died = self.ends + self.cuts <= u < self.ends + self.cuts + self.lives
            first[b] = ended or cut
            discount[b] = 0.0 if ended or died else 1.0
            old = self.now.observation[b]
            observation[b] = self._reset() if first[b] else np.concatenate([old[1:], self._frame()[None]])
        reward = self.rng.integers(-3, 4, self.batch).astype(np.float32)
        before, self.now = self.now, TimeStep(observation, reward, discount, first)
        return before, action, self.now

    def _frame(self) -> np.ndarray:
        self.count += 1
        frame = np.full((self.side, self.side), self.tag, np.uint8)
        frame.flat[1:4] = self.count % 251 + 1, self.count // 251 % 256, self.count // 64256
        return frame

    def _reset(self) -> np.ndarray:
        newest = self._frame()
        if self.fill == "copies":
            return np.repeat(newest[None], self.stack, axis=0)
        older = np.zeros((self.stack - 1, self.side, self.side), np.uint8)
        if self.fill == "noise" and self.rng.random() < 0.7:
            older = self.rng.integers(0, 256, older.shape).astype(np.uint8)
        return np.concatenate([older, newest[None]])


Key = tuple[bytes, int, float, float, bytes]


class Twin:
    """Full stacks in a list; windows by walking."""

    def __init__(self, capacity: int, n_step: int, gamma: float) -> None:
        self.capacity, self.n_step, self.gamma = capacity, n_step, gamma
        self.rows: list[tuple[int, TimeStep, np.ndarray, TimeStep]] = []

    def add(self, time: int, now: TimeStep, action: np.ndarray, following: TimeStep) -> None:
        copy = TimeStep(now.observation.copy(), now.reward, now.discount, now.first)
        self.rows.append((time, copy, action.copy(), following))
        self.rows = self.rows[-(self.capacity // len(action)) :]

    def drop(self, count: int) -> None:
        """Forget all but the newest `count` rows."""
        self.rows = self.rows[len(self.rows) - count :]

    def valid(self) -> list[Key]:
        """Every transition that can be sampled."""
        batch = len(self.rows[0][2]) if self.rows else 0
        keys = [self._window(i, b) for i in range(len(self.rows)) for b in range(batch)]
        return [key for key in keys if key is not None]

    def _window(self, i: int, b: int) -> Key | None:
        state, action = self.rows[i][1].observation[b], int(self.rows[i][2][b])
        total = 0.0
        for k in range(self.n_step):
            time, now, _, following = self.rows[i + k]
            has_next = i + k + 1 < len(self.rows)
            terminal = following.discount[b] == 0
            seam = has_next and self.rows[i + k + 1][0] != time + 1
            if following.interrupted[b] or (seam and not terminal):
                end = now.observation[b]
                return None if k == 0 else self._key(state, action, total, self.gamma**k, end)
            if not terminal and not has_next:
                return None
            total += self.gamma**k * float(following.reward[b])
            if terminal:
                return self._key(state, action, total, 0.0, state)
        end = self.rows[i + self.n_step][1].observation[b]
        return self._key(state, action, total, self.gamma**self.n_step, end)

    @staticmethod
    def _key(state: np.ndarray, action: int, reward: float, discount: float, end: np.ndarray) -> Key:
        return state.tobytes(), action, round(reward, 4), round(discount, 4), end.tobytes()


def keys(batch: Transition | FrameBatch) -> list[Key]:
    """A minibatch in the twin's form."""
    batch = batch.stacked() if isinstance(batch, FrameBatch) else batch
    return [
        (
            batch.observation[i].numpy().tobytes(),
            int(batch.action[i]),
            round(float(batch.reward[i]), 4),
            round(float(batch.discount[i]), 4),
            batch.next_observation[i].numpy().tobytes(),
        )
        for i in range(len(batch))
    ]


def equal(a: Transition, b: Transition) -> bool:
    """Bit for bit."""
    names = ("observation", "action", "reward", "discount", "next_observation")
    return all(getattr(a, name).equal(getattr(b, name)) for name in names)
