"""Small worlds for consolidators: weights, Fishers and units from a seed, departures, and penalties written out."""

from dataclasses import dataclass

import pytest
import torch

from agent.anchors.anchored import AnchoredConsolidator
from agent.anchors.steps import PenaltyGradient
from agent.consolidators.ewc import EWC

SHAPES = ((4, 3, 2, 2), (5, 8), (2, 5))  # a convolution and two linear layers, as in a network: 4, 5 and 2 units
STRENGTH = 37.0


def weights_at(seed):
    g = torch.Generator().manual_seed(seed)
    return [torch.nn.Parameter(torch.randn(shape, generator=g)) for shape in SHAPES]


def fisher_of(seed):
    """Over several orders of magnitude, a fifth of it 0."""
    g = torch.Generator().manual_seed(1000 + seed)
    return [(2 * torch.randn(shape, generator=g)).exp() * (torch.rand(shape, generator=g) > 0.2) for shape in SHAPES]


def units_of(seed):
    """Some of the hidden units of each layer, the first always; all of the last layer's."""
    g = torch.Generator().manual_seed(2000 + seed)
    found = [torch.rand(shape[0], generator=g) > 0.4 for shape in SHAPES[:-1]]
    for units in found:
        units[0] = True
    return [*found, torch.ones(SHAPES[-1][0], dtype=torch.bool)]


@dataclass(frozen=True, eq=False)
class Left:
    """What one task has left, all of it from one seed."""

    task: int
    weights: list
    fisher: list
    units: list


def make(store=None, step=None, ewc_lambda=STRENGTH):
    return AnchoredConsolidator(store or EWC(), step or PenaltyGradient(), weights_at(0), ewc_lambda)


def leave_all(consolidator, tasks, first_seed=1):
    """Leave these tasks in turn, the n-th at weights and with a Fisher and units of its own; returns what they left."""
    left = []
    for seed, task in enumerate(tasks, first_seed):
        left.append(Left(task, weights_at(seed), fisher_of(seed), units_of(seed)))
        consolidator.enter(task)
        consolidator.leave(task, weights_at(seed), lambda seed=seed: fisher_of(seed), lambda seed=seed: units_of(seed))
    return left


def latest(left):
    """By task, the last of what each has left, in order of task."""
    found = {each.task: each for each in left}
    return {task: found[task] for task in sorted(found)}


def joined_by(units):
    """Which weights join these units, bool in the weights' shapes, weight by weight: unit o and the input's unit."""
    found = []
    for layer, shape in enumerate(SHAPES):
        mask = torch.zeros(shape, dtype=torch.bool)
        for o in range(shape[0]):
            for i in range(shape[1]):
                of_input = True if layer == 0 else units[layer - 1][i * len(units[layer - 1]) // shape[1]]
                mask[o, i] = bool(units[layer][o]) and bool(of_input)
        found.append(mask)
    return found


def floored(fisher, joined, damping):
    """A share of each layer's mean over the joined weights, added to these."""
    return [f + damping * f.sum() / uses.sum().clamp_min(1) * uses for f, uses in zip(fisher, joined, strict=True)]


def separate_penalty(weights, anchors, ewc_lambda=STRENGTH):
    """float64, in the graph of `weights`: (lambda / 2) sum_c sum_i F_c,i (theta_i - theta_c,i)^2, written out."""
    total = torch.zeros((), dtype=torch.float64)
    for centres, fisher in anchors:
        for w, centre, f in zip(weights, centres, fisher, strict=True):
            total = total + (f.double() * (w.double() - centre.detach().double()) ** 2).sum()
    return 0.5 * ewc_lambda * total


def assert_pays(consolidator, anchors, seed=99):
    """Its value and its gradient are those of separate penalties for these (weights, Fisher)."""
    weights = weights_at(seed)
    exact = separate_penalty(weights, anchors, consolidator.ewc_lambda)
    assert consolidator.penalty(weights).item() == pytest.approx(exact.item(), rel=1e-5)
    expected = torch.autograd.grad(exact, weights) if anchors else [torch.zeros(s) for s in SHAPES]
    own = [torch.randn(w.shape, generator=torch.Generator().manual_seed(seed)) for w in weights]
    for w, g in zip(weights, own, strict=True):
        w.grad = g.clone()
    PenaltyGradient().before_step(weights, consolidator.merged, consolidator.ewc_lambda)
    for w, g, pull in zip(weights, own, expected, strict=True):
        torch.testing.assert_close(w.grad, g + pull, rtol=1e-5, atol=1e-5 * float(pull.abs().max()) + 1e-7)
