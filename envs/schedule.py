"""Which game is played when: pure functions of the visit's number, without state.

A visit is a stretch of one game. Durations are in environment frames, over all emulators together.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Protocol

import numpy as np


@dataclass(frozen=True, slots=True)
class Visit:
    """A game, and for how many environment frames it is played."""

    game: str
    frames: int

    def __post_init__(self) -> None:
        if self.frames < 1:
            raise ValueError(f"a visit must last at least 1 environment frame, not {self.frames}.")


class Schedule(Protocol):
    """An endless sequence of visits."""

    @property
    def games(self) -> tuple[str, ...]:
        """The distinct games, in a fixed order."""
        ...

    def visit(self, index: int) -> Visit:
        """The visit of that number, from 0; the same for ever."""
        ...


@dataclass(frozen=True)
class Rounds:
    """Every game once in each round, in random order; no game follows itself, if there is more than one."""

    games: tuple[str, ...]
    frames: int
    seed: int

    def __post_init__(self) -> None:
        _check_games(self.games)

    def visit(self, index: int) -> Visit:
        """The visit of that number, from 0."""
        turn, place = divmod(index, len(self.games))
        return Visit(self.games[self._order(turn)[place]], self.frames)

    def _order(self, turn: int) -> list[int]:
        """The order of one round. Where it begins with the previous round's last game, that game moves to a
        random place before the last one, so that last places stand without knowing what came before."""
        count = len(self.games)
        if count <= 2:  # two games can only alternate
            return [int(i) for i in _generator(self.seed, "rounds", 0).permutation(count)]
        rng = _generator(self.seed, "rounds", turn)
        order = [int(i) for i in rng.permutation(count)]
        if turn > 0 and order[0] == int(_generator(self.seed, "rounds", turn - 1).permutation(count)[-1]):
            place = int(rng.integers(1, count - 1))
            order[0], order[place] = order[place], order[0]
        return order


@dataclass(frozen=True)
class UniformDraw:
    """The paper's: each visit's game is drawn uniformly, so that a game may follow itself."""

    games: tuple[str, ...]
    frames: int
    seed: int

    def __post_init__(self) -> None:
        _check_games(self.games)

    def visit(self, index: int) -> Visit:
        """The visit of that number, from 0."""
        drawn = _generator(self.seed, "uniform draw", index).integers(len(self.games))
        return Visit(self.games[int(drawn)], self.frames)


@dataclass(frozen=True)
class Listed:
    """The given visits, and again from the first after the last."""

    visits: tuple[Visit, ...]

    def __post_init__(self) -> None:
        if not self.visits:
            raise ValueError("a list of visits must hold at least one.")

    @property
    def games(self) -> tuple[str, ...]:
        """The distinct games, in the order of their first visit."""
        return tuple(dict.fromkeys(each.game for each in self.visits))

    def visit(self, index: int) -> Visit:
        """The visit of that number, from 0."""
        return self.visits[index % len(self.visits)]


def whole_steps(frames: int, frames_per_step: int) -> int:
    """How long what is to last `frames` does last: it ends with the first vector step that reaches them."""
    return -(-frames // frames_per_step) * frames_per_step


def timetable(schedule: Schedule, total_frames: int, frames_per_step: int) -> list[tuple[int, int, Visit]]:
    """(index, first frame, visit) of each visit that begins before a run of `total_frames` ends, as the stream plays
    it: in whole vector steps, the last one clipped where the run ends."""
    rows: list[tuple[int, int, Visit]] = []
    start, end = 0, whole_steps(total_frames, frames_per_step)
    while start < end:
        visit = schedule.visit(len(rows))
        frames = whole_steps(visit.frames, frames_per_step)
        rows.append((len(rows), start, Visit(visit.game, min(frames, end - start))))
        start += frames
    return rows


def count_visits(lengths: Sequence[int], total_frames: int) -> int:
    """How many visits of these lengths, over and over, begin within `total_frames`; counted, not listed."""
    rounds, rest = divmod(total_frames, sum(lengths))
    starts = accumulate(lengths[:-1], initial=0)
    return rounds * len(lengths) + sum(start < rest for start in starts)


def _generator(seed: int, purpose: str, index: int) -> np.random.Generator:
    """A generator of its own for every purpose and index, so that nothing needs to be remembered."""
    return np.random.default_rng([seed, zlib.crc32(purpose.encode()), index])


def _check_games(games: tuple[str, ...]) -> None:
    if not games:
        raise ValueError("a schedule needs at least one game.")
    if len(set(games)) != len(games):
        raise ValueError(f"a schedule must name each game once, but these repeat: {', '.join(games)}.")
