"""EWC with the anchor of the task that is played among the others'."""

from __future__ import annotations

from collections.abc import Iterable

from agent.anchors.anchored import AnchoredConsolidator
from agent.consolidators.ewc import EWC
from agent.gaussian import DiagonalGaussian
from agent.roles import PenaltyStep, Weights

_NO_TASK = -1


class EWCOfAll(EWC):
    """(lambda / 2) sum_c sum_i F_c,i (theta_i - theta_c,i)^2 over all tasks c, the active one included (PAPER, as read,
    leaves it out: "which quadratic constraints are currently active" depends on the task)."""

    def factors(self, active: int) -> Iterable[DiagonalGaussian]:
        """All anchors, in order of task."""
        return super().factors(_NO_TASK)


def make(weights: Weights, step: PenaltyStep, ewc_lambda: float, fisher_damping: float) -> AnchoredConsolidator:
    """A consolidator that has met no task."""
    return AnchoredConsolidator(EWCOfAll(fisher_damping), step, weights, ewc_lambda)
