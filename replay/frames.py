"""Storage of single frames: blocks that are appended to while young and immutable ever after.

A 10-game memory is a matter of bytes: a frame of 84 × 84 pixels has 7056 of them raw, and 300 to 1900 under
lz4, which unpacks in one to four microseconds. Both forms sit behind the same two verbs, `append` and `read`.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import lz4.block
import numpy as np
import torch


class FrameBlock:
    """A list of equally sized frames with the numbers 0, 1, 2, … in order of arrival.

    Life: `append` any number of times, then `seal` once. A sealed block never changes, so its state may be
    shared by checkpoints, and with other blocks, without a copy.
    """

    def __init__(self, frame_bytes: int, compress: bool) -> None:
        """frame_bytes: length of every frame; compress: keep frames as lz4 blocks instead of raw bytes."""
        self._frame_bytes = frame_bytes
        self._compress = compress
        self._growing: list[bytes] = []
        self._blob: memoryview | None = None  # sealed: all frames, one after the other,
        self._offsets = np.zeros(1, np.int32).data  # frame i at offsets[i] … offsets[i + 1] − 1
        self._payload = 0

    def __len__(self) -> int:
        """The number of frames."""
        return len(self._growing) if self._blob is None else len(self._offsets) - 1

    @property
    def sealed(self) -> bool:
        """Whether the block is immutable."""
        return self._blob is not None

    @property
    def nbytes(self) -> int:
        """Bytes of frames and offsets (not the interpreter's overhead on a growing block's frames)."""
        return self._payload + 4 * len(self)

    def append(self, frame: np.ndarray) -> None:
        """Store one frame, uint8 [H, W]."""
        data = np.ascontiguousarray(frame)
        stored = lz4.block.compress(data, store_size=False) if self._compress else data.tobytes()
        self._growing.append(stored)
        self._payload += len(stored)

    def read(self, index: int) -> bytes | memoryview:
        """The raw bytes of frame `index`, row by row."""
        if self._blob is None:
            stored: bytes | memoryview = self._growing[index]
        else:
            stored = self._blob[self._offsets[index] : self._offsets[index + 1]]
        if self._compress:
            return lz4.block.decompress(stored, uncompressed_size=self._frame_bytes)
        return stored

    def seal(self) -> None:
        """Make the block immutable: one piece of memory and the offsets of the frames in it."""
        blob, offsets = self._join()
        self._blob, self._offsets, self._growing = blob.data, offsets.data, []

    def state_dict(self) -> dict[str, Any]:
        """`frames` uint8 [bytes], `offsets` int32 [frames + 1]: shared memory if sealed, else a copy."""
        if self._blob is None:
            blob, offsets = self._join()
        else:
            blob, offsets = np.asarray(self._blob), np.asarray(self._offsets)
        return {
            "frames": torch.from_numpy(blob),
            "offsets": torch.from_numpy(offsets),
            "sealed": int(self.sealed),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Become the block that `state` was taken from; a sealed one shares the state's memory."""
        blob, offsets = state["frames"].numpy(), state["offsets"].numpy()
        self._payload = len(blob)
        if state["sealed"]:
            self._blob, self._offsets, self._growing = blob.data, offsets.data, []
        else:
            self._blob = None
            self._growing = [blob[i:j].tobytes() for i, j in pairwise(offsets)]

    def _join(self) -> tuple[np.ndarray, np.ndarray]:
        offsets = np.zeros(len(self._growing) + 1, np.int32)
        np.cumsum([len(frame) for frame in self._growing], out=offsets[1:])
        return np.frombuffer(bytearray().join(self._growing), np.uint8), offsets
