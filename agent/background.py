"""A game's screen without what always stands there: background subtraction.

Most of an Atari screen never changes. To a network that sees it, what moves is a small part of its input; and where
replayed observations are shifted at random, the edges of what stands still change more from shift to shift than what
moves. So the median of a task's first observations is taken off all of its observations, before they are shifted.

Axes: F frames or any number of leading axes, H x W pixels.
"""

from __future__ import annotations

import torch
from torch import Tensor

FOREGROUND_MAX = 32.0
"""What differences of halved grey values are divided by, where grey values are divided by 255: they are smaller."""

BACKGROUND_FRAMES = 500
"""So many observations its background is the median of, drawn from those that a task has when learning begins."""


def median_frame(frames: Tensor) -> Tensor:
    """uint8 [F, H, W] -> uint8 [H, W], at least 1: a background of 0 is one that is not known."""
    return frames.median(0).values.clamp_(min=1)


def foreground(frames: Tensor, background: Tensor) -> Tensor:
    """int8 [..., H, W] from uint8, and background uint8 [H, W]: the difference of their halves, rounded down each."""
    return (frames >> 1).view(torch.int8) - (background >> 1).view(torch.int8)


def picture(left: Tensor) -> Tensor:
    """uint8 [..., H, W] for people to look at, from a `foreground` int8: 128 is nothing."""
    return left.view(torch.uint8) ^ 128
