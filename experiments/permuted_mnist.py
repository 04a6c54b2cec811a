"""The paper's experiments on permuted MNIST (figure 2 of the arXiv version), beside the paper's numbers.

    python -m experiments.permuted_mnist --figure a [--data DIR] [--json]     three tasks: EWC, L2 and plain SGD
    python -m experiments.permuted_mnist --figure b                           ten tasks: EWC, SGD with dropout
    python -m experiments.permuted_mnist --figure c                           Fisher overlap by depth
    python -m experiments.permuted_mnist --figure a --sensitivity             EWC over three decades of lambda

A task is MNIST with its pixels rearranged; one network with one head learns the tasks one after the other and is
never told which it sees. `DEFAULTS` states every setting. Prints a table, draws a picture and, with `--json`, prints
one JSON object as the last line. The same seed and number of threads give the same numbers.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from math import inf
from pathlib import Path
from typing import Any, get_args

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from rich.console import Console
from rich.table import Table
from torch import Tensor

from agent.consolidators.consolidation import Consolidation, NoConsolidation, OnlineAnchor, SeparateAnchors
from agent.fisher import fisher_overlap
from configs.run import numpy_generator, torch_generator
from evaluation.tasks import COLOURS
from experiments.classifier import Classifier, Consolidator, Descent, Estimator, Samples, SteadyPull, learn, subset
from experiments.mnist import PIXELS, Mnist, load, patch_permutation, permutation
from tracking import command
from tracking.console import print_json
from tracking.run_directory import BAD_INPUT


@dataclass(frozen=True)
class Settings:
    """Everything that is free. The strengths are quoted at the scale of a loss summed over the minibatch."""

    layers: int  # hidden layers
    width: int  # units in each
    epochs: int  # per task
    batch: int
    rate: float  # of the summed loss
    strength: float  # lambda of EWC
    l2: float  # lambda of the L2 penalty
    estimator: Estimator  # of the Fisher information
    fisher_samples: int  # training digits it is measured on
    drop_inputs: float = 0.0  # dropout of pixels
    drop_hidden: float = 0.0  # of hidden units
    last_rate: float = 1.0  # share of the rate that a task's last epoch has
    damping: float = 0.0  # share of a layer's mean Fisher information added to all its weights
    normalise: bool = False  # every Fisher divided by its mean over all weights
    last_width: int = 0  # units in the last hidden layer, if another number
    pixel_mean: float = 0.0  # subtracted from every grey level


DEFAULTS = {
    "a": Settings(2, 400, 20, 64, 1 / 3000, 30_000.0, 10.0, "exact", 2000),
    "b": Settings(2, 1000, 20, 256, 1e-3, 30_000.0, 10.0, "exact", 10_000, drop_inputs=0.2, drop_hidden=0.5),
    "c": Settings(6, 100, 100, 64, 1 / 3000, 30_000.0, 10.0, "exact", 10_000),
}
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
    "l2": "L2",
    "sgd": "SGD",
    "sgd_dropout": "SGD + dropout",
    "overlap_self": "the same task twice",
    "overlap_8": "8 × 8 patch",
    "overlap_26": "26 × 26 patch",
}
FACTORS = [10 ** (step / 2) for step in range(-3, 4)]  # of lambda, for --sensitivity

Rows = list[list[float]]
Result = dict[str, list[float]]


@dataclass(frozen=True)
class Experiment:
    """A figure's tasks in order (`places`: where each takes its pixels from), settings and seed. `tell` is given a
    line after every task."""

    mnist: Mnist
    places: Sequence[np.ndarray]
    settings: Settings
    seed: int
    tell: Callable[[str], None]

    @property
    def tasks(self) -> range:
        """0, 1, …"""
        return range(len(self.places))

    def network(self) -> Classifier:
        """A network that has learned nothing."""
        s = self.settings
        hidden = [s.width] * s.layers
        if s.last_width:
            hidden[-1] = s.last_width
        return Classifier.fresh(hidden, torch_generator(self.seed, "network"))

    def train(self, task: int) -> Samples:
        """What the task is learned from."""
        return Samples.of(self.mnist.train, self.places[task], self.settings.pixel_mean)

    def fisher(self, network: Classifier, task: int, again: bool = False) -> list[Tensor]:
        """The task's Fisher information at the network's weights; `again`: from other digits and draws."""
        generator = torch_generator(self.seed, f"Fisher {task}{' again' if again else ''}")
        samples = subset(self.train(task), self.settings.fisher_samples, generator)
        return network.fisher(samples, self.settings.estimator, generator)

    def learn(self, method: str, network: Classifier, tasks: range, every_epoch: bool = False) -> Rows:
        """Lead the network through `tasks` as the method does (a key of NAMES); it has learned those before.

        Returns its accuracies on all tasks so far, a row at the end of every task or of every epoch.
        """
        s = self.settings
        how = Descent(s.epochs, s.batch, s.rate, s.drop_inputs, s.drop_hidden, s.last_rate)
        consolidator = self.consolidator(method, network.weights)
        tests = [Samples.of(self.mnist.test, places, s.pixel_mean) for places in self.places]
        rows: Rows = []

        def judge(task: int) -> None:
            rows.append([network.accuracy(test) for test in tests[: task + 1]])

        for task in tasks:
            begin = time.perf_counter()
            if task > 0:
                measured = partial(self.fisher, network, task - 1)
                spread = partial(evenly, network.weights)
                consolidator.leave(task - 1, network.weights, spread if method == "l2" else measured)
            consolidator.enter(task)
            generator = torch_generator(self.seed, f"batches {task}")
            after_epoch = partial(judge, task) if every_epoch else lambda: None
            learn(network, self.train(task), how, consolidator, generator, after_epoch)
            if not every_epoch:
                judge(task)
            marks = " ".join(f"{each:.3f}" for each in rows[-1])
            self.tell(f"{NAMES[method]}, task {task + 1}: {marks} ({time.perf_counter() - begin:.0f} s)")
        return rows

    def consolidator(self, method: str, weights: Sequence[Tensor]) -> Consolidator:
        """What the method does about earlier tasks: nothing, or anchors that are stiff by Fisher or evenly."""
        s = self.settings
        if method == "l2":
            return Consolidation(SeparateAnchors(), SteadyPull(), weights, strength=s.l2, uniform=True)
        if method not in ("ewc", "online_ewc"):
            return NoConsolidation()
        memory = SeparateAnchors() if method == "ewc" else OnlineAnchor(decay=1.0)
        return Consolidation(memory, SteadyPull(), weights, strength=s.strength, normalise=s.normalise, floor=s.damping)


def evenly(weights: Sequence[Tensor]) -> list[Tensor]:
    """One for every weight: what L2 holds them with."""
    return [torch.ones_like(w) for w in weights]


def random_places(tasks: int, seed: int) -> list[np.ndarray]:
    """A permutation of all pixels per task."""
    return [permutation(numpy_generator(seed, f"permutation {task}")) for task in range(tasks)]


# -- the figures ----------------------------------------------------------------------------------------------


def three_tasks(experiment: Experiment, figure: Path) -> Result:
    """(a) EWC, L2 and plain SGD through three tasks; the first is the same for all of them."""
    network = experiment.network()
    before = experiment.learn("sgd", network, experiment.tasks[:1], every_epoch=True)
    curves = {
        method: before + experiment.learn(method, network.copy(), experiment.tasks[1:], every_epoch=True)
        for method in ("ewc", "l2", "sgd")
    }
    draw_curves(curves, experiment.settings.epochs, figure)
    return {method: rows[-1] for method, rows in curves.items()}


def ten_tasks(experiment: Experiment, figure: Path) -> Result:
    """(b) mean accuracy over the tasks so far, of EWC and of SGD with dropout, at the same time on half the threads."""
    methods = ("ewc", "sgd_dropout")
    torch.set_num_threads(max(1, torch.get_num_threads() // len(methods)))
    with ThreadPoolExecutor(len(methods)) as pool:
        rows = pool.map(lambda method: experiment.learn(method, experiment.network(), experiment.tasks), methods)
        result = {m: [float(np.mean(row)) for row in its] for m, its in zip(methods, rows, strict=True)}
    draw_lines(result, PAPER["b"], "number of tasks", "mean accuracy over the tasks", figure)
    return result


def overlaps(experiment: Experiment, figure: Path) -> Result:
    """(c) overlap by depth of the Fisher information of two tasks that EWC learns after each other, the second with
    a patch permuted; layers of weights into the hidden layers. Beside it that of two independent estimates for one
    task and network: what noise leaves of an overlap of 1."""
    network = experiment.network()
    experiment.learn("ewc", network, experiment.tasks[:1])
    depth = experiment.settings.layers
    twice = (experiment.fisher(network, 0), experiment.fisher(network, 0, again=True))
    result: Result = {"overlap_self": fisher_overlap(*twice)[:depth]}
    for side in (8, 26):
        places = [experiment.places[0], patch_permutation(side, numpy_generator(experiment.seed, f"patch {side}"))]
        second, both = network.copy(), replace(experiment, places=places)
        both.learn("ewc", second, both.tasks[1:])
        one, other = (both.fisher(second, task) for task in both.tasks)
        result[f"overlap_{side}"] = fisher_overlap(one, other)[:depth]
    draw_lines(result, PAPER["c"], "layer", "Fisher overlap", figure)
    return result


def sensitivity(experiment: Experiment, figure: Path) -> Result:
    """(a) EWC alone over three decades of lambda: the accuracies at the end by task."""
    network = experiment.network()
    experiment.learn("sgd", network, experiment.tasks[:1])
    strengths = [experiment.settings.strength * factor for factor in FACTORS]
    ends = []
    for strength in strengths:
        experiment.tell(f"lambda {strength:.4g}")
        one = replace(experiment, settings=replace(experiment.settings, strength=strength))
        ends.append(one.learn("ewc", network.copy(), experiment.tasks[1:])[-1])
    draw_sensitivity(strengths, ends, figure)
    return {"lambda": strengths, **{f"task_{i + 1}": list(each) for i, each in enumerate(zip(*ends, strict=True))}}


# -- pictures and the command ---------------------------------------------------------------------------------


def draw_curves(curves: dict[str, Rows], epochs: int, path: Path) -> None:
    """Accuracy on every task from its own start on, a panel each; a cross marks where the paper's curve ends."""
    tasks = len(next(iter(curves.values()))[-1])
    figure, panels = plt.subplots(tasks, 1, figsize=(6.4, 6.4), sharex=True, sharey=True, layout="constrained")
    for task, panel in enumerate(panels):
        for colour, (method, rows) in zip(COLOURS, curves.items(), strict=False):
            points = [(i + 1, row[task]) for i, row in enumerate(rows) if len(row) > task]
            panel.plot(*zip(*points, strict=True), color=colour, label=NAMES[method])
            panel.plot(len(rows), PAPER["a"][method][task], "x", color=colour, clip_on=False)
        for start in range(1, tasks):
            panel.axvline(start * epochs + 0.5, color="grey", linewidth=0.8, linestyle=":")
        panel.set_ylabel(f"task {'ABC'[task]}")
    panels[0].set_title("accuracy; crosses: the paper at the end", fontsize="medium")
    panels[-1].set_xlabel("epochs")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=3, frameon=False)
    _save(figure, panels, path)


def draw_lines(result: Result, paper: Result, x: str, y: str, path: Path) -> None:
    """A line per entry of the result, and the paper's dashed."""
    figure, axes = plt.subplots(figsize=(6.4, 4), layout="constrained")
    for colour, (name, values) in zip(COLOURS, result.items(), strict=False):
        axes.plot(range(1, len(values) + 1), values, "o-", color=colour, label=NAMES[name])
        if name in paper:
            axes.plot(range(1, len(paper[name]) + 1), paper[name], "x--", color=colour, label=f"{NAMES[name]}, paper")
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    figure.legend(loc="outside upper center", ncols=2, frameon=False)
    _save(figure, [axes], path)


def draw_sensitivity(strengths: Sequence[float], ends: Rows, path: Path) -> None:
    """Accuracy at the end over lambda, by task and in the mean."""
    figure, axes = plt.subplots(figsize=(5.2, 3.2), layout="constrained")
    for task, colour in zip(range(len(ends[0])), COLOURS, strict=False):
        axes.semilogx(strengths, [row[task] for row in ends], "o-", color=colour, label=f"task {'ABC'[task]}")
    axes.semilogx(strengths, [np.mean(row) for row in ends], "k--", label="mean")
    axes.set_xlabel("λ")
    axes.set_ylabel("accuracy after the last task")
    figure.legend(loc="outside upper center", ncols=4, frameon=False)
    _save(figure, [axes], path)


def _save(figure: Any, panels: Sequence[Axes], path: Path) -> None:
    for axes in panels:
        axes.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
    plt.close(figure)


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


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        settings = chosen_settings(options)
        mnist = load(options.data)
        if options.held_out:
            mnist = mnist.held_out(options.held_out)
    except ValueError as error:
        print(f"experiments.permuted_mnist: {error}", file=sys.stderr)
        return BAD_INPUT
    torch.set_flush_denormal(True)  # tiny Fisher information would slow every step down
    if options.threads:
        torch.set_num_threads(options.threads)
    places = {
        "a": lambda: random_places(3, options.seed),
        "b": lambda: random_places(10, options.seed),
        "c": lambda: [np.arange(PIXELS)],
    }
    draw = {"a": sensitivity if options.sensitivity else three_tasks, "b": ten_tasks, "c": overlaps}[options.figure]
    name = f"{options.figure}{'_sensitivity' if options.sensitivity else ''}"
    picture = options.plot or Path(f"runs/permuted_mnist_{name}.png")
    console = Console(width=110)
    tell = partial(console.print, style="dim", highlight=False, soft_wrap=True)
    begin = time.perf_counter()
    experiment = Experiment(mnist, places[options.figure](), settings, options.seed, tell)
    result = draw(experiment, picture)
    seconds = time.perf_counter() - begin
    paper = {} if options.sensitivity else PAPER[options.figure]
    console.print(table(result, paper))
    console.print(f"{seconds:.0f} s; written: {picture}")
    if options.json:
        told = {"figure": name, "seed": options.seed, "seconds": round(seconds), "settings": asdict(settings)}
        print_json({**result, **told, "paper": paper})
    return 0


def chosen_settings(options: argparse.Namespace) -> Settings:
    """The figure's defaults with what the command line changes; ValueError says what cannot be."""
    if options.sensitivity and options.figure != "a":
        raise ValueError("--sensitivity goes with --figure a")
    for name in ("layers", "width", "epochs", "batch", "rate", "fisher_samples"):
        if (value := getattr(options, name)) is not None and not 0 < value < inf:
            raise ValueError(f"--{name} must be above 0 and finite, is {value}")
    for name, value in (("lambda", options.strength), ("l2", options.l2), ("threads", options.threads)):
        if value is not None and not 0 <= value < inf:
            raise ValueError(f"--{name} must be at least 0 and finite, is {value}")
    chosen = {name: value for name in asdict(DEFAULTS["a"]) if (value := getattr(options, name, None)) is not None}
    return replace(DEFAULTS[options.figure], **chosen)


def _parser() -> argparse.ArgumentParser:
    parser = command.Parser(prog="python -m experiments.permuted_mnist", description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--figure", choices=("a", "b", "c"), required=True)
    add("--data", type=Path, help="folder of MNIST's IDX files, or an .npz file (default: cache, else a download)")
    add("--json", action="store_true", help="print the result as JSON, on the last line")
    add("--plot", type=Path, help="where the picture goes (default: runs/permuted_mnist_FIGURE.png)")
    add("--sensitivity", action="store_true", help="with --figure a: EWC alone over three decades of lambda")
    add("--seed", type=int, default=0, help="of permutations, network, batches and Fisher samples (default: 0)")
    add("--threads", type=int, default=0, help="torch's threads (default: as torch finds best)")
    add("--held_out", type=int, default=0, help="judge on so many training digits instead of the test digits")
    group = parser.add_argument_group("settings", "defaults depend on the figure")
    for name, kind, text in (
        ("layers", int, "hidden layers"),
        ("width", int, "units in a hidden layer"),
        ("epochs", int, "passes over the data per task"),
        ("batch", int, "samples per step"),
        ("rate", float, "learning rate of the summed loss"),
        ("lambda", float, "strength of EWC"),
        ("l2", float, "strength of the L2 penalty"),
        ("fisher_samples", int, "training digits the Fisher information is measured on"),
    ):
        standard = " ".join(f"{k} {asdict(v)['strength' if name == 'lambda' else name]:g}" for k, v in DEFAULTS.items())
        group.add_argument(
            f"--{name}", type=kind, dest="strength" if name == "lambda" else name, help=f"{text} ({standard})"
        )
    group.add_argument("--estimator", choices=get_args(Estimator), help="of the Fisher information")
    return parser


if __name__ == "__main__":
    command.run(main)
