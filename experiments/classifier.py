"""A ReLU network with one head that learns tasks one after the other by plain gradient descent.

Every layer's bias is the weight of a constant input 1, so that the weights are one matrix [O, I + 1] per layer, all
of them shared by all tasks and all of them under the penalty. Inputs carry that 1 as their last column.

A step goes down the gradient of the cross-entropy *summed* over the minibatch, the scale at which the consolidation
quotes its strength: what a pass over the data learns then depends on the rate and hardly on the size of the batch.

Axes: N samples, I inputs of a layer, O outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from agent.consolidators.consolidation import Consolidation, NoConsolidation
from agent.fisher import (
    LinearTap,
    exact_softmax_squares,
    mean_over,
    sampled_log_likelihood,
    squared_gradients,
)
from experiments.mnist import CLASSES, PIXELS, Digits, Mnist

Estimator = Literal["exact", "sampled", "empirical"]
Consolidator = Consolidation | NoConsolidation

_CHUNK = 1000  # samples at a time where nothing is learned


@dataclass(frozen=True)
class Samples:
    """inputs float32 [N, 785], the last column 1; labels int64 [N]."""

    inputs: Tensor
    labels: Tensor

    @classmethod
    def of(cls, digits: Digits, places: np.ndarray | None = None) -> Samples:
        """Digits with grey levels scaled to 0 … 1 and their pixels taken from `places` (int64 [784])."""
        flat = digits.images.reshape(len(digits.labels), PIXELS)
        inputs = torch.ones(len(flat), PIXELS + 1)
        inputs[:, :PIXELS] = torch.from_numpy((flat if places is None else flat[:, places]).astype(np.float32))
        inputs[:, :PIXELS] /= 255
        return cls(inputs, torch.from_numpy(digits.labels.astype(np.int64)))


@dataclass(frozen=True)
class Task:
    """What one task is learned from and judged on."""

    train: Samples
    test: Samples

    @classmethod
    def of(cls, mnist: Mnist, places: np.ndarray | None = None) -> Task:
        """MNIST with its pixels taken from `places`."""
        return cls(Samples.of(mnist.train, places), Samples.of(mnist.test, places))


@dataclass(frozen=True)
class Descent:
    """How a task is learned: passes over the data, samples per step, rate of the summed loss, and the share of
    pixels and of hidden units that is dropped."""

    epochs: int
    batch: int
    rate: float
    drop_inputs: float = 0.0
    drop_hidden: float = 0.0


class Classifier:
    """`weights`: float32 [O, I + 1] for every layer."""

    def __init__(self, weights: Sequence[Tensor]) -> None:
        self.weights = list(weights)

    @classmethod
    def fresh(cls, hidden: Sequence[int], generator: torch.Generator) -> Classifier:
        """Weights and biases from U(-1/sqrt(I), 1/sqrt(I))."""
        sizes = (PIXELS, *hidden, CLASSES)
        return cls(
            [
                torch.empty(outputs, inputs + 1).uniform_(-(inputs**-0.5), inputs**-0.5, generator=generator)
                for inputs, outputs in pairwise(sizes)
            ]
        )

    def copy(self) -> Classifier:
        """Another network with the same weights."""
        return Classifier([w.clone() for w in self.weights])

    def logits(self, inputs: Tensor) -> Tensor:
        """float32 [N, 785] → [N, 10]."""
        return self.tapped(inputs)[0]

    def tapped(self, inputs: Tensor) -> tuple[Tensor, list[LinearTap]]:
        """The logits and every layer's input and output, in a graph that leaves the weights out."""
        taps: list[LinearTap] = []
        signal = inputs
        for weight in self.weights:
            if taps:
                signal = _with_one(signal.relu())
            taps.append(LinearTap(signal, functional.linear(signal, weight)))
            signal = taps[-1].output
            if torch.is_grad_enabled() and not signal.requires_grad:
                signal.requires_grad_()
        return signal, taps

    @torch.no_grad()
    def descend(self, inputs: Tensor, labels: Tensor, how: Descent, generator: torch.Generator) -> None:
        """One step down the gradient of the summed cross-entropy, written out: no gradient is ever stored."""
        signals = [_drop(inputs, how.drop_inputs, generator)]
        for weight in self.weights[:-1]:
            hidden = _with_one(functional.linear(signals[-1], weight).relu_())
            signals.append(_drop(hidden, how.drop_hidden, generator))
        gradient = functional.linear(signals[-1], self.weights[-1]).softmax(1)
        gradient[torch.arange(len(labels)), labels] -= 1
        for layer in reversed(range(len(self.weights))):
            weight, signal = self.weights[layer], signals[layer]
            below = gradient @ weight[:, :-1] if layer else gradient
            weight.addmm_(gradient.T, signal, alpha=-how.rate)
            if layer:
                gradient = below.mul_(signal[:, :-1] > 0).mul_(1 / (1 - how.drop_hidden))

    @torch.inference_mode()
    def accuracy(self, samples: Samples) -> float:
        """The share of samples whose most likely class is their label."""
        hits = 0
        for inputs, labels in _chunks(samples):
            hits += int((self.logits(inputs).argmax(1) == labels).sum())
        return hits / len(samples.labels)

    def fisher(self, samples: Samples, estimator: Estimator, generator: torch.Generator) -> list[Tensor]:
        """Mean over samples of the squared gradient of log p(y | x), [O, I + 1] per layer.

        y is every class weighted by the network's own probability (exact), one drawn from it (sampled), or the label
        (empirical, not a Fisher information but often taken for it).
        """
        return mean_over((self._squares(*chunk, estimator, generator), len(chunk[1])) for chunk in _chunks(samples))

    def _squares(
        self, inputs: Tensor, labels: Tensor, estimator: Estimator, generator: torch.Generator
    ) -> list[Tensor]:
        logits, taps = self.tapped(inputs)
        if estimator == "exact":
            return exact_softmax_squares(logits, taps)
        if estimator == "sampled":
            return squared_gradients(sampled_log_likelihood(logits, generator), taps)
        return squared_gradients(labelled_log_likelihood(logits, labels), taps)


def labelled_log_likelihood(logits: Tensor, labels: Tensor) -> Tensor:
    """float32 [N]: log softmax(logits)[n, labels[n]]."""
    return logits.log_softmax(1).gather(1, labels.unsqueeze(1)).squeeze(1)


def learn(
    network: Classifier,
    samples: Samples,
    how: Descent,
    consolidator: Consolidator,
    generator: torch.Generator,
    after_epoch: Callable[[], None] = lambda: None,
) -> None:
    """Learn one task: every epoch is a pass over the samples in a new order."""
    rates = [torch.tensor(how.rate)] * len(network.weights)
    for _ in range(how.epochs):
        for chosen in torch.randperm(len(samples.labels), generator=generator).split(how.batch):
            consolidator.before_step(network.weights)
            network.descend(samples.inputs[chosen], samples.labels[chosen], how, generator)
            consolidator.after_step(network.weights, lambda: rates)
        after_epoch()


def subset(samples: Samples, count: int, generator: torch.Generator) -> Samples:
    """`count` samples without repetition, or all if there are no more."""
    chosen = torch.randperm(len(samples.labels), generator=generator)[:count]
    return Samples(samples.inputs[chosen], samples.labels[chosen])


def _chunks(samples: Samples) -> zip[tuple[Tensor, Tensor]]:
    return zip(samples.inputs.split(_CHUNK), samples.labels.split(_CHUNK), strict=True)


def _with_one(signal: Tensor) -> Tensor:
    """[N, I] → [N, I + 1]: the constant input that the bias is the weight of."""
    return functional.pad(signal, (0, 1), value=1.0)


def _drop(signal: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Dropout of all columns but the last, scaled up to keep the mean."""
    if not share:
        return signal
    kept = torch.empty(signal.shape).bernoulli_(1 - share, generator=generator).mul_(1 / (1 - share))
    kept[:, -1] = 1
    return signal * kept
