"""The pictures of a search's report, drawn from the rows that its CSV files hold."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from evaluation.plots import COLOURS, frame_unit, words
from experiments.report.figures import WIDTH, by, finished
from experiments.report.numbers import Row
from sweeps.search_plan import GOALS, Search
from sweeps.span import Span

_LOOKS: dict[str, dict[str, Any]] = {
    "finished": {"color": COLOURS[0], "marker": "o"},
    "pruned": {"color": COLOURS[1], "marker": "x"},
    "going on": {"color": "0.5", "marker": "^"},
}
_LINES = {"finished": "-", "pruned": "--", "going on": ":"}


def draw_trials(rows: Sequence[Row], search: Search) -> Figure:
    """Every trial's value by its number, and the best so far of the finished ones as a line."""
    figure = Figure(figsize=(WIDTH, 2.8), layout="constrained")
    axes = figure.subplots()
    _points(axes, rows, "trial")
    done = [row for row in rows if row["state"] == "finished"]
    best = list(itertools.accumulate((row["value"] for row in done), max))
    if done:
        x, y = [row["trial"] for row in done], best
        axes.step([*x, max(row["trial"] for row in rows)], [*y, y[-1]], where="post", color="0.3", label="best so far")
    axes.set_xlabel("trial")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylabel(_value(search))
    return finished(figure, [axes])


def draw_slices(rows: Sequence[Row], search: Search) -> Figure:
    """A panel per setting: every trial's value over what the setting was."""
    names = list(search.ranges)
    columns = min(2, len(names))
    lines = math.ceil(len(names) / columns)
    figure = Figure(figsize=(WIDTH, 0.6 + 1.9 * lines), layout="constrained")
    cells = list(figure.subplots(lines, columns, squeeze=False, sharey=True).flat)
    for cell in cells[len(names) :]:
        cell.remove()
    for panel, name in zip(cells, names, strict=False):
        span = search.ranges[name]
        if span.choices:
            places = {repr(value): i for i, value in enumerate(span.choices)}
            _points(panel, [{**row, name: places[repr(row[name])]} for row in rows], name)
            panel.set_xticks(range(len(places)), [words(str(value)) for value in span.choices])
            panel.set_xlim(-0.5, len(places) - 0.5)
        else:
            _points(panel, rows, name)
            panel.set_xscale("log" if span.log else "linear")
            panel.set_xlim(*_around(span))
            if span.whole and not span.log:
                panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        panel.set_xlabel(words(name))
    figure.supylabel(_value(search))
    return finished(figure, cells[: len(names)])


def draw_curves(rows: Sequence[Row], search: Search) -> Figure:
    """Every trial's values over frames, until it ended; the best one thicker."""
    figure = Figure(figsize=(WIDTH, 2.8), layout="constrained")
    axes = figure.subplots()
    scale, unit = frame_unit(max(row["frames"] for row in rows))
    done = [row for row in rows if row["state"] == "finished"]
    best = max(done, key=lambda row: row["last"], default={"trial": -1})["trial"]
    for trial, its in by(rows, "trial").items():
        state = its[0]["state"]
        axes.plot(
            [row["frames"] / scale for row in its],
            [row["value"] for row in its],
            color=_LOOKS[state]["color"],
            marker=_LOOKS[state]["marker"],
            markersize=3,
            linestyle=_LINES[state],
            linewidth=2.2 if trial == best else 0.8,
            label=state,
        )
    axes.set_xlim(left=0)
    axes.set_xlabel(unit)
    axes.set_ylabel(_value(search))
    return finished(figure, [axes])


def _points(axes: Axes, rows: Sequence[Row], column: str) -> None:
    for state, its in by(rows, "state").items():
        look = {**_LOOKS[state], "markersize": 5, "linestyle": "none"}
        axes.plot([row[column] for row in its], [row["value"] for row in its], **look, label=state)


def _around(span: Span) -> tuple[float, float]:
    """The range with a twenty-fifth of it on either side."""
    if span.log:
        margin = (span.high / span.low) ** 0.04
        return span.low / margin, span.high * margin
    margin = (span.high - span.low) * 0.04
    return span.low - margin, span.high + margin


def _value(search: Search) -> str:
    return GOALS[search.goal].replace(", ", ",\n")
