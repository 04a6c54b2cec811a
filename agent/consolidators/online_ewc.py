"""Online EWC: one decaying anchor (Schwarz et al. 2018)."""

# Without postponed annotations: to resolve them, jsonargparse would import what is for type checking only.
from dataclasses import dataclass
from typing import TYPE_CHECKING

from variants.settings import number

if TYPE_CHECKING:
    from agent.anchors.anchored import AnchoredConsolidator
    from agent.roles import PenaltyStep, Weights


@dataclass(frozen=True)
class Settings:
    """The settings of online EWC."""

    decay: float = number(1.0, 0.0, 1.0)
    """Gamma, the share of the old Fisher information that is kept when a task leaves."""


def make(
    weights: "Weights", step: "PenaltyStep", ewc_lambda: float, fisher_damping: float, settings: Settings
) -> "AnchoredConsolidator":
    """A consolidator that has met no task."""
    from agent.anchors.anchored import AnchoredConsolidator
    from agent.anchors.online import OnlineEWC

    return AnchoredConsolidator(OnlineEWC(settings.decay, fisher_damping), step, weights, ewc_lambda)
