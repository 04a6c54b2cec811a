"""The log of the inference: which game was played and which task the agent took it for, as files and a picture."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from evaluation.plots import Box, bars, looks, words
from tracking.run_directory import RunDirectory

COLUMNS = ("frames", "game", "task", "posterior")

_TALLEST = 40.0  # inches of a picture
_LABELLED = 120  # tasks that get a label each


def row(frames: int, game: str, task: int, posterior: float) -> dict[str, Any]:
    """A line of tasks.csv: from this frame on `game` was played in `task`, of which the agent was so sure."""
    return {"frames": frames, "game": game, "task": task, "posterior": posterior}


def read_changes(path: Path) -> list[dict[str, Any]]:
    """The lines of a tasks.csv, with numbers as numbers."""
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
    was not left; from the lines of tasks.csv."""
    begun: list[tuple[str, int]] = []
    for change in changes:
        if change["frames"] < end and (not begun or begun[-1][0] != change["game"]):
            begun.append((change["game"], change["frames"]))
    ends = [*(start for _, start in begun[1:]), end]
    return [(game, start, stop) for (game, start), stop in zip(begun, ends, strict=False)]


def own_tasks(changes: Sequence[Mapping[str, Any]], end: int) -> dict[str, int]:
    """{game: the task in which it was played for most frames before frame `end`, the first of equals}, for the games
    that were met by then; from the lines of tasks.csv."""
    table = frames_by_task(changes, end)
    return {game: max(frames, key=lambda task: frames[task]) for game, frames in table.items()}


def known_tasks(run: RunDirectory, end: int) -> dict[str, int]:
    """`own_tasks` of a run before frame `end`; of games that it has not met, those of the run whose snapshot it began
    with. OSError, KeyError, ValueError or TypeError if its files do not tell."""
    return {**tasks_before(run), **own_tasks(read_changes(run.tasks), end)}


def tasks_before(run: RunDirectory) -> dict[str, int]:
    """The own tasks of the run whose snapshot this one began with; none if it began anew, or if that file is damaged,
    which nothing but a table of evaluate.py needs."""
    try:
        found = json.loads(run.tasks_before.read_text())
        return {str(game): int(task) for game, task in found.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def frames_by_task(changes: Sequence[Mapping[str, Any]], end: int) -> dict[str, dict[int, int]]:
    """{game: {task: frames before frame `end` that it was played in it}}; from the lines of tasks.csv."""
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


def draw_timeline(changes: Sequence[Mapping[str, Any]], end: int, path: Path) -> None:
    """The true game and the inferred task over frames, from the lines of tasks.csv, one at least; `end` [frames].

    In both halves a stretch has the colour and hatch of the true game: a task of two looks has merged two games, and a
    look in two rows of the lower half is a game that was split.
    """
    games = list(dict.fromkeys(change["game"] for change in changes))
    tasks = 1 + max(change["task"] for change in changes)
    height = min(_TALLEST, max(3.0, 0.8 + 0.2 * (len(games) + tasks)))
    figure = Figure(figsize=(9, height), layout="constrained")
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(len(games), tasks))
    played: dict[str, list[Box]] = {game: [] for game in games}
    taken: dict[str, list[Box]] = {game: [] for game in games}
    starts = [change["frames"] / 1e6 for change in changes]
    for change, start, stop in zip(changes, starts, [*starts[1:], end / 1e6], strict=True):
        game = change["game"]
        played[game].append((games.index(game), start, stop - start))
        taken[game].append((change["task"], start, stop - start))
    for game, look in looks(games).items():
        bars(top, played[game], look)
        bars(bottom, taken[game], look)
    top.set_yticks(range(len(games)), [words(game) for game in games])
    if tasks <= _LABELLED:
        bottom.set_yticks(range(tasks))
    else:
        bottom.yaxis.set_major_locator(MaxNLocator(_LABELLED, integer=True))
    top.set_ylabel("game played")
    bottom.set_ylabel("task inferred")
    bottom.set_xlabel("environment frames [millions]")
    for axis, count in ((top, len(games)), (bottom, tasks)):
        axis.set_ylim(count - 0.4, -0.6)
        axis.set_xlim(0, max(end, 1) / 1e6)
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(axis="y", labelsize=8)
        axis.grid(axis="x", color="lightgrey", linewidth=0.5)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
