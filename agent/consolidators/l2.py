"""L2: every weight as stiff as the mean of all (the paper's baseline)."""

from __future__ import annotations

import torch

from agent.consolidators.ewc import EWC
from agent.fisher import mean_information
from agent.roles import Weights


class L2(EWC):
    """(lambda / 2) sum_c f_c sum_i (theta_i - theta_c,i)^2, f_c the mean Fisher information of task c."""

    def __init__(self, include_active: bool = False) -> None:
        super().__init__(damping=0.0, include_active=include_active)

    def leave(self, task: int, weights: Weights, fisher: Weights, active_units: Weights | None) -> None:
        """Replace the task's anchor."""
        super().leave(task, weights, [torch.full_like(f, mean_information(fisher)) for f in fisher], active_units)

    @property
    def fishers(self) -> dict[int, tuple[torch.Tensor, ...]]:
        """None: what was spread evenly tells nothing of the weights."""
        return {}
