"""The picture of the inference's log: which game was played and which task the agent took it for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from evaluation.plots import Box, bars, frame_unit, looks, words

_TALLEST = 40.0  # inches of a picture
_LABELLED = 120  # tasks that get a label each


def draw_timeline(changes: Sequence[Mapping[str, Any]], end: int, order: Sequence[str] = ()) -> Figure:
    """The true game and the inferred task over frames, from the lines of task_changes.csv (one at least); `end` in
    frames; `order` is that of the games' colours in other pictures of the run (default: as they were met).

    In both halves a stretch has the colour and hatch of the true game: a task of two looks has merged two games, and a
    look in two rows of the lower half is a game that was split.
    """
    games = list(dict.fromkeys(change["game"] for change in changes))
    scale, unit = frame_unit(end)
    tasks = 1 + max(change["task"] for change in changes)
    height = min(_TALLEST, max(2.0, 1.1 + 0.17 * (len(games) + tasks)))
    figure = Figure(figsize=(8, height), layout="constrained")
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(len(games), tasks))
    played: dict[str, list[Box]] = {game: [] for game in games}
    taken: dict[str, list[Box]] = {game: [] for game in games}
    starts = [change["frames"] / scale for change in changes]
    for change, start, stop in zip(changes, starts, [*starts[1:], end / scale], strict=True):
        game = change["game"]
        played[game].append((games.index(game), start, stop - start))
        taken[game].append((change["task"], start, stop - start))
    look = looks(list(dict.fromkeys([*order, *games])))
    for game in games:
        bars(top, played[game], look[game])
        bars(bottom, taken[game], look[game])
    coloured_names(top, games, {game: look[game][0] for game in games})
    if tasks <= _LABELLED:
        bottom.set_yticks(range(tasks))
    else:
        bottom.yaxis.set_major_locator(MaxNLocator(_LABELLED, integer=True))
    top.set_title("game played", loc="left", pad=2)
    bottom.set_title("number of the task it was taken for", loc="left", pad=2)
    bottom.set_xlabel(unit)
    bottom.set_ylim(tasks - 0.4, -0.6)
    for axis in (top, bottom):
        axis.set_xlim(0, (end or 1000) / scale)
        axis.grid(axis="x", color="lightgrey", linewidth=0.5)
        axis.set_axisbelow(True)
    return figure


def coloured_names(axes: Axes, games: Sequence[str], colours: Mapping[str, str]) -> None:
    """A row for every game, the first on top, with its name at the left; black if it has no colour."""
    axes.set_yticks(range(len(games)), [words(game) for game in games])
    for label, game in zip(axes.get_yticklabels(), games, strict=True):
        label.set(color=colours.get(game, "black"), fontweight="bold")
    axes.set_ylim(len(games) - 0.4, -0.6)
