"""How well inferred tasks agree with the games that were really played. For logs and reports only.

A confusion table counts vector steps: `table[game][task]`, with the task that was acted in, so that every step
of delay counts as an error.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping
from math import comb
from typing import Any

Table = Mapping[str, Mapping[int, int]]


def purity(table: Table) -> float:
    """Share of steps whose task's commonest game is theirs."""
    return sum(max(column.values()) for column in _by_task(table).values()) / _total(table)


def coverage(table: Table) -> float:
    """Share of a game's steps that carry its commonest task; the mean over games, whatever their length."""
    return statistics.fmean(max(row.values()) / sum(row.values()) for row in table.values())


def adjusted_rand_index(table: Table) -> float:
    """Agreement of two clusterings of the steps: 1 if they are the same, 0 on average by chance.

    Hubert and Arabie 1985. With a single game and a single task it is 1.
    """
    pairs = comb(_total(table), 2)
    both = sum(comb(count, 2) for row in table.values() for count in row.values())
    games = sum(comb(sum(row.values()), 2) for row in table.values())
    tasks = sum(comb(sum(column.values()), 2) for column in _by_task(table).values())
    expected = games * tasks / pairs if pairs else 0.0
    highest = (games + tasks) / 2
    return 1.0 if highest == expected else (both - expected) / (highest - expected)


def _total(table: Table) -> int:
    return sum(sum(row.values()) for row in table.values())


def _by_task(table: Table) -> dict[int, dict[str, int]]:
    columns: dict[int, dict[str, int]] = {}
    for game, row in table.items():
        for task, count in row.items():
            columns.setdefault(task, {})[game] = count
    return columns


class InferenceScore:
    """The confusion table as it grows, and how each replacement of a game was noticed.

    A task is right for a game if that is its commonest game so far, or if it was never used before. The delay of
    a replacement is the number of steps until the first one with a right task (that of the whole visit if there
    is none). Any other change of task is a false switch, except back to the task that was found right.
    """

    def __init__(self) -> None:
        self.table: dict[str, dict[int, int]] = {}
        self.delays: Counter[int] = Counter()  # of finished detections, how often each
        self.last_delay = -1
        self.steps = 0
        self.false_switches = 0
        self.longest_false = 0  # steps, of the longest stretch in another task after a detection
        self._game = ""
        self._task = -1
        self._found = -1  # the task found right in this visit
        self._waited = 0  # steps of this visit before that
        self._astray = 0  # steps of the present stretch in another task

    def own_tasks(self) -> dict[str, int]:
        """{game: the task that it was played in for most steps so far, the first of equals}."""
        return {game: max(row, key=lambda task: row[task]) for game, row in self.table.items()}

    def record(self, game: str, task: int) -> bool:
        """One vector step of `game` was played in `task`; whether either differs from the step before."""
        changed = task != self._task and self._task >= 0
        replaced = game != self._game
        if replaced:
            self.finish()
            self._game = game
        if self._found < 0:
            if self._right(game, task):
                self._find(task)
            else:
                self._waited += 1
                self.false_switches += changed
        elif task != self._found:
            self.false_switches += changed
            self._astray += 1
            self.longest_false = max(self.longest_false, self._astray)
        else:
            self._astray = 0
        self._task = task
        row = self.table.setdefault(game, {})
        row[task] = row.get(task, 0) + 1
        self.steps += 1
        return replaced or changed

    def _right(self, game: str, task: int) -> bool:
        games = {name: row[task] for name, row in self.table.items() if task in row}
        return not games or games.get(game, 0) == max(games.values())

    def _find(self, task: int) -> None:
        self._found = task
        if self.steps > self._waited:  # the first visit replaced nothing
            self._count(self._waited)

    def finish(self) -> None:
        """The present visit is over; one that was never recognised has its whole length for a delay."""
        if self._found < 0 and self.steps > self._waited:
            self._count(self._waited)  # never found
        self._found, self._waited, self._astray = -1, 0, 0

    def _count(self, delay: int) -> None:
        self.delays[delay] += 1
        self.last_delay = delay

    def scalars(self, frames_per_step: int) -> dict[str, float]:
        """The quantities that there are so far; false switches per million frames, delays in vector steps."""
        if not self.steps:
            return {}
        scalars = {
            "purity": purity(self.table),
            "coverage": coverage(self.table),
            "ari": adjusted_rand_index(self.table),
            "false_switches": self.false_switches * 1e6 / (self.steps * frames_per_step),
            "longest_false": self.longest_false,
        }
        if self.delays:
            delays = sorted(self.delays.elements())
            scalars |= {
                "delay_median": statistics.median(delays),
                "delay_max": delays[-1],
                "delay_last": self.last_delay,
            }
        return scalars

    def state_dict(self) -> dict[str, Any]:
        """The counts that every quantity is computed from."""
        return {
            "table": {game: dict(row) for game, row in self.table.items()},
            "delays": dict(self.delays),
            "numbers": {name: getattr(self, name) for name in _NUMBERS},
            "game": self._game,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.table = {game: dict(row) for game, row in state["table"].items()}
        self.delays = Counter(state["delays"])
        self._game = state["game"]
        for name in _NUMBERS:
            setattr(self, name, state["numbers"][name])


_NUMBERS = ("last_delay", "steps", "false_switches", "longest_false", "_task", "_found", "_waited", "_astray")
