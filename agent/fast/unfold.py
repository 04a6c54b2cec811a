"""Observations cut into patches that do not overlap: a convolution whose stride is its kernel's side is a linear layer
of them, which is computed sooner in float32 on a CPU.

Axes: N observations, C channels, H x W pixels, P patches of `side` x `side` pixels, row by row. A patch lies in memory
as its pixels do in a channels-last map: row, column, channel. What is left at the right and at the bottom is in none.
"""

from __future__ import annotations

import torch
from torch import Tensor

_WORD = 4  # bytes


def unfold(x: Tensor, side: int) -> Tensor:
    """[N, C, H, W] -> [N, P, side * side * C] of the same type; a copy."""
    if x.dtype == torch.uint8 and x.shape[1] == _WORD:
        words = unfold(_packed(x), side)
        return words.view(torch.uint8)
    n, rows, columns = len(x), x.shape[2] // side, x.shape[3] // side
    cut = x[:, :, : rows * side, : columns * side].unflatten(2, (rows, side)).unflatten(4, (columns, side))
    # Tensors of a few values in a row are copied faster by numpy.
    found = torch.empty(n, rows, columns, side, side, x.shape[1], dtype=x.dtype)
    found.numpy()[...] = cut.permute(0, 2, 4, 3, 5, 1).numpy()
    return found.flatten(1, 2).flatten(2)


def fold(found: Tensor, channels: int, height: int, width: int) -> Tensor:
    """What `unfold` cut, [N, P, side * side * C] -> [N, C, H, W] in the channels-last layout; 0 outside patches."""
    n, _, values = found.shape
    side = round((values // channels) ** 0.5)
    rows, columns = height // side, width // side
    whole = found.new_zeros(n, height, width, channels)
    cut = whole[:, : rows * side, : columns * side].unflatten(1, (rows, side)).unflatten(3, (columns, side))
    cut.copy_(found.reshape(n, rows, columns, side, side, channels).permute(0, 1, 3, 2, 4, 5))
    return whole.permute(0, 3, 1, 2)


def _packed(x: Tensor) -> Tensor:
    """uint8 [N, 4, H, W] -> int32 [N, 1, H, W]: the four bytes of a pixel in a word, the first one lowest, which is
    first in memory on the (little-endian) processors that torch runs on."""
    words = x[:, 3].to(torch.int32)
    for channel in (2, 1, 0):
        words.bitwise_left_shift_(8).bitwise_or_(x[:, channel].to(torch.int32))
    return words[:, None]
