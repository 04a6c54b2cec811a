"""One decaying anchor for all tasks (Schwarz et al. 2018)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from agent.fisher import damped
from agent.gaussian import DiagonalGaussian
from agent.roles import Weights


class OnlineEWC:
    """(lambda / 2) sum_i F*_i (theta_i - theta*_i)^2, F* <- decay F* + F around the latest weights.

    Nothing is kept per task, so the active task's share cannot be left out; a decay below 1 forgets old tasks
    gracefully. `damping`: see `agent.fisher.damped`, over the units that any task has used.
    """

    def __init__(self, decay: float, damping: float = 0.0) -> None:
        self.decay = decay
        self.damping = damping
        self.running: DiagonalGaussian | None = None
        self.active_units: tuple[Tensor, ...] = ()  # empty: all
        self.departures = 0  # of all tasks

    def leave(self, task: int, weights: Weights, fisher: Weights, active_units: Weights | None) -> None:
        """Decay, add, and move the centre to `weights`."""
        total = [f.cpu() for f in fisher]
        units = tuple(u.detach().clone().cpu() for u in active_units or ())
        if self.running:
            total = [self.decay * old + new for old, new in zip(self.running.precision, total, strict=True)]
            both = zip(self.active_units, units, strict=True) if self.active_units and units else ()
            units = tuple(torch.logical_or(old, new) for old, new in both)
        self.running, self.active_units = DiagonalGaussian.of(weights, total), units
        self.departures += 1

    def factors(self, active: int) -> Iterable[DiagonalGaussian]:
        """The running Gaussian, whichever task is played; none before the first departure."""
        if self.running is None:
            return []
        return [DiagonalGaussian(self.running.mean, damped(self.running.precision, self.active_units, self.damping))]

    @property
    def anchors(self) -> dict[int, DiagonalGaussian]:
        """None: tasks are not told apart."""
        return {}

    @property
    def fishers(self) -> dict[int, tuple[Tensor, ...]]:
        """None: tasks are not told apart."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """The running Gaussian, named after the number of departures."""
        running = {**self.running.state_dict(), "units": list(self.active_units)} if self.running else None
        return {"segments": {self._name: running} if running else {}, "departures": self.departures}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.departures = state["departures"]
        found = state["segments"].get(self._name)
        self.running = DiagonalGaussian.from_state(found) if found else None
        self.active_units = tuple(found["units"]) if found else ()

    @property
    def _name(self) -> str:
        return f"running-{self.departures:06d}"
