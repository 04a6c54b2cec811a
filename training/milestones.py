"""When a run was last evaluated, and when something is due next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, dataclass
from typing import Any

from configs.schema import Config


@dataclass(frozen=True, slots=True)
class Request:
    """An evaluation: the frames of its moment, whether it is the run's last, and the one game that is played (None:
    every game of the schedule)."""

    frames: int
    last: bool
    game: str | None = None


@dataclass
class Milestones:
    """The frames at which the run was last evaluated, in however many games (-1: not even at frame 0, where it is due);
    and the evaluation in the background whose results are not recorded yet, if there is one."""

    evaluated: int = 0
    pending: Request | None = None

    def state_dict(self) -> dict[str, Any]:
        """Both; a pending evaluation only if there is one, and its game only if it is of one."""
        pending = tuple(value for value in astuple(self.pending) if value is not None) if self.pending else None
        return {"evaluated": self.evaluated, **({"pending": pending} if pending else {})}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.evaluated = state["evaluated"]
        self.pending = Request(*state["pending"]) if "pending" in state else None


def first_milestones(config: Config) -> Milestones:
    """Those of a run that has not begun."""
    return Milestones(evaluated=-1 if config.evaluation.at_start else 0)


def due(period: int, last: int, frames: int) -> bool:
    """Whether a multiple of `period` lies in (last, frames]; never for period 0."""
    return period > 0 and frames // period > last // period
