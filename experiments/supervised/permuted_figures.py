"""Pictures and tables of permuted MNIST, beside the paper's numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from rich.table import Table

from evaluation.plots import COLOURS, save
from evaluation.retention import student_quantile
from experiments.supervised.permuted_tasks import Rows

Result = dict[str, list[float]]

PAPER = {
    "a": {"ewc": [0.974, 0.964, 0.951], "l2": [0.959, 0.54, 0.903], "sgd": [0.872, 0.935, 0.973]},
    "b": {  # of a single task, .984, to start with; the paper's curves start at two
        "ewc": [0.984, 0.983, 0.982, 0.981, 0.979, 0.978, 0.976, 0.975, 0.971, 0.969],
        "sgd_dropout": [0.984, 0.972, 0.954, 0.935, 0.910, 0.896, 0.878, 0.823, 0.822, 0.783],
    },
    "c": {
        "overlap_8": [0.787, 0.779, 0.826, 0.862, 0.883, 0.902],
        "overlap_26": [0.298, 0.525, 0.705, 0.789, 0.856, 0.893],
    },
}
NAMES = {
    "ewc": "EWC",
    "online_ewc": "online EWC",
    "l2": "L2",
    "sgd": "SGD",
    "sgd_dropout": "SGD + dropout",
    "joint": "all ten at once",
    "overlap_self": "the same task twice",
    "overlap_8": "8 × 8 patch",
    "overlap_26": "26 × 26 patch",
    "sampled_self": "the same task twice, sampled",
    "sampled_8": "8 × 8, sampled",
    "sampled_26": "26 × 26, sampled",
}


LEAST = 0.7  # of figure b's axis: what forgets everything must not press the others together


def draw_curves(curves: dict[str, Rows], epochs: int, path: Path) -> None:
    """Accuracy on every task from its own start on, a panel each; a cross marks where the paper's curve ends."""
    tasks = len(next(iter(curves.values()))[-1])
    figure = Figure(figsize=(5.8, 5.4), layout="constrained")
    panels = figure.subplots(tasks, 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    for task, panel in enumerate(panels):
        for colour, (method, rows) in zip(COLOURS, curves.items(), strict=False):
            points = [(i + 1, row[task]) for i, row in enumerate(rows) if len(row) > task]
            panel.plot(*zip(*points, strict=True), color=colour, label=NAMES[method])
            panel.plot(len(rows), PAPER["a"][method][task], "x", color=colour, clip_on=False)
        for start in range(1, tasks):
            panel.axvline(start * epochs + 0.5, color="grey", linewidth=0.8, linestyle=":")
        panel.set_ylabel(f"task {'ABC'[task]}")
    panels[0].set_title("accuracy; crosses: the paper at the end")
    panels[-1].set_xlabel("epochs")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=3, frameon=False)
    save(figure, path)


def draw_lines(curves: Mapping[str, Rows], paper: Result, x: str, y: str, path: Path) -> None:
    """A line per entry through the means over its rows (one per seed), their range as a band; the paper's dashed.
    What falls below LEAST leaves the picture."""
    figure = Figure(figsize=(5.8, 4.0), layout="constrained")
    axes = figure.subplots()
    most = max(len(row) for rows in curves.values() for row in rows)
    for colour, (name, rows) in zip(COLOURS, curves.items(), strict=False):
        places = range(most - len(rows[0]) + 1, most + 1)  # a single value belongs to the end
        axes.fill_between(places, np.min(rows, axis=0), np.max(rows, axis=0), color=colour, alpha=0.2, lw=0)
        axes.plot(places, np.mean(rows, axis=0), "o-", color=colour, markersize=4, label=NAMES[name])
        if name in paper:
            axes.plot(range(1, len(paper[name]) + 1), paper[name], "x--", color=colour, label=f"{NAMES[name]}, paper")
    axes.set_ylim(bottom=max(axes.get_ylim()[0], LEAST))
    axes.set_xlabel(x)
    axes.set_ylabel(f"{y} (from {LEAST} up)")
    figure.legend(loc="outside upper center", ncols=2, frameon=False)
    save(figure, path)


def draw_overlaps(curves: Mapping[str, Rows], paper: Result, path: Path) -> None:
    """A panel per way of estimating, both at the same networks: means over the rows (one per seed), their range
    as a band; the paper's dashed in both."""
    figure = Figure(figsize=(5.8, 3.2), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for panel, (kind, title) in zip(
        panels, {"overlap": "exact", "sampled": "2,000 sampled labels"}.items(), strict=True
    ):
        for colour, pair in zip(COLOURS, ("self", "8", "26"), strict=False):
            rows = curves[f"{kind}_{pair}"]
            layers = range(1, len(rows[0]) + 1)
            panel.fill_between(layers, np.min(rows, axis=0), np.max(rows, axis=0), color=colour, alpha=0.2, lw=0)
            label = NAMES[f"overlap_{pair}"]
            panel.plot(layers, np.mean(rows, axis=0), "o-", color=colour, markersize=4, label=label)
            if values := paper.get(f"overlap_{pair}"):
                panel.plot(range(1, len(values) + 1), values, "x--", color=colour, label=f"{label}, paper")
        panel.set_title(title)
        panel.set_xlabel("layer")
    panels[0].set_ylabel("Fisher overlap")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=3, frameon=False)
    save(figure, path)


def draw_sensitivity(strengths: Sequence[float], ends: Rows, path: Path) -> None:
    """Accuracy at the end over lambda, by task and in the mean."""
    figure = Figure(figsize=(5.2, 3.2), layout="constrained")
    axes = figure.subplots()
    for task, colour in zip(range(len(ends[0])), COLOURS, strict=False):
        axes.semilogx(strengths, [row[task] for row in ends], "o-", color=colour, label=f"task {'ABC'[task]}")
    axes.semilogx(strengths, [np.mean(row) for row in ends], "k--", label="mean")
    axes.set_xlabel("λ")
    axes.set_ylabel("accuracy after the last task")
    figure.legend(loc="outside upper center", ncols=4, frameon=False)
    save(figure, path)


def learned_and_forgotten(runs: Mapping[str, Sequence[Rows]]) -> Table:
    """By method, from every seed's accuracies on the tasks so far, a row per task: what a task was learned to, what the
    ten are at in the end with its 95 % interval over the seeds (Student's t), and the difference."""
    shown = Table("mean over tasks", "as learned", "in the end", "±", "forgotten")
    for method, tables in runs.items():
        ends = np.array([np.mean(rows[-1]) for rows in tables])
        one_by_one = [np.mean([row[-1] for row in rows]) for rows in tables if len(rows) > 1]
        first, last = float(np.mean(one_by_one)) if one_by_one else math.nan, float(ends.mean())
        reach = student_reach(ends)
        shown.add_row(NAMES[method], *(_or_nothing(each) for each in (first, last, reach, first - last)))
    return shown


def student_reach(values: np.ndarray) -> float:
    """How far the 95 % interval of the mean of independent normal values reaches to either side; nan of one value."""
    if len(values) < 2:
        return math.nan
    return float(student_quantile(0.975, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5)


def _or_nothing(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.4f}"


def table(result: Result, paper: Result) -> Table:
    """The result beside the paper's numbers."""
    columns = max(len(values) for values in result.values())
    shown = Table()
    shown.add_column("")
    for i in range(columns):
        shown.add_column(str(i + 1), justify="right")
    for name, values in result.items():
        shown.add_row(NAMES.get(name, name), *(f"{value:.4g}" if value > 1 else f"{value:.3f}" for value in values))
        if name in paper:
            shown.add_row("  paper", *(f"{value:.3f}" for value in paper[name]), style="dim")
    return shown
