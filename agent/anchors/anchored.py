"""Consolidation by anchors: what tasks left behind, merged into one Gaussian that pulls on the weights.

A task leaves N(theta_c, F_c^-1). The product of the others' Gaussians is one Gaussian N(mu, P^-1), merged anew from
the kept factors whenever a task begins, so that an update pays for one quadratic whatever the number of tasks.

What was left is never changed, only replaced. So states share it, as `segments` whose names promise their content (a
checkpoint need not write those again that the one before holds): the task and how often it has left something.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from agent.diagnostics import pull_against_loss, stiffness
from agent.fisher import fisher_overlap, mean_information
from agent.gaussian import DiagonalGaussian, multiply_into
from agent.roles import AnchorStore, Measured, Optimizer, PenaltyStep, Rates, Weights


class AnchoredConsolidator:
    """(ewc_lambda / 2) sum P (theta - mu)^2, with the anchors of `store` merged into N(mu, P^-1).

    store       keeps what tasks leave: `EWC`, `OnlineEWC`, `RecursiveLaplace`, `L2`, ...
    step        makes the penalty felt: `ProximalStep` or `PenaltyGradient`
    weights     for their shapes
    ewc_lambda  lambda (PAPER: 400 at a loss summed over 32)

    The Fisher information is measured at every departure that counts, whether or not `store` keeps it.
    """

    def __init__(self, store: AnchorStore, step: PenaltyStep, weights: Weights, ewc_lambda: float) -> None:
        self.store = store
        self.penalty_step = step
        self.ewc_lambda = ewc_lambda
        self.merged = DiagonalGaussian.flat(weights)  # overwritten in place, never replaced
        self.constant = 0.0  # completes the merged quadratic to the sum over the factors
        self.active = -1

    def enter(self, task: int) -> None:
        """`task` is played from now on: merge the others' anchors."""
        self.active = task
        self.constant = multiply_into(self.merged, self.store.factors(task))

    def leave(
        self, task: int, weights: Weights, fisher: Measured, active_units: Measured | None = None
    ) -> dict[str, float]:
        """Anchor `task`; returns the mean Fisher information, and layer by layer its overlap with that of every other
        task that has one of its own."""
        measured = fisher()
        here = [f.cpu() for f in measured]
        report = {"fisher_mean": mean_information(measured)}
        for other, theirs in self.store.fishers.items():
            if other != task:
                overlaps = fisher_overlap(here, theirs)
                report |= {f"fisher_overlap_task{other}_layer{i}": value for i, value in enumerate(overlaps)}
        self.store.leave(task, weights, measured, active_units() if active_units else None)
        return report

    @property
    def adds_to_gradients(self) -> bool:
        """Whether `before_step` needs and changes every weight's `.grad`."""
        return self.penalty_step.adds_to_gradients

    def before_step(self, weights: Weights) -> None:
        """Between the backward pass of the loss and the optimizer's step."""
        self.penalty_step.before_step(weights, self.merged, self.ewc_lambda)

    def step(self, optimizer: Optimizer) -> None:
        """The optimizer's step, the penalty included."""
        self.penalty_step.step(optimizer, self.merged, self.ewc_lambda)

    def after_step(self, weights: Weights, rates: Rates) -> None:
        """The penalty's share of a step that something else has made with these rates."""
        self.penalty_step.after_step(weights, self.merged, self.ewc_lambda, rates)

    @torch.no_grad()
    def diagnostics(self, weights: Weights, gradients: Weights, curvature: Weights | None) -> dict[str, float]:
        """Penalty, its gradient beside the loss's, stiffness (see `agent.diagnostics`), and the distance from every
        anchor that is kept, in its own metric: the root of sum F (theta - theta_c)^2."""
        found = {"penalty": float(self.penalty(weights))}
        found |= pull_against_loss(weights, gradients, self.merged, self.ewc_lambda)
        found |= stiffness(self.merged, curvature, self.ewc_lambda)
        here = [w.detach().cpu() for w in weights]
        for task in sorted(self.store.anchors):
            found[f"distance_task{task}"] = float(self.store.anchors[task].quadratic(here)) ** 0.5
        return found

    def penalty(self, weights: Weights) -> Tensor:
        """(lambda / 2) of the sum of the quadratics of all anchors that are merged, a 0-d tensor."""
        return 0.5 * self.ewc_lambda * (self.merged.quadratic(weights) + self.constant)

    def state_dict(self) -> dict[str, Any]:
        """The store, with its `segments` at the top, and the active task; the merge is made anew from them."""
        store = self.store.state_dict()
        return {"segments": store.pop("segments"), "memory": store, "active": self.active}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.store.load_state_dict({**state["memory"], "segments": state["segments"]})
        self.enter(state["active"])
