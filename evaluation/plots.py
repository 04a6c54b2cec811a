"""What all pictures share: one font size, colours that the colour-blind can tell apart, words from files, legends that
find room, and how they are saved.

Pictures are `Figure` objects and never pyplot's, so that one that fails leaves nothing behind. Importing this module
sets matplotlib's style for the process.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from tracking.command import check_writable
from tracking.files import printable, write_atomically

SIZE = 8.0
"""The size of all letters [points]."""
LOWEST = -0.5
"""Human-normalised: what is below is drawn here, as a triangle. A game that is played far below random play, such as
krull at -1.5, would else take most of its panel (see `lowest_of`)."""
BELOW = f"triangle: below \N{MINUS SIGN}{-LOWEST:g}"
"""The words for it, which stand in every such picture."""
VISIT = "0.55"
"""The grey of a game's visits where a colour means an agent."""
DPI = 200
"""Dots per inch of a picture in a file."""

matplotlib.rcParams.update(
    {
        "font.size": SIZE,  # which ticks, labels and legends follow
        "axes.titlesize": "medium",
        "figure.titlesize": "medium",
        "figure.labelsize": "medium",
        "legend.fontsize": "medium",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "svg.hashsalt": "",
    }
)

# Okabe and Ito's palette without its yellow, which white paper swallows, and three of Tol's.
COLOURS = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#882255",
    "#999933",
    "#332288",
    "#000000",
)
_FORMATS = (".png", ".svg", ".pdf")
_NO_DATE = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}  # the same picture is the same file
_HATCHES = (None, "////", "xxxx", "....", "\\\\\\\\", "||||", "----", "++++")
_LINES = (("o", "-"), ("s", "--"), ("^", ":"), ("D", "-."), ("v", "-"), ("P", "--"), ("X", ":"), ("*", "-."))
Look = tuple[str, str | None]
"""Colour and hatch."""
Box = tuple[float, float, float]
"""The middle of a bar's height, its start and its width."""

_SENSELESS = 1e12  # is no score
_POINTS = 72  # in an inch
_LETTER = 0.62  # of the font's size, a letter's width on average
_LINE = 1.5  # of the font's size, the height of a line of a legend


def check_place(option: str, path: Path) -> None:
    """ValueError with one sentence unless `save` knows the format of the file that this option names; OSError unless
    something can be written there."""
    if path.suffix not in _FORMATS:
        raise ValueError(f"{option}: the file's name must end with {' or '.join(_FORMATS)}, is {path}")
    if path.is_dir():
        raise ValueError(f"{option}: {path} is a folder; name a file")
    check_writable(path.parent)


def save(figure: Figure, path: Path) -> None:
    """Write the figure to `path`, and a PNG as SVG beside it too; each file is there whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for file in [path, path.with_suffix(".svg")] if path.suffix == ".png" else [path]:
        kind = file.suffix[1:]
        write_atomically(file, partial(figure.savefig, format=kind, dpi=DPI, metadata=_NO_DATE.get(kind)))


def pixels(figure: Figure, dpi: int = 100) -> np.ndarray:
    """The figure as uint8 [H, W, 3]."""
    figure.set_dpi(dpi)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def looks(games: Sequence[str]) -> dict[str, Look]:
    """How the bars of each game look; no two of 80 alike."""
    count, kinds = len(COLOURS), len(_HATCHES)
    return {game: (COLOURS[i % count], _HATCHES[i // count % kinds]) for i, game in enumerate(games)}


def line(look: Look) -> dict[str, Any]:
    """A game's line, as different from others' as its bars are."""
    colour, hatch = look
    marker, dashes = _LINES[_HATCHES.index(hatch)]
    return {"color": colour, "marker": marker, "linestyle": dashes, "markersize": 4}


def frame_unit(end: float) -> tuple[float, str]:
    """(frames in a unit, the axis's label) that make the numbers up to `end` short."""
    return (1e6, "environment frames [millions]") if end >= 5e4 else (1e3, "environment frames [thousands]")


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


def lowest_of(scores: Iterable[float]) -> float:
    """Where a panel of these scores is cut: at `LOWEST`, unless there would be nothing left to see."""
    return LOWEST if any(score >= LOWEST for score in scores) else -np.inf


def draw_scores_of(
    panel: Axes,
    x: np.ndarray,
    scores: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    *,
    lowest: float = LOWEST,
    **style: Any,
) -> Line2D:
    """A line of human-normalised scores and their band from `low` to `high`, cut at `lowest`; returns the line."""
    colour = style["color"]
    scores, low, high = (np.where(np.abs(each) < _SENSELESS, each, np.nan) for each in (scores, low, high))
    below = scores < lowest
    panel.fill_between(x, np.maximum(low, lowest), np.maximum(high, lowest), alpha=0.2, linewidth=0, color=colour)
    triangles = panel.plot(x[below], np.full(below.sum(), lowest), "v", color=colour, markersize=4, clip_on=False)[0]
    drawn = panel.plot(x, np.maximum(scores, lowest), **{"linewidth": 1.1, "clip_on": False, **style})[0]
    for each in (triangles, drawn):  # what is not clipped would count for the layout
        each.set_in_layout(False)
    return drawn


def frame_scores(panel: Axes, lowest: float = LOWEST) -> None:
    """The axis of such a panel, with lines at random play (dotted) and at human play (dashed) where it reaches them."""
    low, high = panel.get_ylim()
    panel.set_ylim(max(low, lowest), max(high, 0.25))
    for height, style in ((0, ":"), (1, "--")):
        if height < panel.get_ylim()[1]:
            panel.axhline(height, color="grey", linewidth=0.7, linestyle=style, zorder=1)


def words(text: str) -> str:
    """Text from a file or a path as matplotlib shows it letter by letter: no formula between dollars, and no label that
    a legend leaves out."""
    plain = printable(text).replace("$", r"\$")
    return f" {plain}" if plain.startswith("_") else plain


def add_legend(figure: Figure, entries: Mapping[str, Any], size: float = SIZE) -> None:
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
