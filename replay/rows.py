"""Everything about stored steps but their pixels: a ring of rows, some 15 bytes per transition.

A *row* is one vector step of B emulators. Rows are numbered 0, 1, 2, … for the life of the ring; row i lies
in slot i mod R. A column holds one value per row and emulator, or one per row.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

BLACK = -1  # the number of the all-zero frame, which is not stored


class RowTable:
    """Columns of R slots for B emulators.

    action uint8, reward float32, discount float32, cut bool [R, B]: the outcome of the row's action; where
        `cut`, the step was interrupted and has no usable outcome.
    age uint8 [R, B]: how many of the row's frame's predecessors belong to its stack, at most S − 1; 0 where
        the stack is not the continuation of the previous row's.
    context int32 [R, B], meaningful where age is 0: number of the first of the S − 1 older frames of the
        stack within the row's block; BLACK if they are all zero.
    frame int32 [R]: number of emulator 0's frame within the row's block; the other emulators' follow.
    time int64 [R]: the run's count of vector steps. linked bool [R]: directly follows the previous row.
    """

    def __init__(self, slots: int, batch: int) -> None:
        """Reserve R = slots rows for B = batch emulators (untouched memory costs nothing)."""
        self.slots, self.batch = slots, batch
        self.action = np.zeros((slots, batch), np.uint8)
        self.reward = np.zeros((slots, batch), np.float32)
        self.discount = np.zeros((slots, batch), np.float32)
        self.cut = np.zeros((slots, batch), np.bool_)
        self.age = np.zeros((slots, batch), np.uint8)
        self.context = np.zeros((slots, batch), np.int32)
        self.frame = np.zeros(slots, np.int32)
        self.time = np.zeros(slots, np.int64)
        self.linked = np.zeros(slots, np.bool_)
        self.row_bytes = sum(column.nbytes // slots for column in self.columns.values())  # over all columns

    @property
    def columns(self) -> dict[str, np.ndarray]:
        """Every column by name."""
        return {name: value for name, value in vars(self).items() if isinstance(value, np.ndarray)}

    def stacks(self, row: np.ndarray, emulator: np.ndarray, stack: int) -> np.ndarray:
        """int64 [N, S]: the numbers, within the row's block, of the S = stack frames that the agent saw at
        (row, emulator), both int64 [N]; oldest first. BLACK stands for a frame of zeros."""
        age = self.age[row % self.slots, emulator].astype(np.int64)[:, None]
        back = np.arange(stack - 1, -1, -1)  # how many rows earlier
        own = self.frame[(row[:, None] - np.minimum(back, age)) % self.slots] + emulator[:, None]
        context = self.context[(row - age[:, 0]) % self.slots, emulator][:, None]
        beside = np.where(context == BLACK, BLACK, context + (stack - 1) - (back - age))
        return np.where(back <= age, own, beside)

    def read(self, start: int, count: int) -> dict[str, torch.Tensor]:
        """Copies of rows start … start + count − 1, which must not wrap around the ring's end."""
        slot = start % self.slots
        return {name: torch.from_numpy(c[slot : slot + count].copy()) for name, c in self.columns.items()}

    def write(self, start: int, state: Mapping[str, Any]) -> None:
        """Put back what `read` returned."""
        slot = start % self.slots
        for name, column in self.columns.items():
            values = state[name].numpy()
            column[slot : slot + len(values)] = values
