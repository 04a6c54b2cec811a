"""How `experiments.perturbation` tells what it found: scores relative to the unperturbed policy, a table, a picture.

A *share* is (score - random) / (unperturbed - random): 1 is the unperturbed policy, 0 a random player. The paper plots
the plain ratio of scores, which is the same to half a percent in Breakout, where its agent has hundreds of points and a
random player 1.7; but it says nothing where scores can be negative or a random player has many points. Both are
reported.

`paper_perturbation.csv` holds the points of the paper's figure 3C (score: the plain ratio), read off the figure.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from rich.table import Table

from evaluation.play import GameResult
from evaluation.plots import COLOURS, words
from experiments.perturbation.noise import KINDS

NAMES = {"uniform": "uniform", "inverse_fisher": "inverse Fisher", "null_space": "null space"}
MARKERS = {"uniform": "o", "inverse_fisher": "x", "null_space": "D"}
RESAMPLES = 10_000
FLOOR = 1e-9  # nats; the picture ends here

Curve = list[tuple[float, float]]  # (scale, share)


def share(score: float, unperturbed: float, random: float) -> float:
    """(score - random) / (unperturbed - random)."""
    return (score - random) / (unperturbed - random)


def share_interval(
    returns: Sequence[float], unperturbed: Sequence[float], random: float, rng: np.random.Generator
) -> tuple[float, float, float] | None:
    """The share of the mean returns, and its 95 % interval: percentiles of a bootstrap over both sets of episodes.

    They are drawn independently, which makes it wider than need be where they were played on the same seeds.

    None where the unperturbed policy cannot be told from a random player, since its own interval contains that score.
    """
    means, whole = (
        rng.choice(np.asarray(each, float), (RESAMPLES, len(each))).mean(1) for each in (returns, unperturbed)
    )
    if np.quantile(whole, 0.025) <= random:
        return None
    better = whole > random
    low, high = np.quantile((means[better] - random) / (whole[better] - random), [0.025, 0.975])
    return share(float(np.mean(returns)), float(np.mean(unperturbed)), random), float(low), float(high)


def half_scale(curve: Curve) -> float | None:
    """The scale at which the share first falls below one half, interpolated over the logarithm of the scale; None if it
    does not, or is there from the start."""
    points = sorted(point for point in curve if point[0] > 0)
    for (small, above), (large, below) in pairwise(points):
        if above >= 0.5 > below:
            return float(small * (large / small) ** ((above - 0.5) / (above - below)))
    return None


@cache
def paper() -> dict[str, Curve]:
    """The paper's curves by kind of noise, in order of scale."""
    curves: dict[str, Curve] = {kind: [] for kind in KINDS}
    with open(Path(__file__).with_name("paper_perturbation.csv"), newline="") as file:
        for line in csv.DictReader(file):
            curves[line["kind"]].append((float(line["scale"]), float(line["score"])))
    return {kind: sorted(curve) for kind, curve in curves.items()}


def paper_at(kind: str, scale: float) -> float:
    """The paper's share, interpolated over the logarithm of the scale; that of the curve's end outside it."""
    scales, shares = zip(*paper()[kind], strict=True)
    return float(np.interp(np.log(scale), np.log(scales), shares)) if scale > 0 else 1.0


def row(
    kind: str,
    scale: float,
    result: GameResult,
    unperturbed: GameResult,
    random: float,
    rng: np.random.Generator,
    measures: Mapping[str, float | None],
) -> dict[str, Any]:
    """One line of the CSV file, with the `measures` on fixed observations at its end; None: not defined."""
    found = share_interval(result.returns, unperturbed.returns, random, rng)
    return {
        "kind": kind,
        "scale": scale,
        "episodes": len(result.returns),
        "mean": result.mean,
        "standard_error": result.standard_error,
        "ratio": result.mean / unperturbed.mean if unperturbed.mean else None,
        **dict(zip(("share", "low", "high"), found or (None, None, None), strict=True)),
        "paper": paper_at(kind, scale),
        **measures,
    }


def curves(rows: Sequence[Mapping[str, Any]]) -> dict[str, Curve]:
    """The shares by kind of noise, where they are defined."""
    known = [r for r in rows if r["share"] is not None]
    return {kind: [(r["scale"], r["share"]) for r in known if r["kind"] == kind] for kind in KINDS}


def halves(rows: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
    """`half_scale` of every kind of noise."""
    return {kind: half_scale(curve) for kind, curve in curves(rows).items()}


def table(rows: Sequence[Mapping[str, Any]], title: str) -> Table:
    """What a person reads."""
    shown = Table(title=title)
    for column in ("noise", "scale", "score", "share [95 %]", "paper", "divergence", "expected", "changed"):
        shown.add_column(column, justify="left" if column == "noise" else "right")
    for i, r in enumerate(rows):
        if i and r["kind"] != rows[i - 1]["kind"]:
            shown.add_section()
        shown.add_row(
            NAMES[r["kind"]],
            f"{r['scale']:.3g}",
            f"{r['mean']:,.1f} ± {r['standard_error']:,.1f}",
            "-" if r["share"] is None else f"{r['share']:.2f} [{r['low']:.2f}, {r['high']:.2f}]",
            f"{r['paper']:.2f}",
            f"{r['divergence']:.2g}",
            "-" if r["expected"] is None else f"{r['expected']:.2g}",
            f"{100 * r['changed']:.1f} %",
        )
    return shown


def plain(points: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The points without the returns of every episode: rows of a CSV file."""
    return [{name: value for name, value in point.items() if name != "returns"} for point in points]


def title(result: Mapping[str, Any]) -> str:
    """What was measured, in a line."""
    estimator, origin = result["settings"]["estimator"], result["fisher"]["origin"]
    return f"{result['game']} at {result['frames']:,} frames; Fisher information ({estimator}) from {origin}"


def write_csv(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """The rows with empty cells for None."""
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def figure(rows: Sequence[Mapping[str, Any]], title: str) -> Figure:
    """Share, divergence and changed actions over the scale; the paper's points are pale and dashed, the divergence
    that F expects is dotted, down to `FLOOR`. Scale 0 has no place on the axis."""
    picture = Figure(figsize=(6.4, 8), layout="constrained")
    panels = picture.subplots(3, 1, sharex=True, height_ratios=(3, 2, 1.4))
    for kind, colour in zip(KINDS, COLOURS, strict=False):
        look: dict[str, Any] = {"marker": MARKERS[kind], "color": colour, "markersize": 6, "markerfacecolor": "none"}
        mine = [r for r in rows if r["kind"] == kind and r["scale"] > 0]
        scored = [r for r in mine if r["share"] is not None]
        at, shares = [r["scale"] for r in scored], [r["share"] for r in scored]
        errors = [[max(0.0, r["share"] - r["low"]) for r in scored], [max(0.0, r["high"] - r["share"]) for r in scored]]
        panels[0].errorbar(at, shares, errors, capsize=2, label=NAMES[kind], **look)
        pale = {**look, "alpha": 0.4, "linewidth": 0.8, "markersize": 4}
        panels[0].plot(*zip(*paper()[kind], strict=True), "--", **pale)
        scales = [r["scale"] for r in mine]
        panels[1].plot(scales, [r["divergence"] for r in mine], **look)
        expected = [(r["scale"], r["expected"]) for r in mine if r["expected"]]
        if expected:
            panels[1].plot(*zip(*expected, strict=True), ":", color=colour)
        panels[2].plot(scales, [r["changed"] for r in mine], **look)
    panels[0].axhline(0.5, color="grey", linewidth=0.8, linestyle=":")
    panels[0].set_title(words(title))
    score = "score (0 random, 1 unperturbed)\npale: the paper, Breakout"
    for panel, label in zip(panels, (score, "divergence [nats]", "changed\ngreedy actions"), strict=True):
        panel.set_ylabel(label)
    panels[1].set_yscale("log")
    panels[1].set_ylim(bottom=FLOOR)
    panels[2].set_xscale("log")
    panels[2].set_ylim(0, 1)
    panels[2].set_xlabel("root mean square of the noise over the shared weights that the task uses")
    picture.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=3, frameon=False)
    return picture
