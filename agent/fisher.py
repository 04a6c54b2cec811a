"""Fisher information of the shared weights: always the mean over samples of *squared per-sample* gradients.

The square of a minibatch's mean gradient is another thing: it shrinks with the batch and measures its noise.
Per-sample squares need no loop over samples. Where a layer computes z = W x, a sample's gradient is the outer
product g x^T of z's gradient and the input, so that the sum of squares over samples n is

    sum_n (g_n x_n^T)^2 = (g^2)^T (x^2)      for a linear layer, exactly;
    sum_n (sum over positions of g x^T)^2    for a convolution, whose positions are summed before the square.

Axes: N samples, A actions or classes, I inputs, O outputs, C channels, M maps, L positions.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional


class Tap(Protocol):
    """A layer's input and its product with the shared weights, in the graph of some scores."""

    @property
    def input(self) -> Tensor: ...

    @property
    def output(self) -> Tensor: ...

    def squares(self, gradient: Tensor) -> Tensor:
        """The sum over samples of squared gradients, in the weights' shape, from that of the output."""


@dataclass(frozen=True)
class LinearTap:
    """input float32 [N, I], output [N, O] = input W^T."""

    input: Tensor
    output: Tensor

    def squares(self, gradient: Tensor) -> Tensor:
        """[O, I]."""
        return gradient.square().T @ self.input.detach().square()


@dataclass(frozen=True)
class ConvolutionTap:
    """input float32 [N, C, H, W], output [N, M, H', W']; square kernels of one stride, no padding."""

    input: Tensor
    output: Tensor
    kernel: int
    stride: int

    def squares(self, gradient: Tensor) -> Tensor:
        """[M, C, kernel, kernel]."""
        patches = functional.unfold(self.input.detach(), self.kernel, stride=self.stride)  # [N, C k k, L]
        single = gradient.flatten(2) @ patches.transpose(1, 2)  # [N, M, C k k]
        return single.square().sum(0).unflatten(1, (self.input.shape[1], self.kernel, self.kernel))


def squared_gradients(scores: Tensor, taps: Sequence[Tap], retain: bool = False) -> list[Tensor]:
    """Sum over samples n of (d scores[n] / d W)^2 for each tap's weights; `scores` is [N], one per sample."""
    outputs = [tap.output for tap in taps]
    gradients = torch.autograd.grad(scores.sum(), outputs, retain_graph=retain)
    with torch.no_grad():
        return [tap.squares(gradient) for tap, gradient in zip(taps, gradients, strict=True)]


# -- scores: of what likelihood the Fisher is -----------------------------------------------------------------


def all_outputs_squares(outputs: Tensor, taps: Sequence[Tap]) -> list[Tensor]:
    """Sum over samples of the mean over outputs a of (d outputs[n, a] / d W)^2: one pass per output."""
    count = outputs.shape[1]
    scaled = outputs * count**-0.5
    total = squared_gradients(scaled[:, 0], taps, retain=count > 1)
    for a in range(1, count):
        for sum_, more in zip(total, squared_gradients(scaled[:, a], taps, a < count - 1), strict=True):
            sum_ += more
    return total


def sampled_log_likelihood(logits: Tensor, generator: torch.Generator) -> Tensor:
    """float32 [N]: log softmax(logits)[n, y_n] with y_n drawn from that softmax, not from data."""
    chances = logits.detach().softmax(1).to(generator.device)
    classes = torch.multinomial(chances, 1, generator=generator).to(logits.device)
    return logits.log_softmax(1).gather(1, classes).squeeze(1)


def exact_softmax_squares(logits: Tensor, taps: Sequence[Tap]) -> list[Tensor]:
    """Sum over samples of E_y[(d log p(y | x_n) / d W)^2], y under the model itself: one pass per class.

    (d (sqrt p log p) with the root held fixed)^2 = p (d log p)^2.
    """
    log_p = logits.log_softmax(1)
    roots = log_p.detach().exp().sqrt()
    classes = logits.shape[1]
    total = squared_gradients(roots[:, 0] * log_p[:, 0], taps, retain=classes > 1)
    for y in range(1, classes):
        for sum_, more in zip(total, squared_gradients(roots[:, y] * log_p[:, y], taps, y < classes - 1), strict=True):
            sum_ += more
    return total


def mean_over(batches: Iterable[tuple[list[Tensor], int]]) -> list[Tensor]:
    """The mean over all samples, from each batch's sums of squares and its number of samples."""
    total: list[Tensor] = []
    samples = 0
    for sums, count in batches:
        total = [t + s for t, s in zip(total, sums, strict=True)] if total else list(sums)
        samples += count
    return [t / samples for t in total]


def normalised(fisher: Sequence[Tensor]) -> list[Tensor]:
    """`fisher` divided by its mean over all weights, so that one strength serves tasks of different scale."""
    mean = mean_information(fisher)
    return [f / mean if mean > 0 else f for f in fisher]


def mean_information(fisher: Sequence[Tensor]) -> float:
    """Over all weights of all layers."""
    return sum(float(f.double().sum()) for f in fisher) / sum(f.numel() for f in fisher)


def with_floor(fisher: Sequence[Tensor], joined: Sequence[Tensor], floor: float) -> list[Tensor]:
    """`fisher`, with a share of each layer's mean over the weights in `joined` (bool) added to those.

    Where a unit is silent in a task its weights have no information, and other tasks could wake it up for nothing.
    """
    return [f + floor * f.sum() / uses.sum().clamp_min(1) * uses for f, uses in zip(fisher, joined, strict=True)]


def without_floor(raised: Sequence[Tensor], floor: float) -> list[Tensor]:
    """What `with_floor` made `raised` from, but for rounding."""
    found = []
    for f in raised:
        uses = f > 0  # a floor is above 0 unless there is no information at all
        added = floor / (1 + floor) * f.sum() / uses.sum().clamp_min(1)
        found.append((f - added * uses).clamp_min(0))
    return found


def fisher_overlap(one: Sequence[Tensor], other: Sequence[Tensor]) -> list[float]:
    """Per layer, sum_i sqrt(F1_i F2_i) after scaling each layer to trace 1 (PAPER, figure of Fisher overlap).

    1: the same weights matter equally; 0: none matters to both. A layer without any information overlaps 0.
    """
    overlaps = []
    for a, b in zip(one, other, strict=True):
        x, y = a.double(), b.double()
        trace = float(x.sum() * y.sum())
        overlaps.append(float((x * y).sqrt().sum()) / trace**0.5 if trace > 0 else 0.0)
    return overlaps
