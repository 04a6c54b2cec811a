"""The log of the inference: which game was played and which task the agent took it for, as files."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tracking.run_directory import RunDirectory

COLUMNS = ("frames", "game", "task", "posterior")


def row(frames: int, game: str, task: int, posterior: float) -> dict[str, Any]:
    """A line of task_changes.csv: from this frame on `game` was played in `task`, of which the agent was so sure."""
    return {"frames": frames, "game": game, "task": task, "posterior": posterior}


def read_changes(path: Path) -> list[dict[str, Any]]:
    """The lines of a task_changes.csv, with numbers as numbers."""
    with open(path, newline="") as file:
        return changes(file.read())


def changes(text: str) -> list[dict[str, Any]]:
    """The same from the file's text."""
    return [
        row(int(line["frames"]), line["game"], int(line["task"]), float(line["posterior"]))
        for line in csv.DictReader(io.StringIO(text, newline=""))
    ]


def visits(changes: Sequence[Mapping[str, Any]], end: int) -> list[tuple[str, int, int]]:
    """(game, first frame, end) of every stretch of one game before frame `end`, in order; a game that followed itself
    was not left; from the lines of task_changes.csv."""
    begun: list[tuple[str, int]] = []
    for change in changes:
        if change["frames"] < end and (not begun or begun[-1][0] != change["game"]):
            begun.append((change["game"], change["frames"]))
    ends = [*(start for _, start in begun[1:]), end]
    return [(game, start, stop) for (game, start), stop in zip(begun, ends, strict=False)]


def own_tasks(changes: Sequence[Mapping[str, Any]], end: int) -> dict[str, int]:
    """{game: the task in which it was played for most frames before frame `end`, the first of equals}, for the games
    that were met by then; from the lines of task_changes.csv."""
    table = frames_by_task(changes, end)
    return {game: max(frames, key=lambda task: frames[task]) for game, frames in table.items()}


def known_tasks(run: RunDirectory, end: int) -> dict[str, int]:
    """`own_tasks` of a run before frame `end`; of games that it has not met, those of the run whose snapshot it began
    with. OSError, KeyError, ValueError or TypeError if its files do not tell."""
    return {**tasks_before(run), **own_tasks(read_changes(run.task_changes), end)}


def tasks_before(run: RunDirectory) -> dict[str, int]:
    """The own tasks of the run whose snapshot this one began with; none if it began anew, or if that file is damaged
    (see `tasks_before_lost`), which nothing but a table of evaluate.py needs."""
    return _tasks_before(run) or {}


def tasks_before_lost(run: RunDirectory) -> bool:
    """Whether that file is there and cannot be read."""
    return run.tasks_before.is_file() and _tasks_before(run) is None


def _tasks_before(run: RunDirectory) -> dict[str, int] | None:
    try:
        found = json.loads(run.tasks_before.read_text())
        return {str(game): int(task) for game, task in found.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return None


def frames_by_task(changes: Sequence[Mapping[str, Any]], end: int) -> dict[str, dict[int, int]]:
    """{game: {task: frames before frame `end` that it was played in it}}; from the lines of task_changes.csv."""
    lines = [change for change in changes if change["frames"] < end]
    stops = [*(line["frames"] for line in lines[1:]), end]
    table: dict[str, dict[int, int]] = {}
    for line, stop in zip(lines, stops, strict=False):
        frames = table.setdefault(line["game"], {})
        frames[line["task"]] = frames.get(line["task"], 0) + stop - line["frames"]
    return table


def confusion_csv(table: Mapping[str, Mapping[int, int]]) -> str:
    """The confusion table (vector steps by game and task) as the text of a CSV file."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows(_cells(table))
    return text.getvalue()


def confusion_markdown(table: Mapping[str, Mapping[int, int]]) -> str:
    """The same as a Markdown table."""
    head, *lines = ([str(cell) for cell in cells] for cells in _cells(table))
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [head, ["---"] * len(head), *lines])


def _cells(table: Mapping[str, Mapping[int, int]]) -> list[list[Any]]:
    tasks = range(1 + max((task for line in table.values() for task in line), default=-1))
    return [
        ["game", *(f"task {task}" for task in tasks)],
        *([game, *(line.get(task, 0) for task in tasks)] for game, line in table.items()),
    ]
