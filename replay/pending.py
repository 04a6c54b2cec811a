"""Rows whose task is not decided yet."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch

from envs.timestep import TimeStep


@dataclass(frozen=True, slots=True)
class Row:
    """One step of all emulators: at vector step `time`, `action` (integers [B]) at `before` led to `after`."""

    time: int
    before: TimeStep
    action: np.ndarray
    after: TimeStep


class PendingRows:
    """A queue of rows, oldest first."""

    def __init__(self) -> None:
        self._rows: deque[Row] = deque()

    def __len__(self) -> int:
        return len(self._rows)

    def append(self, row: Row) -> None:
        """Put a row at the end."""
        self._rows.append(row)

    def pop(self) -> Row:
        """Take the oldest row."""
        return self._rows.popleft()

    def state_dict(self) -> dict[str, Any]:
        """The rows that wait, each copied."""
        return {"rows": [_to_state(row) for row in self._rows]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self._rows = deque(_from_state(row) for row in state["rows"])


def _to_state(row: Row) -> dict[str, Any]:
    return {
        "time": row.time,
        "action": torch.from_numpy(row.action.copy()),
        "before": _tensors(row.before),
        "after": _tensors(row.after),
    }


def _from_state(state: Mapping[str, Any]) -> Row:
    before, after = (
        TimeStep(**{name: value.numpy().copy() for name, value in state[side].items()}) for side in ("before", "after")
    )
    return Row(state["time"], before, state["action"].numpy().copy(), after)


def _tensors(step: TimeStep) -> dict[str, torch.Tensor]:
    return {field.name: torch.from_numpy(getattr(step, field.name).copy()) for field in fields(step)}
