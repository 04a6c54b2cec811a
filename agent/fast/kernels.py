"""Loops over single pixels and weights, compiled by numba where it is installed; the plain twins compute the same bits.

Axes: F frames of H x W pixels, N observations of S stacked frames, P patches of `stride` x `stride` pixels, row by row.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

try:
    from numba import float32, int64, njit, uint64

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
