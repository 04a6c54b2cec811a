"""Copies of a ring's frames where they are learned from: in an accelerator's memory.

The ring's own frames, in host memory and perhaps compressed, stay what is saved; a mirror spares a minibatch
unpacking, joining and the way over the bus. Frames are addressed as in the ring.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


class DeviceFrameCache:
    """Frames uint8 [H, W] in `slots` of one tensor on `device`; slot 0 stays black.

    A mirror that runs out of slots (a stream of very short episodes) is `full` from then on and of no use.
    """

    def __init__(self, slots: int, height: int, width: int, device: torch.device | str) -> None:
        """Reserves slots · H · W bytes."""
        self.full = False
        self._frames = torch.zeros(slots, height, width, dtype=torch.uint8, device=device)
        self._free = list(range(slots - 1, 0, -1))
        self._slots: dict[int, list[int]] = {}  # by block: those of its frames in order

    @property
    def nbytes(self) -> int:
        """Bytes reserved on the device."""
        return self._frames.nbytes

    def append(self, block: int, frames: np.ndarray) -> None:
        """The next frames uint8 [K, H, W] of this block."""
        if self.full or len(self._free) < len(frames):
            self.full = True
            return
        slots = [self._free.pop() for _ in range(len(frames))]
        self._slots.setdefault(block, []).extend(slots)
        self._frames[self._indices(np.array(slots))] = _to(frames, self._frames.device)

    def drop(self, block: int) -> None:
        """Free the slots of a block."""
        self._free.extend(self._slots.pop(block, ()))

    def gather(self, blocks: np.ndarray, numbers: np.ndarray) -> Tensor:
        """uint8 [M, H, W] on the device: the frames with these int64 [M] blocks and numbers; black where the number
        is negative."""
        slots = [self._slots[b][n] if n >= 0 else 0 for b, n in zip(blocks.tolist(), numbers.tolist(), strict=True)]
        return self._frames[self._indices(np.array(slots))]

    def _indices(self, slots: np.ndarray) -> Tensor:
        return _to(slots.astype(np.int64), self._frames.device)


def _to(values: np.ndarray, device: torch.device) -> Tensor:
    """Copied asynchronously where that is possible."""
    host = torch.from_numpy(np.ascontiguousarray(values))
    if device.type == "cpu":
        return host
    return host.pin_memory().to(device, non_blocking=True)
