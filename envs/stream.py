"""The stream of games: B emulators whose game is replaced from time to time without a word.

Durations are in environment frames over all B emulators.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.schedule import Schedule, whole_steps
from envs.states import tensor
from envs.timestep import EmulatorBatch, TimeStep


class GameStream:
    """Plays a schedule's visits one after the other, each on freshly seeded emulators.

    The step with which a visit's frames are used up (the first that reaches them) still carries out its
    action in the old game: its reward and discount are the old game's, but its observation is the new game's
    first one, with `first` true everywhere, so that it is `interrupted` unless the old game ended on it. The
    same happens every `reseed_frames` within a visit, which bounds how much a resume has to emulate again.

    `final_observation` is, after a step, what `EmulatorBatch.final_observation` is, and shows the last observation of
    episodes that were cut off by this as well.

    schedule       which game, and for how many frames
    make_batch     (game, seed) -> emulators of that game, not yet started; always of the same count
    seed           of the whole stream; the emulators' seeds are a function of it, the visit and the re-seed
    reseed_frames  environment frames after which the emulators are seeded anew within a visit
    """

    def __init__(
        self,
        schedule: Schedule,
        make_batch: Callable[[str, int], EmulatorBatch],
        seed: int,
        reseed_frames: int,
    ) -> None:
        self.schedule = schedule
        self.make_batch = make_batch
        self.seed = seed
        self.reseed_frames = reseed_frames
        self.visit = 0
        self._current = schedule.visit(0)
        self.frames = 0
        self.visit_start = 0
        self._reseed = 0
        self._reseed_start = 0
        self._batch: EmulatorBatch | None = None
        self._now: TimeStep | None = None
        self.final_observation: NDArray[np.uint8] | None = None

    @property
    def now(self) -> TimeStep:
        """The latest time step; RuntimeError before `start` or `load_state_dict`."""
        if self._now is None:
            raise RuntimeError("the stream has not been started: call start() or load_state_dict() first")
        return self._now

    @property
    def label(self) -> str:
        """The game of `now`'s observation. For logs, evaluation and the agents that are told."""
        return self._current.game

    @property
    def left(self) -> str:
        """The game of the visit before the present one; of the first visit there is none, and this is not asked for."""
        return self.schedule.visit(self.visit - 1).game

    @property
    def cut(self) -> bool:
        """Whether `now` begins a freshly seeded batch: a new visit, a re-seed, or the start."""
        return self._reseed_start == self.frames

    def start(self) -> TimeStep:
        """Begin visit 0, at frame 0."""
        self.close()
        self.visit = self.frames = self.visit_start = self._reseed = self._reseed_start = 0
        self._current = self.schedule.visit(0)
        self._batch = self._made()
        self._now = self._batch.reset()
        self.final_observation = None
        return self._now

    def send(self, action: NDArray[Any]) -> None:
        """Begin one step with an integer action [B]; the emulators work until `receive`."""
        self._running().send(action)

    def receive(self) -> TimeStep:
        """The time step that the sent action led to, the first of other emulators where these were due."""
        batch = self._running()
        following = batch.receive()
        step = batch.frames_per_step
        self.frames += step
        visit_over = self.frames - self.visit_start >= whole_steps(self._current.frames, step)
        if visit_over:
            self.visit += 1
            self._current = self.schedule.visit(self.visit)
            self.visit_start = self.frames
            self._reseed = 0
        elif self.frames - self._reseed_start >= whole_steps(self.reseed_frames, step):
            self._reseed += 1
        else:
            self._now = following
            self.final_observation = batch.final_observation
            return following
        self.final_observation = _cut_short(following, batch.final_observation)
        self._reseed_start = self.frames
        batch.close()
        self._batch = self._made()
        self._now = _spliced(following.reward, following.discount, self._batch.reset())
        return self._now

    def step(self, action: NDArray[Any]) -> TimeStep:
        self.send(action)
        return self.receive()

    def state_dict(self) -> dict[str, Any]:
        """Where in the schedule, the emulators' state, and the reward and discount of `now`, which may be
        another game's. RuntimeError between send and receive."""
        return {
            "seed": self.seed,
            "game": self.label,
            "visit": self.visit,
            "frames": self.frames,
            "visit_start": self.visit_start,
            "reseed": self._reseed,
            "reseed_start": self._reseed_start,
            "batch": self._running().state_dict(),
            "reward": tensor(self.now.reward),
            "discount": tensor(self.now.discount),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue exactly where `state` was taken, re-emulating what the emulators need. ValueError if the
        schedule has another game at this visit."""
        self.close()
        scheduled = self.schedule.visit(state["visit"]).game
        if scheduled != state["game"]:
            raise ValueError(
                f"the stream was saved in visit {state['visit']} to {state['game']}, but this schedule has "
                f"{scheduled} there; resume with the schedule that it was saved with."
            )
        self.seed = state["seed"]
        self.visit, self.visit_start = state["visit"], state["visit_start"]
        self._current = self.schedule.visit(self.visit)
        self.frames = state["frames"]
        self._reseed, self._reseed_start = state["reseed"], state["reseed_start"]
        self._batch = self._made()
        self._batch.load_state_dict(state["batch"])
        reward, discount = (state[name].numpy().copy() for name in ("reward", "discount"))
        self._now = _spliced(reward, discount, self._batch.now)

    def close(self) -> None:
        """Stop the emulators; closing twice is harmless."""
        if self._batch is not None:
            self._batch.close()
        self._batch = None
        self._now = None

    def _made(self) -> EmulatorBatch:
        return self.make_batch(self.label, emulator_seed(self.seed, self.visit, self._reseed))

    def _running(self) -> EmulatorBatch:
        if self._batch is None:
            raise RuntimeError("the stream has not been started: call start() or load_state_dict() first")
        return self._batch


def emulator_seed(seed: int, visit: int, reseed: int) -> int:
    """A seed of 31 bits, a function of the stream's seed, the visit's number and the re-seed's within it."""
    return int(np.random.SeedSequence([seed, visit, reseed]).generate_state(1)[0]) >> 1


def _cut_short(last: TimeStep, ended: NDArray[np.uint8] | None) -> NDArray[np.uint8]:
    """The last observations of emulators that are replaced after `last`, whether their episodes `ended` or not."""
    return last.observation if ended is None else np.where(last.first[:, None, None, None], ended, last.observation)


def _spliced(reward: NDArray[np.float32], discount: NDArray[np.float32], begun: TimeStep) -> TimeStep:
    """What the last action earned, with what the emulators that go on show."""
    return TimeStep(begun.observation, reward, discount, begun.first)
