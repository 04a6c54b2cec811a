"""When a run was last evaluated, and when something is due next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from configs.schema import Config


@dataclass
class Milestones:
    """The frames at which the run was last evaluated (-1: not even at frame 0, where it is due); and of an evaluation
    in the background whose results are not recorded yet, its frames and whether it is the run's last."""

    evaluated: int = 0
    pending: tuple[int, bool] | None = None

    def state_dict(self) -> dict[str, Any]:
        """Both; a pending evaluation only if there is one."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.evaluated = state["evaluated"]
        self.pending = state.get("pending")


def first_milestones(config: Config) -> Milestones:
    """Those of a run that has not begun."""
    return Milestones(evaluated=-1 if config.evaluation.at_start else 0)


def due(period: int, last: int, frames: int) -> bool:
    """Whether a multiple of `period` lies in (last, frames]; never for period 0."""
    return period > 0 and frames // period > last // period
