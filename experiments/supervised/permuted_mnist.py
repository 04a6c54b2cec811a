"""The paper's experiments on permuted MNIST (figure 2 of the arXiv version), beside the paper's numbers.

    python -m experiments.supervised.permuted_mnist --figure a [--data DIR] [--json]
        three tasks: EWC, L2 and plain SGD
    python -m experiments.supervised.permuted_mnist --figure b [--methods ewc …] [--seed 0 1 2] [--log FILE]
        ten tasks: EWC, online EWC, L2, SGD with dropout, all ten at once
    python -m experiments.supervised.permuted_mnist --figure c [--seed 0 1 2] [--log FILE]
        Fisher overlap by depth
    python -m experiments.supervised.permuted_mnist --figure a --sensitivity
        EWC over three decades of lambda

A task is MNIST with its pixels rearranged; one network with one head learns the tasks one after the other and is
never told which it sees. `DEFAULTS` states every setting. Prints a table, draws a picture and, with `--json`, prints
one JSON object as the last line. The same seed and number of threads give the same numbers.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from agent.fisher import fisher_overlap
from configs.build import numpy_generator
from configs.ranges import argument
from evaluation.plots import check_place
from experiments.supervised.classifier import Estimator
from experiments.supervised.mnist import PIXELS, load, patch_permutation
from experiments.supervised.permuted_figures import (
    NAMES,
    PAPER,
    Result,
    draw_curves,
    draw_lines,
    draw_overlaps,
    draw_sensitivity,
    learned_and_forgotten,
    table,
)
from experiments.supervised.permuted_runs import Record, Runs
from experiments.supervised.permuted_tasks import DEFAULTS, Experiment, Rows, Settings, random_places
from tracking import command
from tracking.console import print_json
from tracking.durations import spoken
from tracking.numbers import real, whole
from tracking.run_directory import BAD_INPUT

METHODS = ("ewc", "online_ewc", "l2", "sgd_dropout", "joint")  # of figure b
FACTORS = [10 ** (step / 2) for step in range(-3, 4)]  # of lambda, for --sensitivity


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


def ten_tasks(
    experiments: Sequence[Experiment], methods: Sequence[str], runs: Runs, figure: Path, tell: Callable[[Table], None]
) -> Result:
    """(b) mean accuracy over the tasks so far, of every method and seed; `tell` is given what was learned and kept."""
    tables: dict[str, list[Rows]] = {}
    for method in methods:
        for each in experiments:
            one = replace(each, settings=each.settings.of(method))
            what = {"figure": "b", "method": method, "settings": asdict(one.settings)} | _data(one)
            tables.setdefault(method, []).append(runs.get(what, partial(_table, one, method))["table"])
    curves = {method: [[float(np.mean(row)) for row in rows] for rows in its] for method, its in tables.items()}
    tell(learned_and_forgotten(tables))
    draw_lines(curves, PAPER["b"], "number of tasks", "mean accuracy over the tasks", figure)
    return _means(curves)


def _data(experiment: Experiment) -> Record:
    digits = experiment.mnist
    return {"seed": experiment.seed, "learned_from": len(digits.train.labels), "judged_on": len(digits.test.labels)}


def _table(experiment: Experiment, method: str, unfinished: Path | None) -> Record:
    if method == "joint":
        return {"table": experiment.learn_jointly()}
    return {"table": experiment.learn(method, experiment.network(), experiment.tasks, kept=unfinished)}


def overlaps(experiments: Sequence[Experiment], runs: Runs, figure: Path) -> Result:
    """(c) overlap by depth of the Fisher information of two tasks that EWC learns after each other, the second with
    a patch permuted; layers of weights into the hidden layers. Beside it that of two independent estimates for one
    task and network: what noise leaves of an overlap of 1. All of it also as estimated from few digits with sampled
    labels, at the same networks."""
    curves: dict[str, Rows] = {}
    for each in experiments:
        what = {"figure": "c", "settings": asdict(each.settings)} | _data(each)
        found = runs.get(what, lambda unfinished, each=each: _overlaps(each))  # type: ignore[misc]
        for name in NAMES:
            if name in found:
                curves.setdefault(name, []).append(found[name])
    draw_overlaps(curves, PAPER["c"], figure)
    return _means(curves)


def _overlaps(experiment: Experiment) -> Result:
    depth = experiment.settings.layers
    sampled = replace(experiment, settings=replace(experiment.settings, estimator="sampled", fisher_samples=2000))
    kinds = {"overlap": experiment, "sampled": sampled}
    network = experiment.network()
    experiment.learn("ewc", network, experiment.tasks[:1])
    result: Result = {}
    for kind, how in kinds.items():
        twice = (how.fisher(network, 0), how.fisher(network, 0, again=True))
        result[f"{kind}_self"] = fisher_overlap(*twice)[:depth]
    for side in (8, 26):
        places = [experiment.places[0], patch_permutation(side, numpy_generator(experiment.seed, f"patch {side}"))]
        second = network.copy()
        replace(experiment, places=places).learn("ewc", second, range(1, 2))
        for kind, how in kinds.items():
            one, other = (replace(how, places=places).fisher(second, task) for task in (0, 1))
            result[f"{kind}_{side}"] = fisher_overlap(one, other)[:depth]
    return result


def _means(curves: Mapping[str, Rows]) -> Result:
    """Over the seeds."""
    return {name: [float(each) for each in np.mean(rows, axis=0)] for name, rows in curves.items()}


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


# -- the command ----------------------------------------------------------------------------------------------


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        settings = chosen_settings(options)
        name = f"{options.figure}{'_sensitivity' if options.sensitivity else ''}"
        picture = options.plot or Path(f"runs/permuted_mnist_{name}.png")
        check_place("--plot", picture)
        mnist = load(options.data)
        if options.held_out:
            mnist = mnist.held_out(options.held_out)
        if options.digits:
            mnist = mnist.first(options.digits)
    except ValueError as error:
        print(f"experiments.supervised.permuted_mnist: {error}", file=sys.stderr)
        return BAD_INPUT
    torch.set_flush_denormal(True)  # tiny Fisher information would slow every step down
    if options.threads:
        torch.set_num_threads(options.threads)
    console = Console(width=110)
    tell = partial(console.print, style="dim", highlight=False, soft_wrap=True)
    begin = time.perf_counter()
    tasks = {"a": 3, "b": 10}
    experiments = [
        Experiment(mnist, _places(tasks.get(options.figure), seed), settings, seed, tell) for seed in options.seed
    ]
    if options.figure == "b":
        result = ten_tasks(experiments, options.methods or METHODS, Runs(options.log), picture, console.print)
    elif options.figure == "c":
        result = overlaps(experiments, Runs(options.log), picture)
    else:
        result = (sensitivity if options.sensitivity else three_tasks)(experiments[0], picture)
    seconds = time.perf_counter() - begin
    paper = {} if options.sensitivity else PAPER[options.figure]
    console.print(table(result, paper))
    console.print(f"{spoken(seconds)}; written: {picture}")
    if options.json:
        told = {"figure": name, "seeds": options.seed, "seconds": round(seconds), "settings": asdict(settings)}
        print_json({**result, **told, "paper": paper})
    return 0


def _places(permuted: int | None, seed: int) -> list[np.ndarray]:
    """Of so many permuted tasks; None: of one whose pixels stay where they are."""
    return [np.arange(PIXELS)] if permuted is None else random_places(permuted, seed)


def chosen_settings(options: argparse.Namespace) -> Settings:
    """The figure's defaults with what the command line changes; ValueError says what cannot be."""
    if options.sensitivity and options.figure != "a":
        raise ValueError("--sensitivity goes with --figure a")
    if options.figure == "a" and len(options.seed) > 1:
        raise ValueError("--figure a takes one --seed")
    if options.figure == "a" and options.log:
        raise ValueError("--log goes with --figure b or c; of a nothing is kept")
    if options.figure != "b" and options.methods:
        raise ValueError(f"--methods goes with --figure b; {options.figure} has its own")
    chosen = {name: value for name in asdict(DEFAULTS["a"]) if (value := getattr(options, name, None)) is not None}
    return replace(DEFAULTS[options.figure], **chosen)


def _parser() -> argparse.ArgumentParser:
    parser = command.Parser(prog="python -m experiments.supervised.permuted_mnist", description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--figure", choices=("a", "b", "c"), required=True)
    add("--data", type=Path, help="folder of MNIST's IDX files, or an .npz file (default: cache, else a download)")
    add("--json", action="store_true", help="print the result as JSON, on the last line")
    add("--plot", type=Path, help="where the picture goes (default: runs/permuted_mnist_FIGURE.png)")
    add("--sensitivity", action="store_true", help="with --figure a: EWC alone over three decades of lambda")
    add("--seed", type=argument("seed"), nargs="+", default=[0], help="of permutations, network, batches, samples (0)")
    add("--methods", nargs="+", choices=METHODS, help="with --figure b (default: all)")
    add(
        "--log",
        type=Path,
        help="with --figure b or c: a file of JSON lines where finished runs are kept and looked for",
    )
    add("--threads", type=argument("threads"), default=0, help="torch's threads (default: as torch finds best)")
    add("--held_out", type=whole(0, 59_999), default=0, help="judge on so many training digits, not on the test digits")
    add(
        "--digits",
        type=whole(0, 60_000),
        default=0,
        help="learn from so many digits only and judge on a quarter as many",
    )
    group = parser.add_argument_group("settings", "defaults depend on the figure")
    for name, kind, text in (
        ("layers", whole(1, 10), "hidden layers"),
        ("width", whole(1, 5000), "units in a hidden layer"),
        ("last_width", whole(0, 5000), "units in the last hidden layer, 0: as many as in the others"),
        ("epochs", whole(1, 10_000), "passes over the data per task"),
        ("batch", whole(1, 60_000), "samples per step"),
        ("rate", real(1e-10, 10.0), "learning rate of the summed loss"),
        ("last_rate", real(0.0, 1.0), "share of it that is left in a task's last epoch; it falls linearly"),
        ("warm_up", real(0.0, 1000.0), "epochs in which the rate rises from 0"),
        ("averaged", whole(0, 10_000), "last epochs of a task whose weights are averaged when it is left"),
        ("pixel_mean", real(0.0, 1.0), "subtracted from every grey level between 0 and 1"),
        ("drop_inputs", real(0.0, 0.99), "share of pixels that is dropped"),
        ("drop_hidden", real(0.0, 0.99), "share of hidden units that is dropped"),
        ("lambda", real(0.0, 1e12), "strength of EWC"),
        ("damping", real(0.0, 1e6), "share of a layer's mean Fisher information that is added to all its weights"),
        ("l2", real(0.0, 1e12), "strength of the L2 penalty"),
        ("fisher_samples", whole(1, 10**6), "training digits the Fisher information is measured on"),
    ):
        standard = " ".join(f"{k} {asdict(v)['strength' if name == 'lambda' else name]:g}" for k, v in DEFAULTS.items())
        group.add_argument(
            f"--{name}", type=kind, dest="strength" if name == "lambda" else name, help=f"{text} ({standard})"
        )
    for name, text in (
        ("normalise", "divide every task's Fisher information by its mean"),
        ("shared_drop", "drop the same hidden units for a whole minibatch, which is cheaper"),
    ):
        group.add_argument(f"--{name}", action=argparse.BooleanOptionalAction, help=text)
    group.add_argument("--estimator", choices=get_args(Estimator), help="of the Fisher information")
    return parser


if __name__ == "__main__":
    command.run(main)
