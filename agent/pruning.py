"""Units that a task does not need are gated off for it: its gain becomes 0, and other tasks may use the unit freely.

Axes: N observations, U units of a hidden layer, L positions.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from agent.learner import QLearner
from agent.networks import QNetwork, hidden_activations
from agent.own_network import OwnNetwork
from replay.transition import Transition


@torch.no_grad()
def inactive_units(network: QNetwork, batches: Iterable[Transition], task: int) -> list[Tensor]:
    """Which units of each hidden layer no observation in `batches` activates, bool [U]."""
    device, own = network.weights[0].device, OwnNetwork(network, task)
    inactive = [torch.ones(u, dtype=torch.bool, device=device) for u in own.network.units[:-1]]
    for batch in batches:
        _, taps = own.network.with_taps(batch.observation.to(device), own.task)
        for mask, activation in zip(inactive, hidden_activations(own.network, taps), strict=True):
            mask &= (activation <= 0).all(2).all(0)
    return own.of_all_units(inactive)


@torch.no_grad()
def prune(learner: QLearner, task: int, units: Sequence[Tensor]) -> None:
    """Set the task's gains of these units (bool [U] for each hidden layer) to 0 in both networks.

    They stay off for this task even if other tasks retrain their weights: ReLU passes nothing back at 0. A layer that
    would have no unit left, through which the task could never learn again, stays as it is.
    """
    gains = learner.network.of_task(task).gains
    units = [mask & bool(((gain != 0) & ~mask).any()) for gain, mask in zip(gains, units, strict=False)]
    for network in (learner.network, learner.target):
        for gain, mask in zip(network.of_task(task).gains, units, strict=False):
            gain.masked_fill_(mask, 0.0)
    for gain, mask in zip(learner.network.of_task(task).gains, units, strict=False):
        momentum = learner.optimizer.state.get(gain, {}).get("exp_avg")
        if momentum is not None:
            momentum.masked_fill_(mask, 0.0)


def active_fraction(network: QNetwork, task: int) -> float:
    """The share of all hidden units that the task uses."""
    return float(torch.cat(network.active_units(task)[:-1]).float().mean())
