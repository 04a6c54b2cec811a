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
from functools import partial
from itertools import pairwise
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from agent.anchors.steps import ProximalStep
from agent.fisher import mean_over, sampled_log_likelihood
from agent.gaussian import DiagonalGaussian
from agent.roles import Consolidator, Rates
from agent.taps import LinearTap, squared_gradients
from experiments.supervised.mnist import CLASSES, PIXELS, Digits, Mnist

Estimator = Literal["exact", "sampled", "empirical"]

_CHUNK = 1000  # samples at a time where nothing is learned


@dataclass(frozen=True)
class Samples:
    """inputs float32 [N, 785], the last column 1; labels int64 [N]."""

    inputs: Tensor
    labels: Tensor

    @classmethod
    def of(cls, digits: Digits, places: np.ndarray | None = None, mean: float = 0.0) -> Samples:
        """Digits with grey levels scaled to 0 … 1 less `mean`, and their pixels taken from `places` (int64 [784])."""
        flat = digits.images.reshape(len(digits.labels), PIXELS)
        inputs = torch.ones(len(flat), PIXELS + 1)
        inputs[:, :PIXELS] = torch.from_numpy((flat if places is None else flat[:, places]).astype(np.float32))
        inputs[:, :PIXELS].div_(255).sub_(mean)
        return cls(inputs, torch.from_numpy(digits.labels.astype(np.int64)))

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs and labels of the samples with these numbers, int64 [N]."""
        return self.inputs[chosen], self.labels[chosen]


@dataclass(frozen=True)
class Mixture:
    """The samples of several tasks together, whose inputs are made as they are asked for: task by task as `Samples`
    would have them."""

    single: Samples
    places: Tensor
    """int64 [tasks, 785]"""

    @classmethod
    def of(cls, digits: Digits, places: Sequence[np.ndarray], mean: float = 0.0) -> Mixture:
        """The digits with their pixels taken from the places of every task in turn."""
        table = np.stack([np.append(each, PIXELS) for each in places])
        return cls(Samples.of(digits, mean=mean), torch.from_numpy(table))

    def __len__(self) -> int:
        return len(self.single) * len(self.places)

    def __getitem__(self, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs and labels of the samples with these numbers, int64 [N]."""
        digits = chosen % len(self.single)
        inputs, labels = self.single[digits]
        return inputs.gather(1, self.places[chosen // len(self.single)]), labels


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
    """How a task is learned: passes over the data, samples per step, rate of the summed loss, the share of pixels and
    of hidden units that is dropped. The rate rises linearly in the first `warm_up` passes and falls linearly to the
    share `last_rate` in the others. What a task leaves is the mean of the weights as they were ten times in each of the
    last `averaged` passes (stochastic weight averaging, Izmailov et al. 2018); 0: the last ones.

    `shared_drop`: the hidden units that are dropped are the same for all samples of a step, a fixed number of them
    (Graham et al. 2015), so that only the others are computed.
    """

    epochs: int
    batch: int
    rate: float
    drop_inputs: float = 0.0
    drop_hidden: float = 0.0
    last_rate: float = 1.0
    shared_drop: bool = False
    warm_up: float = 0.0
    averaged: int = 0

    def rate_at(self, passes: float) -> float:
        """After so many passes over the data: up to the full rate in the first `warm_up` passes, then down."""
        if passes < self.warm_up:
            return self.rate * passes / self.warm_up
        fallen = (passes - self.warm_up) / max(1, self.epochs - self.warm_up)
        return self.rate * (1 - (1 - self.last_rate) * fallen)


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
    def descend(
        self, inputs: Tensor, labels: Tensor, how: Descent, generator: torch.Generator, rate: float | None = None
    ) -> None:
        """One step down the gradient of the summed cross-entropy, written out: no gradient is ever stored.

        `rate`: another one than `how` states.
        """
        rate = how.rate if rate is None else rate
        inputs = _drop(inputs, how.drop_inputs, generator)
        scale = 1 / (1 - how.drop_hidden)
        if not how.drop_hidden:
            self._step(inputs, labels, rate)
        elif how.shared_drop:
            self._step_of_some(inputs, labels, rate, how.drop_hidden, generator)
        else:
            self._step(inputs, labels, rate, scale, lambda hidden: _drop(hidden, how.drop_hidden, generator))

    def _step(
        self,
        inputs: Tensor,
        labels: Tensor,
        rate: float,
        scale: float = 1.0,
        drop: Callable[[Tensor], Tensor] = lambda hidden: hidden,
    ) -> None:
        """`scale`: by what `drop` multiplies the hidden units that it keeps."""
        signals = [inputs]
        for weight in self.weights[:-1]:
            signals.append(drop(_with_one(functional.linear(signals[-1], weight).relu_())))
        gradient = functional.linear(signals[-1], self.weights[-1]).softmax(1)
        gradient[torch.arange(len(labels)), labels] -= 1
        for layer in reversed(range(len(self.weights))):
            weight, signal = self.weights[layer], signals[layer]
            below = gradient @ weight[:, :-1] if layer else gradient
            weight.addmm_(gradient.T, signal, alpha=-rate)
            if layer:
                gradient = below.mul_(signal[:, :-1] > 0).mul_(scale)

    def _step_of_some(
        self, inputs: Tensor, labels: Tensor, rate: float, share: float, generator: torch.Generator
    ) -> None:
        """A step of the network that is left when a share of every hidden layer's units is taken out."""
        outputs = [len(w) for w in self.weights[:-1]]
        kept = [torch.randperm(n, generator=generator)[: n - round(share * n)].sort().values for n in outputs]
        scale = 1 / (1 - share)
        rows = [w.index_select(0, k) for w, k in zip(self.weights, kept, strict=False)] + [self.weights[-1]]
        columns = [torch.cat([k, torch.tensor([n])]) for k, n in zip(kept, outputs, strict=True)]
        parts = rows[:1] + [r.index_select(1, c) for r, c in zip(rows[1:], columns, strict=True)]
        Classifier(parts)._step(inputs, labels, rate, scale, lambda hidden: _scaled(hidden, scale))
        for row, part, column in zip(rows[1:], parts[1:], columns, strict=True):
            row.index_copy_(1, column, part)
        for weight, row, k in zip(self.weights, rows, kept, strict=False):
            weight.index_copy_(0, k, row)

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
        if estimator == "exact":
            return self._expected_squares(inputs)
        logits, taps = self.tapped(inputs)
        if estimator == "sampled":
            return squared_gradients(sampled_log_likelihood(logits, generator), taps)
        return squared_gradients(labelled_log_likelihood(logits, labels), taps)

    @torch.inference_mode()
    def _expected_squares(self, inputs: Tensor) -> list[Tensor]:
        """`agent.fisher.exact_softmax_squares`, written out. As a layer's input is the same for all classes y,
        sum_n sum_y (g_ny x_n^T)^2 = (sum_y g_y^2)^T x^2: one product per layer in the end instead of one per class.
        """
        signals = [inputs]
        for weight in self.weights[:-1]:
            signals.append(_with_one(functional.linear(signals[-1], weight).relu_()))
        chances = functional.linear(signals[-1], self.weights[-1]).softmax(1)
        totals = [torch.zeros(len(inputs), len(weight)) for weight in self.weights]
        active = [(signal[:, :-1] > 0).to(inputs.dtype) for signal in signals[1:]]
        for y in range(chances.shape[1]):
            gradient = -chances
            gradient[:, y] += 1
            gradient *= chances[:, y : y + 1].sqrt()
            for layer in reversed(range(len(self.weights))):
                totals[layer].addcmul_(gradient, gradient)
                if layer:
                    gradient = (gradient @ self.weights[layer][:, :-1]).mul_(active[layer - 1])
        return [total.T @ signal.square() for total, signal in zip(totals, signals, strict=True)]


def labelled_log_likelihood(logits: Tensor, labels: Tensor) -> Tensor:
    """float32 [N]: log softmax(logits)[n, labels[n]]."""
    return logits.log_softmax(1).gather(1, labels.unsqueeze(1)).squeeze(1)


def learn(
    network: Classifier,
    samples: Samples | Mixture,
    how: Descent,
    consolidator: Consolidator,
    generator: torch.Generator,
    after_epoch: Callable[[], None] = lambda: None,
) -> None:
    """Learn one task: every epoch is a pass over the samples in a new order. The rate is set ten times in each."""
    total, count = [torch.zeros_like(w) for w in network.weights], 0
    for epoch in range(how.epochs):
        batches = torch.randperm(len(samples), generator=generator).split(how.batch)
        for tenth in range(10):
            rate = how.rate_at(epoch + (tenth + 0.5) / 10)
            rates = partial(_all_the_same, [torch.tensor(rate)] * len(network.weights))
            for chosen in batches[tenth * len(batches) // 10 : (tenth + 1) * len(batches) // 10]:
                consolidator.before_step(network.weights)
                network.descend(*samples[chosen], how, generator, rate)
                consolidator.after_step(network.weights, rates)
            if epoch >= how.epochs - how.averaged:
                count += 1
                torch._foreach_add_(total, network.weights)
        if count and epoch == how.epochs - 1:
            for weight, summed in zip(network.weights, total, strict=True):
                torch.div(summed, count, out=weight)
        after_epoch()


def _all_the_same(rates: list[Tensor]) -> list[Tensor]:
    return rates


class SteadyProximalStep(ProximalStep):
    """`ProximalStep` where rates and anchors stay for many steps: a step is one pass over memory.

    eta lambda P / (1 + eta lambda P) is computed when `after_step` is given another `rates` than in the step before;
    whoever changes the merged Gaussian or the strength must give another one.
    """

    def __init__(self) -> None:
        self._rates: Rates | None = None
        self._shares: list[Tensor] = []

    @torch.no_grad()
    def after_step(self, weights: Sequence[Tensor], merged: DiagonalGaussian, strength: float, rates: Rates) -> None:
        """Move every weight towards its mean."""
        if rates is not self._rates:
            self._rates = rates
            pairs = zip(merged.precision, rates(), strict=True)
            stiffness = [(eta * p).mul_(strength).clamp_(max=1e30) for p, eta in pairs]
            self._shares = [each.div_(1 + each) for each in stiffness]
        for w, m, share in zip(weights, merged.mean, self._shares, strict=True):
            w.lerp_(m, share)


def subset(samples: Samples, count: int, generator: torch.Generator) -> Samples:
    """`count` samples without repetition, or all if there are no more."""
    chosen = torch.randperm(len(samples.labels), generator=generator)[:count]
    return Samples(samples.inputs[chosen], samples.labels[chosen])


def _chunks(samples: Samples) -> zip[tuple[Tensor, Tensor]]:
    return zip(samples.inputs.split(_CHUNK), samples.labels.split(_CHUNK), strict=True)


def _with_one(signal: Tensor) -> Tensor:
    """[N, I] → [N, I + 1]: the constant input that the bias is the weight of."""
    return functional.pad(signal, (0, 1), value=1.0)


def _scaled(signal: Tensor, scale: float) -> Tensor:
    """All columns but the last, in place."""
    signal[:, :-1].mul_(scale)
    return signal


def _drop(signal: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Dropout of all columns but the last, scaled up to keep the mean. A draw is 16 bits of a random number: the share
    is met to 1/65,536."""
    if not share:
        return signal
    count = signal.numel()
    draws = torch.empty(count // 4 + 1, dtype=torch.int64).random_(-(2**63), None, generator=generator)
    limit = round(share * 2**16) - 2**15
    kept = (draws.view(torch.int16)[:count] >= limit).view(signal.shape)
    kept[:, -1] = True
    dropped = (signal * kept).mul_(1 / (1 - share))
    dropped[:, -1] = signal[:, -1]
    return dropped
