"""Loops over single pixels and weights, compiled by numba where it is installed; the plain twins compute the same bits.

Axes: F frames of H x W pixels, N observations of S stacked frames, P patches of pixels, row by row.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

try:
    from numba import float32, int32, int64, njit, uint64

    COMPILED = True
except ImportError:  # the plain twin serves
    COMPILED = False


@dataclass(frozen=True)
class PixelPatches:
    """How the first layer's patches are cut: squares of side `kernel`, `stride` apart, of pictures that are averaged
    over squares of `pool` x `pool` pixels first (rounded; 1: as they are)."""

    kernel: int
    stride: int
    pool: int = 1


def plain_cut_patches(
    frames: NDArray[Any],
    stacks: NDArray[np.int64],
    offsets: NDArray[np.int64],
    cut: PixelPatches,
    out: NDArray[Any],
) -> None:
    """Stack, shift, average and cut: out [N, P, kernel * S * kernel] from frames [F, H, W], both uint8 or int8.

    stacks int64 [N, S]: the numbers of each observation's frames. offsets int64 [N, 2]: where its pixels are taken
    from, so many rows below and columns to the right; beyond the border its pixels are repeated. A patch lies in memory
    by row, frame and column. What is left at the right and at the bottom is in no patch.
    """
    (count, depth), (height, width), pool = stacks.shape, frames.shape[1:], cut.pool
    for n in range(count):
        y = np.clip(np.arange(height // pool * pool) + offsets[n, 0], 0, height - 1)
        x = np.clip(np.arange(width // pool * pool) + offsets[n, 1], 0, width - 1)
        picture = frames[stacks[n]][:, y[:, None], x].reshape(depth, height // pool, pool, width // pool, pool)
        means = (picture.sum((2, 4), dtype=np.int64) + pool * pool // 2) // (pool * pool)
        found = np.lib.stride_tricks.sliding_window_view(means, (cut.kernel, cut.kernel), (1, 2))
        out[n] = found[:, :: cut.stride, :: cut.stride].transpose(1, 2, 3, 0, 4).reshape(out.shape[1:])


def _compiled(kernel: int, stride: int, pool: int) -> Any:
    """`plain_cut_patches` for one kind of patches, which the compiler then knows, one line of pixels after the other.
    Unsigned places spare looks at their sign."""

    @njit(nogil=True)
    def average(frame: Any, down: Any, right: Any, out: Any) -> None:
        """A frame [H, W], shifted and averaged."""
        height, width = frame.shape
        first = min(out.shape[1], (max(0, -right) + pool - 1) // pool)  # whole squares between these two
        last = max(first, min(out.shape[1], (width - right) // pool))
        sums = np.empty(out.shape[1] * pool, np.int16)
        for y in range(len(out)):
            sums[:] = 0
            for dy in range(pool):
                line = frame[min(max(y * pool + dy + down, 0), height - 1)]
                for x in range(first * pool, last * pool):
                    sums[uint64(x)] += line[uint64(x + right)]
                for x in range(first * pool):
                    sums[x] += line[min(max(x + right, 0), width - 1)]
                for x in range(last * pool, len(sums)):
                    sums[x] += line[min(max(x + right, 0), width - 1)]
            for x in range(out.shape[1]):
                total = int32(pool * pool // 2)
                for dx in range(pool):
                    total += sums[uint64(x * pool + dx)]
                out[y, x] = total // int32(pool * pool)

    @njit(nogil=True)
    def cut(frames: Any, stacks: Any, offsets: Any, out: Any) -> None:
        height, width, depth = frames.shape[1] // pool, frames.shape[2] // pool, stacks.shape[1]
        rows, columns = (height - kernel) // stride + 1, (width - kernel) // stride + 1
        means = np.empty((height, width), frames.dtype)
        pixels = frames.reshape(-1) if pool == 1 else means.reshape(-1)
        values, size = out.reshape(-1), depth * kernel * kernel
        for n in range(len(stacks)):
            for s in range(depth):
                down, right = int64(offsets[n, 0]), int64(offsets[n, 1])
                begin = int64(stacks[n, s]) * height
                if pool > 1:
                    average(frames[stacks[n, s]], down, right, means)
                    begin, down, right = 0, 0, 0
                first = min(columns, (max(0, -right) + stride - 1) // stride)  # whole patches between these two
                last = max(first, min(columns, (width - right - kernel) // stride + 1))
                for row in range(rows):
                    for dy in range(kernel):
                        line = (begin + min(max(row * stride + dy + down, 0), height - 1)) * width
                        place = (n * rows + row) * columns * size + (dy * depth + s) * kernel
                        source, target = uint64(line + first * stride + right), uint64(place + first * size)
                        for _ in range(first, last):
                            for dx in range(kernel):
                                values[target + uint64(dx)] = pixels[source + uint64(dx)]
                            source += uint64(stride)
                            target += uint64(size)
                        for column in range(columns):
                            if column < first or column >= last:
                                for dx in range(kernel):
                                    x = min(max(column * stride + dx + right, 0), width - 1)
                                    values[uint64(place + column * size + dx)] = pixels[uint64(line + x)]

    return cut


@functools.cache
def cut_patches_of(cut: PixelPatches) -> Callable[..., None]:
    """`plain_cut_patches` for these patches, called without them; compiled at the first call (a second)."""
    if not COMPILED:
        return lambda frames, stacks, offsets, out: plain_cut_patches(frames, stacks, offsets, cut, out)
    return _compiled(cut.kernel, cut.stride, cut.pool)


@dataclass(frozen=True)
class AdamStep:
    """The numbers of a step of Adam with an implicit pull: rate / correction of the mean, decays, and so on.

    rate         learning rate over the mean's bias correction
    decays       of the means of gradients and of their squares
    correction   of the squares' bias, that they are divided by
    epsilon      added to the root
    strength     lambda times the learning rate; 0: nothing pulls
    """

    rate: float
    decays: tuple[float, float]
    correction: float
    epsilon: float
    strength: float = 0.0

    @property
    def numbers(self) -> tuple[np.float32, ...]:
        """As the loops take them. The root of 0 takes ten times as long on some processors, so that the square has a
        least value: so little that it is lost when epsilon is added."""
        beta1, beta2 = self.decays
        least = (2.0**-30 * self.epsilon) ** 2
        values = (1 - beta1, beta2, 1 - beta2, 1 / self.correction, least, self.epsilon, self.rate, self.strength)
        return tuple(np.float32(value) for value in values)


def plain_adam(
    weight: NDArray[np.float32],
    gradient: NDArray[np.float32],
    mean: NDArray[np.float32],
    square: NDArray[np.float32],
    centre: NDArray[np.float32],
    precision: NDArray[np.float32],
    step: AdamStep,
) -> None:
    """One step, in place: Adam (Kingma and Ba 2015), then weight towards centre by s P / (root + s P), s the strength,
    which is the implicit step on the penalty at the weight's own rate. All float32 [W]."""
    new, keep, add, scale, least, epsilon, rate, strength = step.numbers
    mean += (gradient - mean) * new
    square[:] = square * keep + gradient * gradient * add
    root = np.sqrt(np.maximum(square * scale, least)) + epsilon
    weight -= mean / root * rate
    if strength:
        stiffness = precision * strength
        weight += (centre - weight) * (stiffness / (root + stiffness))


@functools.cache
def _compiled_adam() -> Any:
    @njit(nogil=True, error_model="numpy")
    def adam(
        weight: Any,
        gradient: Any,
        mean: Any,
        square: Any,
        centre: Any,
        precision: Any,
        new: Any,
        keep: Any,
        add: Any,
        scale: Any,
        least: Any,
        epsilon: Any,
        rate: Any,
        strength: Any,
    ) -> None:
        for i in range(len(weight)):
            g = gradient[i]
            m = mean[i] + (g - mean[i]) * new
            v = square[i] * keep + g * g * add
            root = np.sqrt(max(v * scale, least)) + epsilon
            w = weight[i] - m / root * rate
            mean[i], square[i] = m, v
            if strength != float32(0):
                stiffness = precision[i] * strength
                w += (centre[i] - w) * (stiffness / (root + stiffness))
            weight[i] = w

    return adam


def adam(
    weight: NDArray[np.float32],
    gradient: NDArray[np.float32],
    mean: NDArray[np.float32],
    square: NDArray[np.float32],
    centre: NDArray[np.float32],
    precision: NDArray[np.float32],
    step: AdamStep,
) -> None:
    """`plain_adam` as one pass over memory; compiled at the first call (a second)."""
    if not COMPILED:
        plain_adam(weight, gradient, mean, square, centre, precision, step)
    else:
        _compiled_adam()(weight, gradient, mean, square, centre, precision, *step.numbers)
