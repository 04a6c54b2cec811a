"""How long random patterns are remembered: the paper's analysis of the penalty, simulated (PAPER, random patterns).

    python -m experiments.supervised.random_patterns --json
    python -m experiments.supervised.random_patterns --synapses 300 --patterns 1200 --repeats 64 --figure runs/small.png

A linear neuron of N synapses sees pattern after pattern, x in {-1/sqrt N, 1/sqrt N}^N with a target y in {-1, 1}, and
fits each exactly: w_t minimises (y_t - x_t w)^2 + sum P (w - mu)^2. Every pattern is a task of its own, with the
Fisher information x^2 = 1/N, and P and mu are what a consolidator of the agent has merged from the tasks so far:

gd        `OnlineEWC` with decay 0: the newest task's anchor alone, which is gradient descent with a fixed rate
ewc       `RecursiveLaplace`: all Fishers around the latest weights, the form that the paper analyses
separate  `EWC`, the agent's default: each Fisher around the weights at which its task was left; the paper
          has no closed form of it, the expectations here come from recursions that are exact for every N. With one
          step per task it holds on to some dozens of first patterns and drops every later one at the next step,
          since w_t starts from the mean of all earlier weights

The precision 1/N around w_0 = 0 that C_t = t/N implies at the first pattern enters as a task 0.

As it stands, the memory of a thousand tasks would be a thousand anchors, merged anew at each of a thousand steps. What
is long past is therefore folded into one task, with the merged Gaussian as its anchor: the same objects and verbs, and
the same weights as with one task per pattern, because products of Gaussians are associative (a test holds both
beside each other).

The signal of pattern i at time t is E[y_i x_i w_t]; the noise sqrt(E |w_t|^2 / N) is the spread of the response to a
pattern never seen; a pattern is retained while signal / noise > 1. Expectations are means over independent repeats.

Axes: T patterns, R repeats, N synapses.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor

from agent.anchors.anchored import AnchoredConsolidator
from agent.anchors.online import OnlineEWC
from agent.anchors.steps import PenaltyGradient
from agent.consolidators.ewc import EWC
from agent.consolidators.laplace import RecursiveLaplace
from agent.roles import AnchorStore
from configs.ranges import argument
from evaluation.plots import COLOURS, save
from tracking import command
from tracking.console import print_json
from tracking.numbers import whole
from tracking.run_directory import BAD_INPUT

STRENGTH = 2.0  # lambda / 2 = 1: the squared error stands without the half of a Gaussian's log likelihood

# -- what is expected: pure functions ---------------------------------------------------------------------------
#
# `pattern` and `t` count from 1, `pattern` <= `t`; arrays of them broadcast; results are float64.


def exponential_integral(x: np.ndarray) -> np.ndarray:
    """Ei(x) = gamma + ln x + sum_k x^k / (k k!), for 0 < x <= 10."""
    x = np.asarray(x, np.float64)
    total, power = np.euler_gamma + np.log(x), np.ones_like(x)
    for k in range(1, 80):
        power = power * x / k
        total = total + power / k
    return total


def gd_signal(pattern: np.ndarray, t: np.ndarray, synapses: int) -> np.ndarray:
    """exp(-(t - i) / N), the limit of many synapses."""
    return np.exp(-(t - np.asarray(pattern)) / synapses)


def gd_noise(t: np.ndarray, synapses: int) -> np.ndarray:
    """sqrt(1 - exp(-t / N)), the limit of many synapses."""
    return np.sqrt(-np.expm1(-np.asarray(t) / synapses))


def ewc_signal(pattern: np.ndarray, t: np.ndarray, synapses: int) -> np.ndarray:
    """N / (N + t) for every pattern, exact for every N."""
    return np.broadcast_to(synapses / (synapses + np.asarray(t)), np.broadcast(pattern, t).shape)


def ewc_noise(t: np.ndarray, synapses: int) -> np.ndarray:
    """sqrt(E |w|^2 / N), E |w|^2 = (N / u)^2 e^(-N/u) [u e^(N/u) - N Ei(N/u) - N e + N Ei(1)], u = N + t: the limit
    of many synapses."""
    s = synapses / (synapses + np.asarray(t))  # N / u
    one = np.ones(())
    bracket = np.exp(s) / s - exponential_integral(s) - np.e + exponential_integral(one)  # / N
    return np.sqrt(s**2 * np.exp(-s) * bracket)


def separate_signal(pattern: np.ndarray, t: np.ndarray, synapses: int) -> np.ndarray:
    """The signal under separate anchors, exact for every N.

    mu_t is the mean of w_0 ... w_(t-1). The signal is eta_i = N / (N + i) at t = i; afterwards
    s_t = (1 - eta_t / N) S_(t-1) / t, S_t the sum of the signals up to t, which so grows by a factor per pattern.
    """
    pattern, t = np.broadcast_arrays(pattern, t)
    j = np.arange(1, int(t.max()) + 1)
    growth = np.cumsum(np.log1p((synapses + j - 1) / (synapses + j) / j))  # log of the product of factors up to j
    learned = synapses / (synapses + pattern)
    total = learned * np.exp(growth[np.maximum(t - 1, pattern) - 1] - growth[pattern - 1])  # S_(t-1)
    return np.where(t == pattern, learned, (1 - 1 / (synapses + t)) * total / t)


def separate_noise(t: np.ndarray, synapses: int) -> np.ndarray:
    """The noise under separate anchors, exact for every N.

    With m = E |mu_t|^2: E |w_t|^2 = m (1 - 2 eta / N + eta^2 / N) + eta^2, eta = N / (N + t), and
    E |w_0 + ... + w_t|^2 = m ((t + 1)^2 - 2 (t + 1) eta / N + eta^2 / N) + eta^2.
    """
    squares, summed = [], 0.0
    for j in range(1, int(np.max(t)) + 1):
        eta, m = synapses / (synapses + j), summed / j**2
        squares.append(m * (1 - 2 * eta / synapses + eta**2 / synapses) + eta**2)
        summed = m * ((j + 1) ** 2 - 2 * (j + 1) * eta / synapses + eta**2 / synapses) + eta**2
    return np.sqrt(np.array(squares)[np.asarray(t) - 1] / synapses)


# -- learning ---------------------------------------------------------------------------------------------------

Keep = Callable[[AnchoredConsolidator, int, Tensor, Tensor], None]
_PAST, _NEWEST, _NOBODY = 0, 1, -1


def minimiser(x: Tensor, y: Tensor, mean: Tensor, stiffness: Tensor) -> Tensor:
    """The w of least (y - x w)^2 + sum stiffness (w - mean)^2, in every repeat.

    x, mean, stiffness > 0 and the result are float64 [R, N], y is [R]. The gradient vanishes at
    w = mean + D x (y - x mean) / (1 + x D x), D = 1 / stiffness; with D = 1 / C and |x| = 1 the step eta = 1 / (1 + C).
    """
    loose = x / stiffness
    error = y - (x * mean).sum(1)
    return mean + loose * (error / (1 + (x * loose).sum(1)))[:, None]


def one_task_each(consolidator: AnchoredConsolidator, pattern: int, weights: Tensor, fisher: Tensor) -> None:
    """Leave the pattern as a task of its own: as many anchors as patterns, where the memory keeps them all."""
    consolidator.leave(pattern, [weights], lambda: [fisher])
    consolidator.enter(pattern + 1)


def folded(consolidator: AnchoredConsolidator, pattern: int, weights: Tensor, fisher: Tensor) -> None:
    """The same in constant memory: what is merged so far becomes the anchor of one task, then the pattern is left."""
    merged = consolidator.merged
    consolidator.store.leave(_PAST, merged.mean, merged.precision, None)
    consolidator.leave(_NEWEST, [weights], lambda: [fisher])
    consolidator.enter(_NOBODY)


class Learner:
    """R neurons that learn under one consolidator; their weights are its only layer, float64 [R, N]."""

    def __init__(self, store: AnchorStore, keep: Keep, repeats: int, synapses: int) -> None:
        self.weights = torch.zeros(repeats, synapses, dtype=torch.float64)
        self.keep = keep
        self.consolidator = AnchoredConsolidator(store, PenaltyGradient(), [self.weights], STRENGTH)
        self.patterns = 0

    def start(self) -> None:
        """The prior: task 0 is left at w = 0 with a pattern's precision."""
        prior = torch.full_like(self.weights, 1 / self.weights.shape[1])
        self.consolidator.leave(_PAST, [self.weights], lambda: [prior])
        self.consolidator.enter(1)

    def learn(self, x: Tensor, y: Tensor) -> None:
        """Fit x float64 [R, N] with targets y [R], and leave it as a task. Its Fisher information is x^2."""
        merged = self.consolidator.merged
        self.weights = minimiser(x, y, merged.mean[0], 0.5 * STRENGTH * merged.precision[0])
        self.patterns += 1
        self.keep(self.consolidator, self.patterns, self.weights, x.square())


@dataclass(frozen=True)
class Rule:
    """A way to learn and what is expected of it: signal(pattern, t, N) and noise(t, N)."""

    store: Callable[[], AnchorStore]
    keep: Keep
    signal: Callable[[np.ndarray, np.ndarray, int], np.ndarray]
    noise: Callable[[np.ndarray, int], np.ndarray]
    label: str


RULES = {
    "gd": Rule(lambda: OnlineEWC(decay=0.0), one_task_each, gd_signal, gd_noise, "gradient descent"),
    "ewc": Rule(RecursiveLaplace, folded, ewc_signal, ewc_noise, "EWC, latest optimum"),
    "separate": Rule(EWC, folded, separate_signal, separate_noise, "EWC, separate anchors (default)"),
}


# -- the simulation ---------------------------------------------------------------------------------------------


@dataclass
class Measured:
    """What a rule did. All arrays are float64.

    noise       [T]: sqrt(mean over repeats of |w_t|^2 / N) after every pattern
    profiles    at each of the times t, [t]: the mean over repeats of the response y_i x_i w_t to every pattern so far
    quarters    at each of the times t, [4, R]: each repeat's mean response to the quarters of the patterns by age
    """

    noise: np.ndarray
    profiles: list[np.ndarray] = field(default_factory=list)
    quarters: list[np.ndarray] = field(default_factory=list)


def moments(patterns: int, synapses: int, count: int = 30) -> list[int]:
    """At most `count` times and N, evenly spread in their logarithm, from when a twentieth of N patterns are past
    and a quarter of them is enough for a mean, to the last pattern."""
    spread = np.geomspace(max(40, synapses // 20 + 1), patterns, count).round().astype(int)
    return sorted({*spread.tolist(), synapses})


def simulate(synapses: int, patterns: int, repeats: int, seed: int, times: Sequence[int]) -> dict[str, Measured]:
    """Lead every rule through the same `repeats` independent sequences of patterns."""
    generator = torch.Generator().manual_seed(seed)
    signs = torch.randint(0, 2, (patterns, repeats, synapses), dtype=torch.int8, generator=generator).mul_(2).sub_(1)
    targets = torch.randint(0, 2, (patterns, repeats), generator=generator).double().mul_(2).sub_(1)
    learners = {name: Learner(rule.store(), rule.keep, repeats, synapses) for name, rule in RULES.items()}
    measured = {name: Measured(np.zeros(patterns)) for name in RULES}
    for learner in learners.values():
        learner.start()
    for t in track(range(1, patterns + 1), "learning", console=Console(stderr=True), transient=True):
        x = signs[t - 1].double() * synapses**-0.5
        for name, learner in learners.items():
            learner.learn(x, targets[t - 1])
            measured[name].noise[t - 1] = float(learner.weights.square().sum(1).mean() / synapses) ** 0.5
        if t in times:
            weights = torch.stack([learner.weights for learner in learners.values()], 2)
            found = responses(signs[:t], targets[:t], weights)
            for name, one in zip(learners, found, strict=True):
                measured[name].profiles.append(one.mean(1))
                measured[name].quarters.append(np.stack([part.mean(0) for part in np.array_split(one, 4)]))
    return measured


def responses(signs: Tensor, targets: Tensor, weights: Tensor, chunk: int = 128) -> np.ndarray:
    """y_i x_i w as float64 [K, T, R]: of signs int8 [T, R, N], targets [T, R] and the weights [R, N, K] of K rules."""
    single = weights.float()  # halves the time; the rounding is far below the sampling error
    parts = [torch.einsum("trn,rnk->ktr", some.float(), single) for some in signs.split(chunk)]
    return (torch.cat(parts, 1).double() * targets * weights.shape[1] ** -0.5).numpy()


# -- simulation against expectation -----------------------------------------------------------------------------


def noise_error(measured: Measured, rule: Rule, synapses: int) -> float:
    """The largest relative error of the noise, over all t."""
    expected = rule.noise(np.arange(1, len(measured.noise) + 1), synapses)
    return float(np.max(np.abs(measured.noise / expected - 1)))


def signal_z(measured: Measured, rule: Rule, synapses: int) -> float:
    """The largest deviation of the signal in standard errors, over all times and the quarters of the patterns.

    The standard error is that of the mean over repeats. About 3 is usual for the largest of some hundred numbers.
    """
    largest = 0.0
    for profile, quarters in zip(measured.profiles, measured.quarters, strict=True):
        t, repeats = len(profile), quarters.shape[1]
        expected = rule.signal(np.arange(1, t + 1), np.array(t), synapses)
        means = np.array([part.mean() for part in np.array_split(expected, 4)])
        errors = quarters.std(1, ddof=1) / repeats**0.5
        largest = max(largest, float(np.max(np.abs(quarters.mean(1) - means) / errors)))
    return largest


def smoothed(profile: np.ndarray, width: int) -> np.ndarray:
    """Running mean of [t] over at most `width` neighbours on either side.

    Fewer among the oldest (a quarter of a pattern's number: what follows a power law changes fastest there) and
    towards the newest, which stands alone.
    """
    i = np.arange(len(profile))
    reach = np.minimum(np.minimum(i // 4, np.maximum(len(i) - 2 - i, 0)), width)
    summed = np.concatenate([[0.0], np.cumsum(profile)])
    return (summed[i + reach + 1] - summed[i - reach]) / (2 * reach + 1)


def retained(profile: np.ndarray, noise: float, width: int = 0) -> float:
    """The share of patterns whose signal, smoothed if it was measured, exceeds the noise."""
    return float(np.mean(smoothed(profile, width) > noise))


def retained_until(t: Sequence[int], ratio: np.ndarray) -> float | None:
    """The time at which signal / noise, float [K] at the times `t`, first falls below 1; None if it is nowhere so.

    It falls like a power of t, so that logarithms are interpolated.
    """
    below = np.flatnonzero(ratio < 1)
    if not len(below) or below[0] == 0:
        return None
    near = [below[0], below[0] - 1]
    return float(np.exp(np.interp(0.0, np.log(ratio[near]), np.log(np.array(t)[near]))))


def summary(measured: dict[str, Measured], times: Sequence[int], synapses: int) -> dict[str, Any]:
    """The numbers of the JSON line. *_expected are those of the closed forms and recursions at the same times."""
    report: dict[str, Any] = {}
    now = list(times).index(synapses)
    for name, rule in RULES.items():
        one = measured[name]
        report[f"{name}_noise_error"] = noise_error(one, rule, synapses)
        report[f"{name}_signal_z"] = signal_z(one, rule, synapses)
        expected = rule.signal(np.arange(1, synapses + 1), np.array(synapses), synapses)
        found = retained(one.profiles[now], one.noise[synapses - 1], synapses // 20)
        report[f"{name}_retained_at_n"] = found
        report[f"{name}_retained_at_n_expected"] = retained(expected, float(rule.noise(np.array(synapses), synapses)))
    t, ewc = np.array(times), measured["ewc"]
    ratio = np.array([profile.mean() for profile in ewc.profiles]) / ewc.noise[t - 1]
    every = np.arange(1, len(ewc.noise) + 1)
    expected = ewc_signal(every, every, synapses) / ewc_noise(every, synapses)
    for name, until in (("", retained_until(times, ratio)), ("_expected", retained_until(every.tolist(), expected))):
        report[f"ewc_retained_until{name}"] = until / synapses if until else None
    return report


# -- the command ------------------------------------------------------------------------------------------------


def draw(measured: dict[str, Measured], times: Sequence[int], synapses: int, path: Path) -> None:
    """Signal, noise, their ratio and the share retained over t / N: lines as expected, dots as simulated."""
    figure = Figure(figsize=(5.8, 4.8), layout="constrained")
    (signal, noise), (ratio, share) = figure.subplots(2, 2)
    oldest = np.arange(1, synapses // 20 + 1)  # the patterns whose mean signal is shown
    dots, patterns = np.array(times), len(measured["ewc"].noise)
    lines = np.unique(np.geomspace(dots[0], patterns, 300).round().astype(int))
    for colour, (name, rule) in zip(COLOURS, RULES.items(), strict=False):
        one = measured[name]
        line_signal = rule.signal(oldest, lines[:, None], synapses).mean(1)
        line_noise = rule.noise(lines, synapses)
        line_share = [
            retained(rule.signal(np.arange(1, t + 1), t, synapses), n) for t, n in zip(lines, line_noise, strict=True)
        ]
        dot_signal = np.array([profile[: len(oldest)].mean() for profile in one.profiles])
        dot_noise = one.noise[dots - 1]
        dot_share = [retained(profile, n, synapses // 20) for profile, n in zip(one.profiles, dot_noise, strict=True)]
        for axis, line, dot in (
            (signal, line_signal, dot_signal),
            (noise, line_noise, dot_noise),
            (ratio, line_signal / line_noise, dot_signal / dot_noise),
            (share, line_share, dot_share),
        ):
            axis.plot(lines / synapses, line, color=colour, label=rule.label if axis is signal else None)
            axis.plot(dots / synapses, dot, "o", color=colour, markersize=4)
    _label(signal, f"signal of the first {len(oldest)} patterns")
    _label(noise, "noise")
    _label(ratio, f"signal / noise of the first {len(oldest)}")
    ratio.set_yscale("log")
    ratio.axhline(1, color="grey", linewidth=0.8, linestyle="--")
    _label(share, "share of the patterns retained")
    figure.legend(loc="outside upper center", ncols=3, frameon=False)
    save(figure, path)


def _label(axis: Axes, quantity: str) -> None:
    axis.set_xscale("log")
    axis.set_xlabel("patterns seen per synapse, t / N")
    axis.set_ylabel(quantity)


def _table(report: dict[str, Any]) -> Table:
    table = Table(title="Random patterns: simulation against expectation")
    table.add_column("rule")
    for head in ("noise, largest\nrelative error", "signal, largest\nstandard errors off", "kept at t = N\n(expected)"):
        table.add_column(head, justify="right")
    for name, rule in RULES.items():
        table.add_row(
            rule.label,
            f"{100 * report[f'{name}_noise_error']:.2f} %",
            f"{report[f'{name}_signal_z']:.2f}",
            f"{report[f'{name}_retained_at_n']:.3f} ({report[f'{name}_retained_at_n_expected']:.3f})",
        )
    return table


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    try:
        options = _parser().parse_args(arguments)
        _check(options)
        options.figure.parent.mkdir(parents=True, exist_ok=True)
    except (ValueError, OSError) as error:
        print(f"experiments.supervised.random_patterns: {error}", file=sys.stderr)
        return BAD_INPUT
    begin = time.perf_counter()
    synapses, patterns = options.synapses, options.patterns or 3 * options.synapses
    times = moments(patterns, synapses)
    measured = simulate(synapses, patterns, options.repeats, options.seed, times)
    report = summary(measured, times, synapses)
    draw(measured, times, synapses, options.figure)
    Console().print(_table(report))
    if report["ewc_retained_until"]:
        print(f"EWC around the latest optimum keeps all patterns until t = {report['ewc_retained_until']:.3f} N")
    print(f"written: {options.figure}")
    if options.json:
        settings = {name: getattr(options, name) for name in ("synapses", "repeats", "seed")}
        seconds = round(time.perf_counter() - begin, 1)
        print_json({**report, **settings, "patterns": patterns, "seconds": seconds})
    return 0


def _check(options: argparse.Namespace) -> None:
    patterns = options.synapses if options.patterns is None else options.patterns
    if patterns < options.synapses:
        raise ValueError(f"--patterns must be at least --synapses ({options.synapses}), is {patterns}")
    if options.figure.suffix != ".png" or options.figure.is_dir():
        raise ValueError(f"--figure must name a .png file, is {options.figure}")


def _parser() -> argparse.ArgumentParser:
    parser = command.Parser(prog="python -m experiments.supervised.random_patterns", description=__doc__.split("\n")[0])
    parser.add_argument(
        "--synapses", type=whole(100, 20_000), default=1000, help="synapses N of a neuron (default: 1,000)"
    )
    parser.add_argument(
        "--patterns", type=whole(100, 200_000), help="patterns to learn (default: three times the synapses)"
    )
    parser.add_argument(
        "--repeats", type=whole(2, 1000), default=64, help="independent neurons to average over (default: 64)"
    )
    parser.add_argument("--seed", type=argument("seed"), default=0, help="seed of the patterns (default: 0)")
    figure = Path("runs/random_patterns.png")
    parser.add_argument("--figure", type=Path, default=figure, help=f"(default: {figure})")
    parser.add_argument("--json", action="store_true", help="print the numbers as JSON, on the last line")
    return parser


if __name__ == "__main__":
    command.run(main)
