"""Plays whole episodes with a frozen agent. Nothing here learns or touches a generator of the run."""

from __future__ import annotations

import math
import statistics
import zlib
from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

import numpy as np

from envs.games import human_normalised
from envs.timestep import EmulatorBatch, TimeStep
from evaluation import retention
from taskid.source import TaskRecogniser


class Policy(Protocol):
    """An agent that acts (see `agent.continual.Player`)."""

    def act(self, observation: np.ndarray, task: int | None) -> np.ndarray:
        """int64 [B] actions for uint8 [B, S, H, W]; `task` None: none that the agent knows."""


class Abandoned(Exception):
    """The evaluation was asked to stop before its end; it must be done again from the start."""


@dataclass(frozen=True, slots=True)
class GameResult:
    """Raw returns and lengths [frames] of the episodes of one game; the task it was taken for at the end (None: for
    none that is known), and how probable that was."""

    game: str
    returns: tuple[float, ...]
    lengths: tuple[int, ...]
    task: int | None
    posterior: float

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> GameResult:
        """The result of which these are the fields, after a way through JSON."""
        return cls(**{**fields, "returns": tuple(fields["returns"]), "lengths": tuple(fields["lengths"])})

    @property
    def mean(self) -> float:
        """Mean raw return over the episodes."""
        return statistics.fmean(self.returns)

    @property
    def standard_error(self) -> float:
        """Standard error of the mean return; 0 for a single episode."""
        count = len(self.returns)
        return statistics.stdev(self.returns) / math.sqrt(count) if count > 1 else 0.0

    @property
    def human_normalised(self) -> float:
        """(mean - random) / (human - random)."""
        return human_normalised(self.game, self.mean)


def clipped_total(human_normalised_scores: Sequence[float]) -> float:
    """The paper's total: human-normalised scores, each clipped above at 1, summed over the games."""
    return float(retention.total_clipped(np.array(human_normalised_scores, np.float64)))


def game_seed(seed: int, game: str) -> int:
    """The seed of one game's evaluation, in 31 bits; depends on nothing but its arguments."""
    return int(np.random.default_rng([seed, zlib.crc32(game.encode())]).integers(2**31 - 1))


Playing = Generator[None, None, GameResult]
"""A game that is being played: it yields whenever its emulators are at work, and returns its result."""


def play_game(
    game: str,
    player: Policy,
    recogniser: TaskRecogniser,
    emulators: EmulatorBatch,
    episodes: int,
    *,
    stopped: Callable[[], bool] = lambda: False,
    on_step: Callable[[np.ndarray, TimeStep], None] = lambda action, now: None,
) -> Playing:
    """Play `episodes` episodes of `game`, spread evenly over the emulators, and return their scores.

    Every emulator owes a fixed number of episodes, so that short episodes are not favoured. Raises `Abandoned`
    when `stopped()` becomes true. `on_step` sees every action and the time step that follows it.
    """
    count = emulators.num_envs
    owed = np.array([episodes // count + (b < episodes % count) for b in range(count)])
    frames_each = emulators.frames_per_step // count
    running, length = np.zeros(count), np.zeros(count, dtype=np.int64)
    finished: list[list[tuple[float, int]]] = [[] for _ in range(count)]
    now = emulators.reset()
    task = None
    while any(len(done) < due for done, due in zip(finished, owed, strict=True)):
        if stopped():
            raise Abandoned(game)
        task = recogniser.identify(now)
        action = player.act(now.observation, task)
        emulators.send(action)
        yield
        now = emulators.receive()
        on_step(action, now)
        running += now.reward
        length += frames_each
        for b in np.flatnonzero(now.first):
            finished[b].append((float(running[b]), int(length[b])))
            running[b], length[b] = 0.0, 0
    kept = [episode for done, due in zip(finished, owed, strict=True) for episode in done[:due]]
    return GameResult(game, tuple(r for r, _ in kept), tuple(frames for _, frames in kept), task, recogniser.posterior)


def in_turns(games: Iterable[Playing], together: int) -> Generator[GameResult, None, None]:
    """The results of several games in the order in which they end. So many are under way at a time: one acts while the
    emulators of the others work. Each result is what the game alone would have."""
    waiting = iter(games)
    under_way = deque(islice(waiting, together))
    try:
        while under_way:
            game = under_way.popleft()
            try:
                next(game)
                under_way.append(game)
            except StopIteration as end:
                yield end.value
                under_way.extend(islice(waiting, 1))
    finally:
        for game in under_way:
            game.close()


def alone(game: Playing) -> GameResult:
    """The result of one game."""
    (result,) = in_turns([game], together=1)
    return result
