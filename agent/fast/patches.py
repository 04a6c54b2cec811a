"""The patches that a convolution looks at: cut out of maps as rows of a matrix, and put together again.

Axes: N observations, U units, P patches of a map, row by row. A patch lies in memory as its pixels do in a
channels-last map: row, column, unit.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Patches:
    """Of one layer: `side` x `side` of them, each of kernel x kernel pixels and `stride` pixels from the next, in maps
    of `before` x `before` pixels."""

    before: int
    side: int
    kernel: int
    stride: int

    def cut(self, maps: Tensor, out: Tensor) -> None:
        """[N, before, before, U] -> out [N P, kernel * kernel * U]."""
        whole = self._pixels(maps, 0, 0, self.kernel, self.kernel)
        out.view(whole.shape).copy_(whole)

    def join(self, patches: Tensor, out: Tensor) -> None:
        """The transpose of `cut`: what patches share is summed. Pixels of `out` [N, before, before, U] that are in no
        patch must be 0 already."""
        parts = patches.view(len(out), self.side, self.side, self.kernel, self.kernel, -1)
        overlap = self.kernel > self.stride
        if overlap:
            out.zero_()
        for y in range(0, self.kernel, self.stride):  # of every patch a block that no other patch's block overlaps
            for x in range(0, self.kernel, self.stride):
                part = parts[:, :, :, y : y + self.stride, x : x + self.stride]
                block = self._pixels(out, y, x, part.shape[3], part.shape[4])
                if overlap:
                    block.add_(part)
                else:
                    block.copy_(part)

    def _pixels(self, maps: Tensor, y: int, x: int, height: int, width: int) -> Tensor:
        """[N, side, side, height, width, U]: in every patch the block that begins at its pixel (y, x); a view."""
        _, line, pixel, _ = maps.stride()
        shape = len(maps), self.side, self.side, height, width, maps.shape[-1]
        steps = maps.stride(0), self.stride * line, self.stride * pixel, line, pixel, 1
        return maps.as_strided(shape, steps, maps.storage_offset() + y * line + x * pixel)
