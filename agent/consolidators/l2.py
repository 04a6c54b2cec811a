"""L2: an anchor per task, every weight as stiff as the mean of all (PAPER's baseline)."""

from __future__ import annotations

import torch

from agent.anchors.anchored import AnchoredConsolidator
from agent.consolidators.ewc import EWC
from agent.fisher import mean_information
from agent.roles import PenaltyStep, Weights


class L2(EWC):
    """(lambda / 2) sum_c f_c sum_i (theta_i - theta_c,i)^2, f_c the mean Fisher information of task c."""

    def leave(self, task: int, weights: Weights, fisher: Weights, active_units: Weights | None) -> None:
        """Replace the task's anchor."""
        super().leave(task, weights, [torch.full_like(f, mean_information(fisher)) for f in fisher], active_units)

    @property
    def fishers(self) -> dict[int, tuple[torch.Tensor, ...]]:
        """None: what was spread evenly tells nothing of the weights."""
        return {}


def make(weights: Weights, step: PenaltyStep, ewc_lambda: float) -> AnchoredConsolidator:
    """A consolidator that has met no task."""
    return AnchoredConsolidator(L2(), step, weights, ewc_lambda)
