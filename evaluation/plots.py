"""What all pictures share: colours that the colour-blind can tell apart, words from files, and legends that find room.

Pictures are `Figure` objects and never pyplot's, so that one that fails leaves nothing behind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure

from tracking.files import printable

# Okabe and Ito's palette.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
_HATCHES = (None, "////", "xxxx", "....", "\\\\\\\\", "||||", "----", "++++")
_LINES = (("o", "-"), ("s", "--"), ("^", ":"), ("D", "-."), ("v", "-"), ("P", "--"), ("X", ":"), ("*", "-."))
Look = tuple[str, str | None]
"""Colour and hatch."""
Box = tuple[float, float, float]
"""The middle of a bar's height, its start and its width."""

_POINTS = 72  # in an inch
_LETTER = 0.62  # of the font's size, a letter's width on average
_LINE = 1.5  # of the font's size, the height of a line of a legend


def looks(games: Sequence[str]) -> dict[str, Look]:
    """How the bars of each game look; no two of 64 alike."""
    count, kinds = len(COLOURS), len(_HATCHES)
    return {game: (COLOURS[i % count], _HATCHES[i // count % kinds]) for i, game in enumerate(games)}


def line(look: Look) -> dict[str, Any]:
    """A game's line, as different from others' as its bars are."""
    colour, hatch = look
    marker, dashes = _LINES[_HATCHES.index(hatch)]
    return {"color": colour, "marker": marker, "linestyle": dashes, "markersize": 4}


def bars(axes: Axes, boxes: Sequence[Box], look: Look, height: float = 0.8) -> None:
    """Bars of one look, from (middle, start, width) each; the hatch is drawn in white on the colour. However many there
    are, they are one thing to draw; the axes' limits are left alone."""
    colour, hatch = look
    corners = [
        [
            (start, y - height / 2),
            (start + width, y - height / 2),
            (start + width, y + height / 2),
            (start, y + height / 2),
        ]
        for y, start, width in boxes
    ]
    axes.add_collection(
        PolyCollection(corners, facecolor=colour, hatch=hatch, edgecolor="white", linewidth=0), autolim=False
    )


def words(text: str) -> str:
    """Text from a file or a path as matplotlib shows it letter by letter: no formula between dollars, and no label that
    a legend leaves out."""
    plain = printable(text).replace("$", r"\$")
    return f" {plain}" if plain.startswith("_") else plain


def add_legend(figure: Figure, entries: Mapping[str, Any], size: float = 8.0) -> None:
    """A legend of {label, see `words`: handle} above all panels, in as many columns as fit; the figure grows by its
    height."""
    if not entries:
        return
    columns, height = legend_shape(list(entries), figure.get_figwidth(), size)
    figure.set_figheight(figure.get_figheight() + height)
    figure.legend(
        list(entries.values()),
        list(entries),
        loc="outside upper left",
        ncols=columns,
        frameon=False,
        fontsize=size,
    )


def legend_shape(labels: Sequence[str], width: float, size: float) -> tuple[int, float]:
    """(columns, height in inches) of a legend with these labels in a figure so wide."""
    column = (max(map(len, labels)) * _LETTER + 5) * size / _POINTS  # with the handle and the gaps
    columns = max(1, min(len(labels), int((width - 0.2) / column)))
    rows = -(-len(labels) // columns)
    return columns, (rows * _LINE + 1) * size / _POINTS
