"""Fisher information of the shared weights: always the mean over samples of *squared per-sample* gradients.

The square of a minibatch's mean gradient is another thing: it shrinks with the batch and measures its noise.

Axes: N samples, A actions or classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial

import torch
from torch import Tensor

from agent.dqn import bootstrapped
from agent.networks import QNetwork, joined_weights
from agent.objective import TDTarget, double_q, huber
from agent.own_network import OwnNetwork
from agent.taps import Tap, squared_gradients
from replay.transition import Transition

Squares = Callable[[QNetwork, Transition, int, Callable[[], Tensor], torch.Generator], list[Tensor]]
"""(network, minibatch, task, what its values are learned towards, generator) -> sums over samples of squared gradients,
layer by layer."""


def squares_of_td_loss(
    network: QNetwork, batch: Transition, task: int, goals: Callable[[], Tensor], generator: torch.Generator
) -> list[Tensor]:
    """Of the Huber loss of the TD error: vanishes as a game is learned."""
    values, taps = network.with_taps(batch.observation, task)
    return squared_gradients(huber(_replayed(values, batch) - goals()), taps)


def squares_of_q(
    network: QNetwork, batch: Transition, task: int, goals: Callable[[], Tensor], generator: torch.Generator
) -> list[Tensor]:
    """Of Q(s, a), a as replayed: that of a Gaussian likelihood of Q with unit variance."""
    values, taps = network.with_taps(batch.observation, task)
    return squared_gradients(_replayed(values, batch), taps)


def squares_of_all_q(
    network: QNetwork, batch: Transition, task: int, goals: Callable[[], Tensor], generator: torch.Generator
) -> list[Tensor]:
    """The same, averaged over all actions: as many backward passes."""
    return all_outputs_squares(*network.with_taps(batch.observation, task))


def squares_of_policy(
    network: QNetwork, batch: Transition, task: int, goals: Callable[[], Tensor], generator: torch.Generator
) -> list[Tensor]:
    """Of log softmax(Q)[a], a drawn from it with `generator`."""
    values, taps = network.with_taps(batch.observation, task)
    return squared_gradients(sampled_log_likelihood(values, generator), taps)


ESTIMATORS: dict[str, Squares] = {
    "td": squares_of_td_loss,
    "q": squares_of_q,
    "q_all": squares_of_all_q,
    "policy": squares_of_policy,
}
"""Of what likelihood the Fisher information is (PAPER does not say)."""


def fisher_information(
    network: QNetwork,
    target: QNetwork,
    batches: Iterable[Transition],
    task: int,
    estimator: str,
    generator: torch.Generator,
    td_target: TDTarget = double_q,
) -> list[Tensor]:
    """The mean over all samples, layer by layer, of the squares that `estimator` names; ValueError if none does."""
    if estimator not in ESTIMATORS:
        raise ValueError(f"unknown Fisher estimator {estimator!r}: choose one of {', '.join(ESTIMATORS)}")
    squares, device = ESTIMATORS[estimator], network.weights[0].device
    own, behind = OwnNetwork(network, task), OwnNetwork(target, task)

    def sums(batch: Transition) -> list[Tensor]:
        goals = partial(bootstrapped, own.network, behind.network, batch, own.task, td_target)
        return squares(own.network, batch, own.task, goals, generator)

    found = mean_over((sums(batch.to(device)), len(batch.action)) for batch in batches)
    return own.spread(found)


def _replayed(values: Tensor, batch: Transition) -> Tensor:
    return values.gather(1, batch.action[:, None]).squeeze(1)


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
    """`fisher` divided by its mean over all weights."""
    mean = mean_information(fisher)
    return [f / mean if mean > 0 else f for f in fisher]


def mean_information(fisher: Sequence[Tensor]) -> float:
    """Over all weights of all layers."""
    return sum(float(f.double().sum()) for f in fisher) / sum(f.numel() for f in fisher)


def damped(fisher: Sequence[Tensor], active_units: Sequence[Tensor], damping: float) -> tuple[Tensor, ...]:
    """`fisher`, with a share of each layer's mean over the weights between active units added to those weights.

    Where a unit is inactive in a task its weights have no information, and other tasks could wake it up for nothing.
    `active_units`: as in `agent.networks.joined_weights`; none given: all are.
    """
    if damping == 0.0:
        return tuple(fisher)
    everything = [torch.ones_like(f, dtype=torch.bool) for f in fisher]
    joined = joined_weights([f.shape for f in fisher], active_units) if active_units else everything
    return tuple(f + damping * f.sum() / uses.sum().clamp_min(1) * uses for f, uses in zip(fisher, joined, strict=True))


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
