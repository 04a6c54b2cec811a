"""Consolidation: what earlier tasks have to say about a step of the shared weights.

Three parts that combine freely.

* A *memory* keeps what tasks leave behind and gives one Gaussian N(mu, P^-1) that speaks for them (`SeparateAnchors`,
  `OnlineAnchor`, `LatestOptimum`).
* A *pull* makes the penalty (lambda / 2) sum P (theta - mu)^2 felt in an update (`ImplicitPull`, `GradientPull`).
* `Consolidation` holds both and measures the Fisher information when a task is left. `NoConsolidation` is its null
  object.

What was left is never changed, only replaced. So states share it, as `segments` whose names promise their content (a
checkpoint need not write those again that the one before holds): the task and how often it has left something.

lambda is quoted at the scale of a loss that is summed over the minibatch, as everything in `agent.dqn` is. Only
shared weights are given to these objects: a task's own biases and gains never are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from agent.diagnostics import pull_against_loss, stiffness
from agent.fisher import fisher_overlap, mean_information, normalised, with_floor, without_floor
from agent.gaussian import DiagonalGaussian, multiply_into

Weights = Sequence[Tensor]
Rates = Callable[[], Sequence[Tensor]]
Measured = Callable[[], list[Tensor]]


# -- memories: one Gaussian for all tasks ---------------------------------------------------------------------


class AnchorMemory(Protocol):
    """Keeps what tasks leave behind."""

    @property
    def tasks(self) -> list[int]:
        """The tasks that have an anchor of their own, in increasing order."""

    def store(self, task: int, weights: Weights, fisher: Weights) -> None:
        """`task` was left at `weights` with this Fisher information; copies are kept."""

    def merge_into(self, merged: DiagonalGaussian, active: int) -> float:
        """Overwrite `merged` with what speaks for the others while task `active` is played; returns the rest,
        which completes sum P (theta - mu)^2 to the sum over separate anchors where these are kept."""

    def anchor(self, task: int) -> DiagonalGaussian | None:
        """The task's own anchor, if it has one."""

    def state_dict(self) -> dict[str, Any]:
        """Everything; what tasks left is under `segments`, a name standing for the same content for ever."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None: ...


class SeparateAnchors:
    """Kirkpatrick et al. 2017: (lambda / 2) sum_c sum_i F_c,i (theta_i - theta_c,i)^2.

    Every task keeps the weights at which it was last left and the Fisher information measured there; leaving it
    again overwrites both. `include_active`: the anchor of the task that is being played counts too (the paper:
    "which quadratic constraints are currently active" depends on the task, read as: its own is off).
    """

    def __init__(self, include_active: bool = False) -> None:
        self.include_active = include_active
        self.anchors: dict[int, DiagonalGaussian] = {}
        self.departures: dict[int, int] = {}  # how often a task has left an anchor

    def store(self, task: int, weights: Weights, fisher: Weights) -> None:
        """Replace the task's anchor."""
        self.anchors[task] = DiagonalGaussian.of(weights, fisher)
        self.departures[task] = self.departures.get(task, 0) + 1

    def merge_into(self, merged: DiagonalGaussian, active: int) -> float:
        """The product of the anchors, in order of task, made anew from the anchors themselves."""
        chosen = [self.anchors[task] for task in sorted(self.anchors) if self.include_active or task != active]
        return multiply_into(merged, chosen)

    @property
    def tasks(self) -> list[int]:
        """Those that were left."""
        return sorted(self.anchors)

    def anchor(self, task: int) -> DiagonalGaussian | None:
        """The task's anchor."""
        return self.anchors.get(task)

    def state_dict(self) -> dict[str, Any]:
        """All anchors and the numbers of departures."""
        segments = {_segment(task, count): self.anchors[task].state_dict() for task, count in self.departures.items()}
        return {"segments": segments, "departures": dict(self.departures)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.departures, segments = dict(state["departures"]), state["segments"]
        self.anchors = {
            task: DiagonalGaussian.from_state(segments[_segment(task, count)])
            for task, count in self.departures.items()
        }


class OnlineAnchor:
    """Schwarz et al. 2018: one running Fisher, F* <- gamma F* + F, around the latest weights.

    (lambda / 2) sum_i F*_i (theta_i - theta*_i)^2. Nothing is kept per task, so the active task's share cannot be
    left out; a decay gamma < 1 forgets old tasks gracefully.
    """

    def __init__(self, decay: float) -> None:
        self.decay = decay
        self.running: DiagonalGaussian | None = None
        self.departures = 0  # of all tasks

    def store(self, task: int, weights: Weights, fisher: Weights) -> None:
        """Decay, add, and move the centre to `weights`."""
        total = [f.cpu() for f in fisher]
        if self.running:
            total = [self.decay * old + new for old, new in zip(self.running.precision, total, strict=True)]
        self.running = DiagonalGaussian.of(weights, total)
        self.departures += 1

    def merge_into(self, merged: DiagonalGaussian, active: int) -> float:
        """The running Gaussian."""
        return multiply_into(merged, [self.running] if self.running else [])

    @property
    def tasks(self) -> list[int]:
        """None is told apart."""
        return []

    def anchor(self, task: int) -> DiagonalGaussian | None:
        """None is kept."""
        return None

    def state_dict(self) -> dict[str, Any]:
        """The running Gaussian, named after the number of departures."""
        segments = {f"running-{self.departures:06d}": self.running.state_dict()} if self.running else {}
        return {"segments": segments, "departures": self.departures}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.departures = state["departures"]
        found = state["segments"].get(f"running-{self.departures:06d}")
        self.running = DiagonalGaussian.from_state(found) if found else None


class LatestOptimum:
    """Huszar 2018: the recursive Laplace approximation, summed Fishers around the latest weights only (those at the
    latest departure that left an anchor).

    (lambda / 2) sum_i (sum_c F_c,i) (theta_i - theta_i*)^2, theta* the weights at the latest departure. The Fisher
    of a task that is left again replaces its old one, so that revisits do not count a task twice.
    """

    def __init__(self, include_active: bool = False) -> None:
        self.include_active = include_active
        self.fishers: dict[int, tuple[Tensor, ...]] = {}
        self.latest: tuple[Tensor, ...] = ()
        self.departures: dict[int, int] = {}  # how often a task has left a Fisher

    def store(self, task: int, weights: Weights, fisher: Weights) -> None:
        """Replace the task's Fisher and move the centre."""
        anchor = DiagonalGaussian.of(weights, fisher)
        self.fishers[task], self.latest = anchor.precision, anchor.mean
        self.departures[task] = self.departures.get(task, 0) + 1

    def merge_into(self, merged: DiagonalGaussian, active: int) -> float:
        """All Fishers at one centre."""
        chosen = [self.fishers[task] for task in sorted(self.fishers) if self.include_active or task != active]
        return multiply_into(merged, [DiagonalGaussian(self.latest, fisher) for fisher in chosen])

    @property
    def tasks(self) -> list[int]:
        """Those that were left."""
        return sorted(self.fishers)

    def anchor(self, task: int) -> DiagonalGaussian | None:
        """The task's Fisher around the latest weights."""
        return DiagonalGaussian(self.latest, self.fishers[task]) if task in self.fishers else None

    def state_dict(self) -> dict[str, Any]:
        """The Fishers, the centre (named after the number of all departures) and the numbers of departures."""
        segments = {_segment(task, count): list(self.fishers[task]) for task, count in self.departures.items()}
        if self.latest:
            segments[self._centre] = list(self.latest)
        return {"segments": segments, "departures": dict(self.departures)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.departures, segments = dict(state["departures"]), state["segments"]
        self.fishers = {task: tuple(segments[_segment(task, count)]) for task, count in self.departures.items()}
        self.latest = tuple(segments.get(self._centre, ()))

    @property
    def _centre(self) -> str:
        return f"latest-{sum(self.departures.values()):06d}"


def _segment(task: int, departures: int) -> str:
    """The name of what a task left at its so many-th departure."""
    return f"task{task:03d}-{departures:06d}"


# -- pulls: how the penalty is felt ---------------------------------------------------------------------------


class Optimiser(Protocol):
    """Makes a step of the weights, from their gradients alone or with an implicit step on a penalty as well."""

    def step(self) -> Any: ...

    def step_towards(self, anchor: DiagonalGaussian, strength: float) -> None: ...


class Pull(Protocol):
    """Applies the penalty (strength / 2) sum P (theta - mu)^2 in an update of the weights."""

    adds_to_gradients: bool
    """Whether `before_step` does."""

    def before_step(self, weights: Weights, merged: DiagonalGaussian, strength: float) -> None:
        """Between the loss's backward pass and the optimiser's step."""

    def step(self, optimiser: Optimiser, merged: DiagonalGaussian, strength: float) -> None:
        """The optimiser's step."""

    def after_step(self, weights: Weights, merged: DiagonalGaussian, strength: float, rates: Rates) -> None:
        """Instead of `step`, after one that something else has made; `rates()` are its rates eta, one for every
        weight."""


class GradientPull:
    """The paper's way: lambda P (theta - mu) is added to the loss's gradient, and the optimiser does the rest.

    Diverges where the optimiser's rate times lambda P exceeds 2 (PAPER, stability); the bound on the gradient's
    norm hides that and scales the loss's gradient away.
    """

    adds_to_gradients = True

    @torch.no_grad()
    def before_step(self, weights: Weights, merged: DiagonalGaussian, strength: float) -> None:
        """Add to every `.grad`."""
        for w, m, p in zip(weights, merged.mean, merged.precision, strict=True):
            gradient = (w - m).mul_(p)
            if w.grad is None:
                w.grad = gradient.mul_(strength)
            else:
                w.grad.add_(gradient, alpha=strength)

    def step(self, optimiser: Optimiser, merged: DiagonalGaussian, strength: float) -> None:
        """With the gradient of both."""
        optimiser.step()

    def after_step(self, weights: Weights, merged: DiagonalGaussian, strength: float, rates: Rates) -> None:
        """Nothing is left to do."""


class ImplicitPull:
    """The penalty's share of a step, solved for instead of extrapolated.

    theta <- (theta' + eta lambda P mu) / (1 + eta lambda P), theta' the weights after the loss's own step with the
    rates eta. At the fixed point eta (g + lambda P (theta - mu)) = 0, as for the plain gradient; but the distance
    to the anchor shrinks by 1 / (1 + eta lambda P), so that no lambda and no P can overshoot.
    """

    adds_to_gradients = False

    def before_step(self, weights: Weights, merged: DiagonalGaussian, strength: float) -> None:
        """The optimiser sees the loss alone."""

    def step(self, optimiser: Optimiser, merged: DiagonalGaussian, strength: float) -> None:
        """Both at once, in one pass over memory."""
        optimiser.step_towards(merged, strength)

    @torch.no_grad()
    def after_step(self, weights: Weights, merged: DiagonalGaussian, strength: float, rates: Rates) -> None:
        """Move every weight towards its mean."""
        for w, m, p, eta in zip(weights, merged.mean, merged.precision, rates(), strict=True):
            stiffness = (eta * p).mul_(strength).clamp_(max=1e30)  # infinity over infinity is no number
            w.lerp_(m, stiffness / (1 + stiffness))


# -- the consolidator -----------------------------------------------------------------------------------------


class NoConsolidation:
    """Nothing is remembered and nothing is paid for: the agent without a penalty."""

    adds_to_gradients = False

    def enter(self, task: int) -> None:
        """Nothing changes."""

    def leave(self, task: int, weights: Weights, fisher: Measured, joined: Measured | None = None) -> dict[str, float]:
        """Nothing is measured."""
        return {}

    def before_step(self, weights: Weights) -> None:
        """Nothing to add."""

    def step(self, optimiser: Optimiser) -> None:
        """The optimiser's own."""
        optimiser.step()

    def after_step(self, weights: Weights, rates: Rates) -> None:
        """Nothing to pull."""

    def examine(self, weights: Weights, gradients: Weights, curvature: Sequence[Tensor] | None) -> dict[str, float]:
        """There is nothing to see."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Nothing."""


class Consolidation:
    """Anchors at departures, one merged Gaussian in between.

    strength        lambda (PAPER: 400 at a loss summed over 32)
    normalise       divide every Fisher by its mean, so that one strength serves tasks of different scale
    floor           share of the mean information over weights between units that the task uses, layer by layer, which
                    is added to these weights (see `agent.fisher.with_floor`)
    uniform         every weight as stiff as the mean of all: the L2 penalty (the paper's baseline)
    """

    def __init__(
        self,
        memory: AnchorMemory,
        pull: Pull,
        weights: Weights,
        *,
        strength: float,
        normalise: bool = False,
        floor: float = 0.0,
        uniform: bool = False,
    ) -> None:
        self.memory = memory
        self.pull = pull
        self.strength = strength
        self.normalise = normalise
        self.floor = floor
        self.uniform = uniform
        self.merged = DiagonalGaussian.flat(weights)  # overwritten in place, never replaced
        self.rest = 0.0
        self.active = -1

    def enter(self, task: int) -> None:
        """`task` is played from now on: merge the others' anchors."""
        self.active = task
        self.rest = self.memory.merge_into(self.merged, task)

    def leave(self, task: int, weights: Weights, fisher: Measured, joined: Measured | None = None) -> dict[str, float]:
        """`task` is left at `weights`; returns what is worth logging: the mean Fisher information, and layer by layer
        its overlap with that of every other task that has an anchor.

        `fisher` measures the mean Fisher information of the task; after it `joined` tells, bool and in the weights'
        shapes, which weights join units that the task uses (None: all do).
        """
        measured = fisher()
        mean = mean_information(measured)
        kept = normalised(measured) if self.normalise else measured
        if self.uniform:
            kept = [torch.full_like(f, mean_information(kept)) for f in kept]
        elif self.floor:
            used = joined() if joined else [torch.ones_like(f, dtype=torch.bool) for f in kept]
            kept = with_floor(kept, used, self.floor)
        report = {"fisher_mean": mean} | self._overlaps(task, measured)
        self.memory.store(task, weights, kept)
        return report

    def _overlaps(self, task: int, fisher: Weights) -> dict[str, float]:
        """Those of the task's Fisher information with the others'; what was spread evenly has none."""
        found: dict[str, float] = {}
        here = [f.cpu() for f in fisher]
        for other in [] if self.uniform else self.memory.tasks:
            anchor = self.memory.anchor(other)
            if other != task and anchor is not None:
                overlaps = fisher_overlap(here, without_floor(anchor.precision, self.floor))
                found |= {f"fisher_overlap_task{other}_layer{i}": value for i, value in enumerate(overlaps)}
        return found

    @property
    def adds_to_gradients(self) -> bool:
        """Whether `before_step` needs and changes every weight's `.grad`."""
        return self.pull.adds_to_gradients

    def before_step(self, weights: Weights) -> None:
        """Between the backward pass of the loss and the optimiser's step."""
        self.pull.before_step(weights, self.merged, self.strength)

    def step(self, optimiser: Optimiser) -> None:
        """The optimiser's step, the penalty included."""
        self.pull.step(optimiser, self.merged, self.strength)

    def after_step(self, weights: Weights, rates: Rates) -> None:
        """The penalty's share of a step that something else has made with these rates."""
        self.pull.after_step(weights, self.merged, self.strength, rates)

    @torch.no_grad()
    def examine(self, weights: Weights, gradients: Weights, curvature: Sequence[Tensor] | None) -> dict[str, float]:
        """Penalty, its gradient beside the loss's, stiffness (see `agent.diagnostics`), and the distance from every
        anchor that is kept, in its own metric: the root of sum F (theta - theta_c)^2."""
        found = {"penalty": float(self.penalty(weights))}
        found |= pull_against_loss(weights, gradients, self.merged, self.strength)
        found |= stiffness(self.merged, curvature, self.strength)
        here = [w.detach().cpu() for w in weights]
        for task in self.memory.tasks:
            anchor = self.memory.anchor(task)
            if anchor is not None:
                found[f"distance_task{task}"] = float(anchor.quadratic(here)) ** 0.5
        return found

    def penalty(self, weights: Weights) -> Tensor:
        """(lambda / 2) of the sum of the quadratics of all anchors that are merged, a 0-d tensor."""
        return 0.5 * self.strength * (self.merged.quadratic(weights) + self.rest)

    def state_dict(self) -> dict[str, Any]:
        """The memory, with its `segments` at the top, and the active task; the merge is made anew from them."""
        memory = self.memory.state_dict()
        return {"segments": memory.pop("segments"), "memory": memory, "active": self.active}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.memory.load_state_dict({**state["memory"], "segments": state["segments"]})
        self.enter(state["active"])
