"""Loops over single pixels, compiled by numba where it is installed; the plain twin computes the same bits.

Axes: F frames of H x W pixels, N observations of S stacked frames, P patches of `stride` x `stride` pixels, row by row.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

try:
    from numba import int64, njit, uint64

    COMPILED = True
except ImportError:  # the plain twin serves
    COMPILED = False


def plain_cut_patches(
    frames: NDArray[np.uint8],
    stacks: NDArray[np.int64],
    offsets: NDArray[np.int64],
    stride: int,
    out: NDArray[np.uint8],
) -> None:
    """Stack, shift and cut: out uint8 [N, P, stride * S * stride] from frames uint8 [F, H, W].

    stacks int64 [N, S]: the numbers of each observation's frames. offsets int64 [N, 2]: where its pixels are taken
    from, so many rows below and columns to the right; beyond the border its pixels are repeated. A patch lies in memory
    by row, frame and column. What is left at the right and at the bottom is in no patch.
    """
    (count, depth), (height, width) = stacks.shape, frames.shape[1:]
    rows, columns = height // stride, width // stride
    for n in range(count):
        y = np.clip(np.arange(rows * stride) + offsets[n, 0], 0, height - 1)
        x = np.clip(np.arange(columns * stride) + offsets[n, 1], 0, width - 1)
        picture = frames[stacks[n]][:, y[:, None], x].reshape(depth, rows, stride, columns, stride)
        out[n] = picture.transpose(1, 3, 2, 0, 4).reshape(rows * columns, -1)


def _compiled(stride: int) -> Any:
    """`plain_cut_patches` for one stride, which the compiler then knows, one line of pixels after the other. Unsigned
    places spare looks at their sign."""

    @njit(nogil=True)
    def cut(frames: Any, stacks: Any, offsets: Any, out: Any) -> None:
        height, width = frames.shape[1], frames.shape[2]
        rows, columns, depth = height // stride, width // stride, stacks.shape[1]
        pixels, values = frames.reshape(-1), out.reshape(-1)
        size = depth * stride * stride
        for n in range(len(stacks)):
            down, right = int64(offsets[n, 0]), int64(offsets[n, 1])
            first = min(columns, (max(0, -right) + stride - 1) // stride)  # whole patches between these two
            last = max(first, min(columns, (width - right) // stride))
            for row in range(rows):
                for dy in range(stride):
                    y = min(max(row * stride + dy + down, 0), height - 1)
                    for s in range(depth):
                        line = (int64(stacks[n, s]) * height + y) * width
                        place = (n * rows + row) * columns * size + (dy * depth + s) * stride
                        source, target = uint64(line + first * stride + right), uint64(place + first * size)
                        for _ in range(first, last):
                            for dx in range(stride):
                                values[target + uint64(dx)] = pixels[source + uint64(dx)]
                            source += uint64(stride)
                            target += uint64(size)
                        for column in range(columns):
                            if column < first or column >= last:
                                for dx in range(stride):
                                    x = min(max(column * stride + dx + right, 0), width - 1)
                                    values[uint64(place + column * size + dx)] = pixels[uint64(line + x)]

    return cut


@functools.cache
def cut_patches_of(stride: int) -> Callable[..., None]:
    """`plain_cut_patches` for this stride, called without it; compiled at the first call (a second)."""
    if not COMPILED:
        return lambda frames, stacks, offsets, out: plain_cut_patches(frames, stacks, offsets, stride, out)
    return _compiled(stride)
