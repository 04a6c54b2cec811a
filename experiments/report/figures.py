"""The pictures of a report, each drawn from the rows that its CSV file holds (see `experiments.report.numbers`).

Narrow enough for a telephone. What a colour says, a line's style or a label says too.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from evaluation.plots import BELOW, COLOURS, VISIT, add_legend, draw_scores_of, frame_scores, frame_unit, words
from experiments.report.numbers import PAPER, SINGLE, Row

WIDTH = 5.8  # inches
_BESIDE = 6  # games whose names find room under panels that stand beside each other
_STYLES = ("-", "--", "-.", ":")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_PAPER_STYLES = ((0, (1, 1)), (0, (4, 1, 1, 1)), (0, (5, 3)))

# Metrics that are shown over time: what they are called, and whether the axis is logarithmic.
CONSOLIDATION = {
    "consolidation/ratio": ("|penalty's gradient| / |loss's|", True),
    "consolidation/cancelled": ("share of loss's gradient cancelled", False),
    "consolidation/stiff_share": ("share of weights stiffer than loss", False),
    "consolidation/held_share": ("share of weights with a precision", False),
    "consolidation/log10_stiffness_q50": ("log10 stiffness, median", False),
    "consolidation/log10_stiffness_q99": ("log10 stiffness, 99th percentile", False),
    "consolidation/penalty": ("penalty", True),
    **{f"consolidation/dormant_layer{i}": (f"share of dormant units, layer {i + 1}", False) for i in range(4)},
}
LEARNING = {
    "learning/loss": ("loss, mean over a minibatch", True),
    "learning/td_error": ("|TD error|", False),
    "learning/q": ("mean Q", False),
    "learning/q_max": ("largest Q", False),
    "learning/gradient_norm": ("gradient norm, sum over a minibatch", True),
    "learning/fisher_mean": ("mean Fisher information on leaving", True),
    "learning/active_fraction": ("share of hidden units used on leaving", False),
}


def draw_scores(schedule: Sequence[Row], scores: Sequence[Row], games: Sequence[str]) -> Figure:
    """Figure 3A: above, which game was played when; below, every game's score over time, its own visits shaded. A
    colour is an agent; its band is the range over seeds."""
    end = max(row["last_frame"] for row in schedule)
    scale, unit = frame_unit(end)
    count = len(games)
    figure = Figure(figsize=(WIDTH, 1.2 + 0.17 * count + 0.95 * count), layout="constrained")
    ratios = (0.3 + 0.17 * count, *[0.95] * count)
    timeline, *panels = figure.subplots(count + 1, 1, sharex=True, height_ratios=ratios)
    spans: dict[str, list[tuple[float, float]]] = {game: [] for game in games}
    for row in schedule:
        spans[row["game"]].append((row["first_frame"] / scale, (row["last_frame"] - row["first_frame"]) / scale))
    for place, game in enumerate(games):
        timeline.broken_barh(spans[game], (place - 0.4, 0.8), color=VISIT, linewidth=0)
    timeline.set_yticks(range(count), [words(game) for game in games])
    timeline.set_ylim(count - 0.4, -0.6)
    timeline.set_title("game played", loc="left")
    for panel, game in zip(panels, games, strict=True):
        whole = panel.get_xaxis_transform()
        panel.broken_barh(spans[game], (0, 1), transform=whole, color=VISIT, alpha=0.2, linewidth=0)
        for i, (agent, its) in enumerate(by(scores, "agent").items()):
            points = [row for row in its if row["game"] == game]
            x, *y = (np.array([row[name] for row in points]) for name in ("frames", "score", "least", "most"))
            draw_scores_of(panel, x / scale, *y, **line_style(i, len(x)), label=words(agent))
        frame_scores(panel)
        panel.set_title(words(game), loc="left")
    figure.supylabel(f"human-normalised score ({BELOW})")
    panels[-1].set_xlabel(unit)
    panels[-1].set_xlim(0, 1.01 * end / scale)
    return finished(figure, panels)


def draw_totals(rows: Sequence[Row], games: int) -> Figure:
    """Figure 3B: the total over frames, the interval over seeds as a band; where the paper's curves go ten times as
    far, on a logarithmic axis."""
    figure = Figure(figsize=(WIDTH, 4.0), layout="constrained")
    axes = figure.subplots()
    scale, unit = frame_unit(max(row["frames"] for row in rows))
    agents = by(rows, "agent")
    ours = [name for name in agents if name not in (SINGLE, *PAPER)]
    for name, its in agents.items():
        x, y = [row["frames"] / scale for row in its], [row["total"] for row in its]
        if name == SINGLE:
            axes.plot(x, y, color="black", linewidth=1, linestyle=(0, (6, 2)), label=words(name))
        elif name in ours:
            style = line_style(ours.index(name), len(x))
            axes.plot(x, y, **style, label=words(name))
            axes.fill_between(
                x, [row["low"] for row in its], [row["high"] for row in its], color=style["color"], alpha=0.2, lw=0
            )
        else:
            place = PAPER.index(name)
            axes.plot(
                x,
                y,
                color=("0.3", "0.5", "0.65")[place],
                linewidth=1,
                linestyle=_PAPER_STYLES[place],
                label=words(name),
            )
    axes.axhline(0, color="grey", linewidth=0.8, linestyle=":")
    shown = [row["frames"] for row in rows if row["agent"] in ours and row["frames"] > 0]
    if shown and max(row["frames"] for row in rows) > 10 * max(shown):
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.set_xlim(left=0.8 * min(shown) / scale)
    else:
        axes.set_xlim(left=0)
    axes.set_xlabel(unit)
    axes.set_ylabel(f"total clipped human-normalised score\n({games} games, at most {games})")
    return finished(figure, [axes])


def draw_own_play(rows: Sequence[Row], games: Sequence[str], random: Sequence[float], human: Sequence[float]) -> Figure:
    """Figure 4: raw score over frames of the game itself: the mean over an agent's runs and their range as a band, or a
    line per run where they were not evaluated after equally much play; tails lead to what was left of it."""
    scale, unit = frame_unit(max(row["own_frames"] for row in rows))
    figure, panels = _grid(len(games), 1.55)
    agents = by(rows, "agent")
    ours = [name for name in agents if name != SINGLE]
    for panel, game, low, high in zip(panels, games, random, human, strict=True):
        _reference(panel, low, high)
        for name, its in agents.items():
            for x, fresh, left in _lines([row for row in its if row["game"] == game]):
                style = {"color": "black", "linewidth": 1} if name == SINGLE else line_style(ours.index(name), len(x))
                panel.plot(x / scale, fresh.mean(0), **style, label=words(name))
                panel.fill_between(x / scale, fresh.min(0), fresh.max(0), color=style["color"], alpha=0.15, lw=0)
                if name != SINGLE:
                    panel.vlines(x / scale, fresh.mean(0), left.mean(0), color=style["color"], linewidth=0.7)
        panel.set_title(words(game), loc="left")
        panel.set_xlim(left=0)
    figure.supxlabel(unit.replace("frames", "frames of the game itself"))
    figure.supylabel("raw score")
    return finished(figure, panels)


def _lines(rows: Sequence[Row]) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """(own frames [P], fresh [S, P], left [S, P]): of all seeds together if they have the same P, else of each."""
    seeds = []
    for run in by(rows, "seed").values():
        x, fresh, left = (np.array([row[name] for row in run]) for name in ("own_frames", "raw_fresh", "raw_left"))
        seeds.append((x, fresh[None], left[None]))
    if len({tuple(x) for x, _, _ in seeds}) == 1:
        amounts, *scores = zip(*seeds, strict=True)
        fresh, left = map(np.concatenate, scores)
        yield amounts[0], fresh, left
    else:
        yield from seeds


def draw_metrics(rows: Sequence[Row], names: Mapping[str, tuple[str, bool]], agents: Sequence[str]) -> Figure:
    """A panel per metric that was logged: mean over seeds, and their range as a band. `agents` are those of the report,
    in the order of their colours."""
    logged = by(rows, "metric")
    scale, unit = frame_unit(max(row["frames"] for row in rows))
    figure, panels = _grid(len(logged), 1.5)
    for panel, (metric, its) in zip(panels, logged.items(), strict=True):
        title, logarithmic = names[metric]
        for name, points in by(its, "agent").items():
            x = [row["frames"] / scale for row in points]
            style = line_style(agents.index(name), len(x))
            panel.plot(x, [row["mean"] for row in points], **style, label=words(name))
            band = [row["least"] for row in points], [row["most"] for row in points]
            panel.fill_between(x, *band, color=style["color"], alpha=0.2, lw=0)
        if logarithmic and any(0 < row["mean"] < math.inf for row in its):
            panel.set_yscale("log")
        panel.set_title(title, loc="left")
        panel.set_xlim(0, 1.01 * max(row["frames"] for row in rows) / scale)
    figure.supxlabel(unit)
    return finished(figure, panels)


def draw_overlaps(rows: Sequence[Row], games: Sequence[str]) -> Figure:
    """Overlap of the Fisher information of every game (down) with every other (across), a panel per layer for every
    agent: beside each other, or of more than six games one below the other, so that their names can be read."""
    agents = by(rows, "agent")
    layers = max(row["layer"] for row in rows)
    many = len(games) > _BESIDE
    lines, columns = (len(agents) * layers, 1) if many else (len(agents), layers)
    height = 1.1 + 0.144 * len(games) if many else 0.8 + 0.35 * len(games)
    names = [words(game) for game in games]
    width = max(WIDTH, 2.5 + 0.136 * len(games)) if many else WIDTH
    figure = Figure(figsize=(width, 0.8 + height * lines), layout="constrained")
    panels = figure.subplots(lines, columns, squeeze=False)
    places = [(agent, layer) for agent in agents for layer in range(1, layers + 1)]
    for panel, (agent, layer) in zip(panels.flat, places, strict=True):
        values = np.full((len(games), len(games)), np.nan)
        for row in agents[agent]:
            if row["layer"] == layer:
                values[games.index(row["game"]), games.index(row["other"])] = row["overlap"]
        picture = panel.imshow(values, vmin=0, vmax=1, cmap="cividis", aspect="auto")
        panel.set_facecolor("0.9")
        for (y, x), value in np.ndenumerate(values):
            if len(games) <= 4 and not np.isnan(value):
                colour = "white" if value < 0.6 else "black"
                panel.text(x, y, f"{value:.2f}", ha="center", va="center", color=colour)
        shown = layer == 1 or many
        panel.set_yticks(range(len(games)), names if shown else [""] * len(games))
        turned: dict[str, Any] = (
            {"rotation": 90} if many else {"rotation": 60, "ha": "right", "rotation_mode": "anchor"}
        )
        panel.set_xticks(range(len(games)), names, **turned)
        first = f"{words(agent)}, layer {layer}" if many else f"{words(agent)}\nlayer {layer}"
        panel.set_title(first if shown else f"layer {layer}", loc="left")
    bar = figure.colorbar(picture, ax=panels.ravel().tolist(), shrink=min(1.0, 2 / lines))
    bar.set_label("Fisher overlap")
    return figure


# -- what pictures share --------------------------------------------------------------------------------------------


def by(rows: Iterable[Row], column: str) -> dict[Any, list[Row]]:
    """{value of the column: its rows}, in the order of their first."""
    found: dict[Any, list[Row]] = {}
    for row in rows:
        found.setdefault(row[column], []).append(row)
    return found


def line_style(i: int, points: int) -> dict[str, Any]:
    """Of the i-th agent's lines; marked where the points are few."""
    marked = {"marker": _MARKERS[i % len(_MARKERS)], "markersize": 3} if points <= 25 else {}
    turn = i // len(COLOURS) + i
    return {"color": COLOURS[i % len(COLOURS)], "linestyle": _STYLES[turn % len(_STYLES)], "linewidth": 1.1, **marked}


def _reference(panel: Axes, random: float, human: float) -> None:
    for height, style in ((random, ":"), (human, "--")):
        panel.axhline(height, color="grey", linewidth=0.7, linestyle=style)


def _grid(count: int, height: float) -> tuple[Figure, list[Axes]]:
    """A figure of two columns of panels, each so many inches high."""
    lines = (count + 1) // 2
    figure = Figure(figsize=(WIDTH, 0.8 + height * lines), layout="constrained")
    cells = list(figure.subplots(lines, 2, squeeze=False).flat)
    for cell in cells[count:]:
        cell.remove()
    return figure, cells[:count]


def finished(figure: Figure, labelled: Sequence[Axes]) -> Figure:
    """One legend for all panels above them."""
    add_legend(figure, {label: handle for panel in labelled for handle, label in _entries(panel)})
    return figure


def _entries(panel: Axes) -> Iterator[tuple[Any, str]]:
    handles, labels = panel.get_legend_handles_labels()
    yield from zip(handles, labels, strict=True)
