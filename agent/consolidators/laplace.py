"""Recursive Laplace: summed Fishers around the latest weights (Huszar 2018)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from agent.anchors.anchored import AnchoredConsolidator
from agent.consolidators.ewc import EWC
from agent.gaussian import DiagonalGaussian
from agent.roles import PenaltyStep, Weights


class RecursiveLaplace(EWC):
    """(lambda / 2) sum_i (sum_c F_c,i) (theta_i - theta*_i)^2, theta* the weights at the latest departure that left an
    anchor. The Fisher of a task that is left again replaces its old one, so that revisits do not count a task twice.
    """

    def __init__(self, damping: float = 0.0) -> None:
        super().__init__(damping)
        self.latest: tuple[Tensor, ...] = ()

    def leave(self, task: int, weights: Weights, fisher: Weights, active_units: Weights | None) -> None:
        """Replace the task's Fisher and move the centre of all."""
        super().leave(task, weights, fisher, active_units)
        self._centre(self.anchors[task].mean)

    def _centre(self, weights: tuple[Tensor, ...]) -> None:
        self.latest = weights
        self.anchors = {task: DiagonalGaussian(weights, kept.precision) for task, kept in self.anchors.items()}

    def state_dict(self) -> dict[str, Any]:
        """The Fishers, the centre (named after the number of all departures) and the numbers of departures."""
        state = super().state_dict()
        for kept in state["segments"].values():
            kept["mean"] = []
        if self.latest:
            state["segments"][self._latest_name] = list(self.latest)
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        super().load_state_dict(state)
        self._centre(tuple(state["segments"].get(self._latest_name, ())))

    @property
    def _latest_name(self) -> str:
        return f"latest-{sum(self.departures.values()):06d}"


def make(weights: Weights, step: PenaltyStep, ewc_lambda: float, fisher_damping: float) -> AnchoredConsolidator:
    """A consolidator that has met no task."""
    return AnchoredConsolidator(RecursiveLaplace(fisher_damping), step, weights, ewc_lambda)
