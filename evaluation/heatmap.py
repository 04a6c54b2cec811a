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

_WRITTEN = 12  # evaluations, whose cells have a number each
_BELOW = 0.4  # the middle of a cell's height, where its number is
_UNKNOWN = "0.9"  # the grey of what is not told


def draw_heatmap(records: Records) -> Figure:
    """Human-normalised score (above) and kept fraction (below, see `evaluation.remembered`) of every game at every
    evaluation, over frames; a line below a game's numbers is one of its own visits. Of one game, which is never left,
    only the scores."""
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
            f"kept fraction (grey: on screen, not yet left, or left below {LEARNED:g})",
            "RdYlBu",
            "0 lost, 1 kept",
        ),
    )
    for panel, (values, title, colours, label) in zip(panels, told, strict=False):
        picture = _draw(panel, moments / scale, values, colours)
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
    """(moments [E] in frames, human-normalised scores [G, E], kept fractions [G, E]); NaN where nothing is told."""
    moments = np.unique([int(row["frames"]) for row in records.evaluations])
    place = {int(moment): i for i, moment in enumerate(moments)}
    scores, fractions = np.full((2, len(games), len(moments)), np.nan)
    for row in records.evaluations:
        scores[games.index(row["game"]), place[row["frames"]]] = row["human_normalised"]
    for moment, its in kept_over_time(records.evaluations, records.changes).items():
        for game, fraction in its.items():
            fractions[games.index(game), place[moment]] = fraction
    return moments, scores, fractions


def _draw(panel: Axes, moments: np.ndarray, values: np.ndarray, colours: str) -> Any:
    """Cells that meet in the middle between two evaluations, with their numbers if they are few."""
    middles = (moments[1:] + moments[:-1]) / 2
    edges = np.array([0.0, *middles, moments[-1] or 1.0])
    panel.set_facecolor(_UNKNOWN)
    shown = np.ma.masked_invalid(values)
    picture = panel.pcolormesh(edges, np.arange(len(values) + 1) - 0.5, shown, cmap=colours, norm=Normalize(0, 1))
    panel.set_xlim(0, edges[-1])
    for spine in panel.spines.values():
        spine.set_visible(False)
    for (row, column), value in np.ndenumerate(values) if len(moments) <= _WRITTEN else ():
        if np.isfinite(value):
            red, green, blue, _ = colormaps[colours](np.clip(value, 0, 1))
            colour = "white" if 0.3 * red + 0.6 * green + 0.1 * blue < 0.5 else "black"
            middle = (edges[column] + edges[column + 1]) / 2
            text = f"{value:.2f}" if abs(value) < 100 else f"{value:.0e}"
            panel.text(middle, row, text.replace("-", "\N{MINUS SIGN}"), ha="center", va="center", color=colour)
    return picture
