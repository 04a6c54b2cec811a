"""What became of every game over a run: its score after each of its visits, at the end, and what was kept of it.

`evaluations` are the rows of evaluations.csv and `changes` those of task_changes.csv, numbers as numbers, in the
order of the files. A run is told beside a *reference*, the records of another run on the same stream, such as a plain
DQN's.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.table import Table

from evaluation.remembered import kept as kept_fractions
from evaluation.table import read_evaluations, score, whole_moments
from tracking.run_directory import RunDirectory
from tracking.tables import Column, fitted, table
from tracking.task_log import read_changes, visits

Row = Mapping[str, Any]

_VISITS = 8  # of a game, whose scores the table shows
_TASKS = 6  # of a game, that the table shows


@dataclass(frozen=True)
class GameSummary:
    """One game's scores, raw: at the last evaluation within each visit (None if there was none) and at the end, which
    is the last evaluation of every game; and the kept fraction (see `evaluation.remembered`), None where it is not
    told."""

    random: float
    human: float
    after_visits: tuple[float | None, ...]
    final: float
    standard_error: float
    episodes: int
    kept: float | None


@dataclass(frozen=True)
class Records:
    """The evaluations and changes of task of one run."""

    name: str
    evaluations: list[dict[str, Any]]
    changes: list[dict[str, Any]]

    @property
    def frames(self) -> int:
        """The moment of the last evaluation, of however many games."""
        return max(int(row["frames"]) for row in self.evaluations)

    @property
    def end(self) -> int:
        """The moment of the last evaluation of every game; ValueError if there was none."""
        moments = whole_moments(self.evaluations)
        if not moments:
            raise ValueError("there is no evaluation of every game")
        return moments[-1]


def read_records(path: Path, name: str) -> Records:
    """Those of a run directory or of the files kept of one; FileNotFoundError if a file is missing."""
    run = RunDirectory(path)
    return Records(name, read_evaluations(run.evaluations), read_changes(run.task_changes))


def game_summaries(records: Records) -> dict[str, GameSummary]:
    """{game: what became of it by the last evaluation of every game}, in the order of its rows."""
    end = records.end
    played = visits(records.changes, end)
    kept = kept_fractions(records.evaluations, records.changes, end)
    found = {}
    for last in records.evaluations:
        if last["frames"] != end:
            continue
        rows = [row for row in records.evaluations if row["game"] == last["game"]]
        after = []
        for game, start, stop in played:
            if game == last["game"]:
                within = [float(row["mean"]) for row in rows if start < row["frames"] <= stop]
                after.append(within[-1] if within else None)
        found[last["game"]] = GameSummary(
            last["random"],
            last["human"],
            tuple(after),
            float(last["mean"]),
            float(last["standard_error"]),
            int(last.get("episodes", 2)),
            kept.get(last["game"]),
        )
    return found


def story_table(run: Records, reference: Records | None, width: int | None = None) -> Table:
    """The table that a person reads at a run's end, in so many columns (None: any number)."""
    told = [run, reference] if reference else [run]
    found = [game_summaries(records) for records in told]
    games = found[0]
    columns = [
        Column("game", list(games), left=True),
        Column("random", [f"{first.random:,.1f}" for first in games.values()], 6),
        Column("human", [f"{first.human:,.1f}" for first in games.values()], 5),
    ]
    for records, each, leaves in zip(told, found, ((2, 0, 0), (4, 1, 3)), strict=False):
        cells = [_cells(each[game]) if game in each else ["-"] * 3 for game in games]
        for number, title in enumerate(("after each visit", "at the end", "kept")):
            columns.append(
                Column(
                    f"{records.name}:\n{title}" if reference else title, [row[number] for row in cells], leaves[number]
                )
            )
    return table(
        columns,
        width,
        f"What became of the games in {run.end:,} frames",
        "kept: the human-normalised score at the end over that after the last visit; "
        "-: the game was played last, or had not been learned; ?: no evaluation within that visit",
    )


def _cells(fate: GameSummary) -> list[str]:
    scores = ["?" if score is None else f"{score:,.1f}" for score in fate.after_visits]
    if len(scores) > _VISITS:
        half = _VISITS // 2
        scores = [*scores[:half], f"… {len(scores) - 2 * half} more …", *scores[-half:]]
    after = ", ".join(scores)
    end = score(fate.final, fate.standard_error, fate.episodes)
    return [after or "never played", end, "-" if fate.kept is None else f"{fate.kept:.0%}"]


def confusion_table(path: Path, width: int | None = None) -> Table:
    """confusion.csv in shares: in which tasks the agent played each game, the commonest first, as many as there is room
    for in so many columns (None: any number)."""
    with open(path, newline="") as file:
        head, *lines = [*csv.reader(file)] or [["game"]]
    tasks = [name.removeprefix("task ") for name in head[1:]]
    played = [dict(zip(tasks, map(int, counts), strict=True)) for _, *counts in lines]
    games = Column("game", [game for game, *_ in lines], left=True)
    for most in range(_TASKS, 0, -1):
        shares = Column("task: share of the game's steps", [_shares(steps, most) for steps in played], 1, left=True)
        if most == 1 or len(fitted([games, shares], width)) > 1:
            break
    return table([games, replace(shares, leaves=0)], width, "In which task each game was played")


def _shares(steps: Mapping[str, int], most: int) -> str:
    ordered = sorted(steps.items(), key=lambda each: -each[1])
    shares = [f"{task}: {count / sum(steps.values()):.1%}" for task, count in ordered if count]
    rest = sum(count for _, count in ordered[most:]) / max(1, sum(steps.values()))
    more = [f"{len(shares) - most} more: {rest:.1%}"] if len(shares) > most else []
    return ", ".join([*shares[:most], *more])


def as_json(run: Records, reference: Records | None) -> dict[str, Any]:
    """The same as a JSON-able object: {run's name: {game: its fate}}."""
    told = [run, reference] if reference else [run]
    return {
        records.name: {
            game: {"after_visits": list(fate.after_visits), "final": fate.final, "kept": fate.kept}
            for game, fate in game_summaries(records).items()
        }
        for records in told
    }
