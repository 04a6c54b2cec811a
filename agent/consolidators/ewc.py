"""Elastic weight consolidation: an anchor per task, those of the others merged (PAPER)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

from agent.anchors.anchored import AnchoredConsolidator
from agent.fisher import damped
from agent.gaussian import DiagonalGaussian
from agent.roles import PenaltyStep, Weights


class EWC:
    """(lambda / 2) sum_c sum_i F_c,i (theta_i - theta_c,i)^2.

    Every task keeps the weights at which it was last left and the Fisher information measured there; leaving it again
    overwrites both. The anchor of the task that is being played is left out (the paper: "which quadratic constraints
    are currently active" depends on the task).

    damping   see `agent.fisher.damped`; added when the anchor is used, so that the Fisher is kept as measured
    """

    def __init__(self, damping: float = 0.0) -> None:
        self.damping = damping
        self.anchors: dict[int, DiagonalGaussian] = {}  # precision: the Fisher information as measured
        self.active_units: dict[int, tuple[Tensor, ...]] = {}  # empty: all
        self.departures: dict[int, int] = {}  # how often a task has left an anchor

    def leave(self, task: int, weights: Weights, fisher: Weights, active_units: Weights | None) -> None:
        """Replace the task's anchor."""
        self.anchors[task] = DiagonalGaussian.of(weights, fisher)
        self.active_units[task] = tuple(u.detach().clone().cpu() for u in active_units or ())
        self.departures[task] = self.departures.get(task, 0) + 1

    def factors(self, active: int) -> Iterable[DiagonalGaussian]:
        """The other tasks' anchors in order of task."""
        for task in sorted(self.anchors):
            if task != active:
                kept = self.anchors[task]
                yield DiagonalGaussian(kept.mean, damped(kept.precision, self.active_units[task], self.damping))

    @property
    def fishers(self) -> dict[int, tuple[Tensor, ...]]:
        """Those of the tasks that were left, as measured."""
        return {task: self.anchors[task].precision for task in sorted(self.anchors)}

    def state_dict(self) -> dict[str, Any]:
        """All anchors and the numbers of departures."""
        segments = {
            segment_name(task, count): {**self.anchors[task].state_dict(), "units": list(self.active_units[task])}
            for task, count in self.departures.items()
        }
        return {"segments": segments, "departures": dict(self.departures)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.departures, segments = dict(state["departures"]), state["segments"]
        kept = {task: segments[segment_name(task, count)] for task, count in self.departures.items()}
        self.anchors = {task: DiagonalGaussian.from_state(each) for task, each in kept.items()}
        self.active_units = {task: tuple(each["units"]) for task, each in kept.items()}


def make(weights: Weights, step: PenaltyStep, ewc_lambda: float, fisher_damping: float) -> AnchoredConsolidator:
    """A consolidator that has met no task."""
    return AnchoredConsolidator(EWC(fisher_damping), step, weights, ewc_lambda)


def segment_name(task: int, departures: int) -> str:
    """The name of what a task left at its so many-th departure."""
    return f"task{task:03d}-{departures:06d}"
