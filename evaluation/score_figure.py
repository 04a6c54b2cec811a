"""The picture of what became of the games of a run: a panel for every game, and the timeline of visits below."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from evaluation.plots import (
    BELOW,
    COLOURS,
    VISIT,
    bars,
    draw_scores_of,
    frame_scores,
    frame_unit,
    looks,
    lowest_of,
    words,
)
from evaluation.story import Records
from evaluation.timeline import coloured_names
from tracking.task_log import visits

_WIDTHS = ((4, 1), (12, 2), (24, 3), (40, 4), (10**9, 5))  # up to so many games: columns of panels
_MARKED = 40  # evaluations that get a marker each

_KEY = (
    f"human-normalised score (dotted: 0, random play; dashed: 1, human play; {BELOW})\n"
    "band: standard error over episodes; shaded: the game's own visits"
)

Span = tuple[float, float]
"""First frame and length, in the picture's unit."""
Style = dict[str, Any]


def draw_scores(told: Sequence[Records]) -> Figure:
    """Human-normalised score of every game over frames with its standard error over episodes, and which game was played
    when, as the first run saw it. A game's own visits are shaded in its panel. Of one run a colour is a game; beside
    another (`told` holds both) it is a run."""
    end = told[0].frames
    scale, unit = frame_unit(end)
    spans: dict[str, list[Span]] = {row["game"]: [] for row in told[0].evaluations}
    for game, start, stop in visits(told[0].changes, end):
        spans.setdefault(game, []).append((start / scale, (stop - start) / scale))
    columns = next(columns for most, columns in _WIDTHS if len(spans) <= most)
    single = len(told) == 1
    figure, panels, timeline = _layout([*spans], columns)
    look = looks([*spans]) if single else dict.fromkeys(spans, (VISIT, None))
    handles: dict[str, Any] = {}
    for panel, (game, its) in zip(panels, spans.items(), strict=True):
        panel.broken_barh(its, (0, 1), transform=panel.get_xaxis_transform(), color=look[game][0], alpha=0.2, lw=0)
        lowest = lowest_of(
            row["human_normalised"] for records in told for row in records.evaluations if row["game"] == game
        )
        for records, colour, marker in zip(told, COLOURS, "os", strict=False):
            style = {"color": look[game][0] if single else colour, "marker": marker}
            handles.setdefault(words(records.name), _draw_game(panel, records, game, scale, lowest, style))
        frame_scores(panel, lowest)
        colour = look[game][0] if single else "black"
        panel.set_title(words(game), loc="left", color=colour, fontweight="bold", pad=2)
    for place, (game, its) in enumerate(spans.items()):
        bars(timeline, [(place, *span) for span in its], look[game])
    coloured_names(timeline, [*spans], {game: colour for game, (colour, _) in look.items()} if single else {})
    timeline.set_title("game played", loc="left", pad=3)
    timeline.set_xlim(0, 1.005 * (end or 1000) / scale)
    timeline.set_xlabel(unit)
    if not single:
        figure.legend(handles.values(), handles, loc="upper right", ncols=2, frameon=False, borderaxespad=0.2)
    return figure


def _layout(games: Sequence[str], columns: int) -> tuple[Figure, list[Axes], Axes]:
    """A panel for every game in so many columns and, below all of them, the timeline with a row for every game. Placed
    by hand [inches], which takes a tenth of the time of matplotlib's own layout."""
    lines = -(-len(games) // columns)
    height, gap = (1.1, 0.28) if columns == 1 else (0.62, 0.28)
    left, between, right = max(0.6, 0.25 + 0.078 * max(map(len, games))), 0.4, 0.12
    width = (max(8.0, 2.2 * columns) - left - right - between * (columns - 1)) / columns
    rows = 0.1 + 0.15 * len(games)
    total = (0.55 + lines * (height + gap)) + 0.35 + rows + 0.45
    whole = left + columns * width + between * (columns - 1) + right
    figure = Figure(figsize=(whole, total))

    def axes(x: float, top: float, wide: float, high: float, **shared: Any) -> Axes:
        return figure.add_axes((x / whole, 1 - (top + high) / total, wide / whole, high / total), **shared)

    timeline = axes(left, total - 0.45 - rows, whole - left - right, rows)
    panels = []
    for place in range(len(games)):
        line, column = divmod(place, columns)
        at = 0.55 + gap + line * (height + gap) - 0.12
        panels.append(axes(left + column * (width + between), at, width, height, sharex=timeline))
        panels[-1].tick_params(labelbottom=columns > 1 and place + columns >= len(games))
    figure.text(0.05 / whole, 1 - 0.05 / total, _KEY, va="top")
    return figure, panels, timeline


def _draw_game(panel: Axes, records: Records, game: str, scale: float, lowest: float, style: Style) -> Any:
    """One run's line; returns its handle."""
    rows = sorted((row for row in records.evaluations if row["game"] == game), key=lambda row: row["frames"])
    x, scores, errors = (
        np.array(
            [(row["frames"] / scale, row["human_normalised"], row["standard_error"] / _reach(row)) for row in rows],
            np.float64,
        )
        .reshape(-1, 3)
        .T
    )
    marked = {"markersize": 3} if len(rows) <= _MARKED else {"marker": ""}
    return draw_scores_of(panel, x, scores, scores - errors, scores + errors, lowest=lowest, **{**style, **marked})


def _reach(row: Mapping[str, Any]) -> float:
    return abs(row["human"] - row["random"]) or 1.0
