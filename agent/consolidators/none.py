"""Nothing is remembered: the agent without a penalty."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.roles import Measured, Optimizer, Rates, Weights


class NoConsolidation:
    """Nothing is remembered and nothing is paid for: the null object of `Consolidator`."""

    adds_to_gradients = False

    def enter(self, task: int) -> None:
        """No penalty depends on the task that is played."""

    def leave(
        self, task: int, weights: Weights, fisher: Measured, active_units: Measured | None = None
    ) -> dict[str, float]:
        """Never calls `fisher` or `active_units`, so that no sample is drawn; logs nothing."""
        return {}

    def before_step(self, weights: Weights) -> None:
        """Leaves the gradients as they are."""

    def step(self, optimizer: Optimizer) -> None:
        """The optimizer's step on the loss alone."""
        optimizer.step()

    def after_step(self, weights: Weights, rates: Rates) -> None:
        """Leaves the weights as they are."""

    def diagnostics(self, weights: Weights, gradients: Weights, curvature: Weights | None) -> dict[str, float]:
        """An empty dictionary: there is no penalty to examine."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        pass


def make() -> NoConsolidation:
    """The null object of the role."""
    return NoConsolidation()
