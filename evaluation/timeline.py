"""The picture of the inference's log: which game was played and which task the agent took it for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from evaluation.plots import Box, bars, looks, words

_TALLEST = 40.0  # inches of a picture
_LABELLED = 120  # tasks that get a label each


def draw_timeline(changes: Sequence[Mapping[str, Any]], end: int, path: Path) -> None:
    """The true game and the inferred task over frames, from the lines of task_changes.csv (one at least); `end` in
    frames.

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
