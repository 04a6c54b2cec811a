"""Per-sample squared gradients of shared weights, without a loop over samples.

Where a layer computes z = W x, a sample's gradient is the outer product g x^T of z's gradient and the input, so that
the sum of squares over samples n is

    sum_n (g_n x_n^T)^2 = (g^2)^T (x^2)      for a linear layer, exactly;
    sum_n (sum over positions of g x^T)^2    for a convolution, whose positions are summed before the square.

Axes: N samples, I inputs, O outputs, C channels, M maps, L positions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional


class Tap(Protocol):
    """A layer's input and its product with the shared weights, in the graph of some scores."""

    @property
    def input(self) -> Tensor:
        """What the layer multiplies its weights with, float32 [N, ...]."""

    @property
    def output(self) -> Tensor:
        """The products, before the task's own gains and biases, float32 [N, ...]."""

    def squares(self, gradient: Tensor) -> Tensor:
        """The sum over samples of squared gradients, in the weights' shape, from that of the output."""


@dataclass(frozen=True)
class LinearTap:
    """input float32 [N, I], output [N, O] = input W^T."""

    input: Tensor
    output: Tensor

    def squares(self, gradient: Tensor) -> Tensor:
        """float32 [O, I], from `gradient` [N, O]."""
        return gradient.square().T @ self.input.detach().square()


@dataclass(frozen=True)
class ConvolutionTap:
    """input float32 [N, C, H, W], output [N, M, H', W']; square kernels of one stride, no padding."""

    input: Tensor
    output: Tensor
    kernel: int
    stride: int

    def squares(self, gradient: Tensor) -> Tensor:
        """float32 [M, C, kernel, kernel], from `gradient` [N, M, H', W']."""
        patches = functional.unfold(self.input.detach(), self.kernel, stride=self.stride)  # [N, C k k, L]
        single = gradient.flatten(2) @ patches.transpose(1, 2)  # [N, M, C k k]
        return single.square().sum(0).unflatten(1, (self.input.shape[1], self.kernel, self.kernel))


def squared_gradients(scores: Tensor, taps: Sequence[Tap], retain: bool = False) -> list[Tensor]:
    """Sum over samples n of (d scores[n] / d W)^2 for each tap's weights; `scores` is [N], one per sample."""
    outputs = [tap.output for tap in taps]
    gradients = torch.autograd.grad(scores.sum(), outputs, retain_graph=retain)
    with torch.no_grad():
        return [tap.squares(gradient) for tap, gradient in zip(taps, gradients, strict=True)]
