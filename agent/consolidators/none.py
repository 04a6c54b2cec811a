"""No consolidation: the agent without a penalty."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.consolidators.roles import Measured, Optimizer, Rates, Weights


class NoConsolidation:
    """Nothing is remembered and nothing is paid for: the null object of `Consolidator`."""

    adds_to_gradients = False

    def enter(self, task: int) -> None:
        """Nothing changes."""

    def leave(
        self, task: int, weights: Weights, fisher: Measured, active_units: Measured | None = None
    ) -> dict[str, float]:
        """Nothing is measured."""
        return {}

    def before_step(self, weights: Weights) -> None:
        """Nothing to add."""

    def step(self, optimizer: Optimizer) -> None:
        """The optimizer's own."""
        optimizer.step()

    def after_step(self, weights: Weights, rates: Rates) -> None:
        """Nothing to pull."""

    def diagnostics(self, weights: Weights, gradients: Weights, curvature: Weights | None) -> dict[str, float]:
        """There is nothing to see."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Nothing."""
