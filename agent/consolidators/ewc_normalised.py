"""EWC with Fishers of unit mean, so that one lambda serves games of different reward scale."""

from __future__ import annotations

from agent.anchors.anchored import AnchoredConsolidator
from agent.anchors.normalised import NormalisedFishers
from agent.consolidators.ewc import EWC
from agent.roles import PenaltyStep, Weights


def make(weights: Weights, step: PenaltyStep, ewc_lambda: float, fisher_damping: float) -> AnchoredConsolidator:
    """A consolidator that has met no task."""
    return AnchoredConsolidator(NormalisedFishers(EWC(fisher_damping)), step, weights, ewc_lambda)
