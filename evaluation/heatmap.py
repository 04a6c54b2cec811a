"""The picture of all games at all evaluations: how well each is played, and how much of it is kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from evaluation.plots import frame_unit, looks
from evaluation.remembered import LEARNED, kept_over_time
from evaluation.story import Records
from evaluation.timeline import coloured_names
from tracking.task_log import visits

_WRITTEN = 12  # evaluations of a game, whose cells have a number each
_NARROW = 0.035  # of the axis; no number has room in less
_BELOW = 0.4  # the middle of a cell's height, where its number is
_UNKNOWN = "0.9"  # the grey of what is not told


def draw_heatmap(records: Records) -> Figure:
    """Human-normalised score (above) and kept fraction (below, see `evaluation.remembered`) of every game at every
    evaluation, over frames; a line below a game's numbers is one of its own visits. A cell reaches half-way to the
    game's evaluations before and after. Of one game, which is never left, only the scores."""
    games = list(dict.fromkeys(row["game"] for row in records.evaluations))
    moments, scores, fractions = matrices(records, games)
    scale, unit = frame_unit(records.frames)
    count = min(2, len(games))
    figure = Figure(figsize=(8.0, 0.6 + count * (0.3 + max(0.8, 0.2 * len(games)))), layout="constrained")
    panels = figure.subplots(count, 1, sharex=True, squeeze=False)[:, 0]
    told = (
        (scores, "human-normalised score (line: the game is on screen)", "viridis", "0 random, 1 human"),
        (
            fractions,
            f"kept fraction (grey: on screen, just left, not yet left, or left below {LEARNED:g})",
            "RdYlBu",
            "0 lost, 1 kept",
        ),
    )
    for panel, (values, title, colours, label) in zip(panels, told, strict=False):
        picture = _draw(panel, moments / scale, values, ~np.isnan(scores), colours)
        coloured_names(panel, games, {game: colour for game, (colour, _) in looks(games).items()})
        for game, start, stop in visits(records.changes, records.frames):
            if game in games:
                for colour, width in (("white", 3.0), ("black", 1.2)):
                    panel.hlines(games.index(game) + _BELOW, start / scale, stop / scale, color=colour, linewidth=width)
        panel.set_title(title, loc="left", pad=2)
        bar = figure.colorbar(picture, ax=panel, extend="both", pad=0.01, ticks=(0, 0.5, 1))
        bar.set_label(label)
    panels[-1].set_xlabel(unit)
    return figure


def matrices(records: Records, games: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(moments [E] in frames, human-normalised scores [G, E], kept fractions [G, E]); NaN where nothing is told, as of
    all games but one where only the game just left was evaluated."""
    moments = np.unique([int(row["frames"]) for row in records.evaluations])
    place = {int(moment): i for i, moment in enumerate(moments)}
    scores, fractions = np.full((2, len(games), len(moments)), np.nan)
    for row in records.evaluations:
        scores[games.index(row["game"]), place[row["frames"]]] = row["human_normalised"]
    for moment, its in kept_over_time(records.evaluations, records.changes).items():
        for game, fraction in its.items():
            fractions[games.index(game), place[moment]] = fraction
    return moments, scores, fractions


def edges(moments: np.ndarray, end: float) -> np.ndarray:
    """[E + 1]: the cells of evaluations at these moments [E] meet in the middle between two, and fill all from 0 to
    `end`."""
    return np.array([0.0, *(moments[1:] + moments[:-1]) / 2, end])


def _draw(panel: Axes, moments: np.ndarray, values: np.ndarray, looked: np.ndarray, colours: str) -> Any:
    """A row of cells for every game, one for each of the evaluations that `looked` at it (bool [G, E]), with numbers if
    they are few and have room."""
    end = moments[-1] or 1.0
    panel.set_facecolor(_UNKNOWN)
    panel.set_xlim(0, end)
    for row, its in enumerate(looked):
        borders, told = edges(moments[its], end), values[row, its]
        picture = panel.pcolormesh(
            borders, (row - 0.5, row + 0.5), np.ma.masked_invalid(told)[None], cmap=colours, norm=Normalize(0, 1)
        )
        for left, right, value in zip(borders, borders[1:], told, strict=False):
            if len(told) <= _WRITTEN and right - left >= _NARROW * end and np.isfinite(value):
                _write(panel, (left + right) / 2, row, value, colours)
    for spine in panel.spines.values():
        spine.set_visible(False)
    return picture


def _write(panel: Axes, x: float, row: int, value: float, colours: str) -> None:
    """The number in a cell, in white or black, whichever can be read on its colour."""
    red, green, blue, _ = colormaps[colours](np.clip(value, 0, 1))
    colour = "white" if 0.3 * red + 0.6 * green + 0.1 * blue < 0.5 else "black"
    text = f"{value:.2f}" if abs(value) < 100 else f"{value:.0e}"
    panel.text(x, row, text.replace("-", "\N{MINUS SIGN}"), ha="center", va="center", color=colour)
