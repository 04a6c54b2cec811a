"""Double deep Q-learning: TD errors, and one update from a minibatch as the reference for all that is faster.

Axes: N transitions of a minibatch, A actions, S stacked frames, H x W pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from agent.augmentation import Offsets, augmented
from agent.networks import QNetwork, joined_weights
from agent.objective import DOUBLE_Q, Objective, TDTarget, double_q, huber
from agent.recall import Recalled, recall_loss
from agent.roles import Consolidator, Optimizer
from replay.transition import FrameBatch, Transition

METRICS = ("loss", "q", "q_max", "td_error", "gradient_norm")


@torch.no_grad()
def bootstrapped(
    network: QNetwork, target: QNetwork, batch: Transition, task: int, td_target: TDTarget = double_q
) -> Tensor:
    """What the values of a minibatch are learned towards, [N]."""
    following = batch.next_observation
    return td_target(batch.reward, batch.discount, network(following, task), target(following, task))


def td_error(
    network: QNetwork, target: QNetwork, batch: Transition, task: int, td_target: TDTarget = double_q
) -> tuple[Tensor, Tensor]:
    """TD errors [N] and the values [N, A] that they are of; gradients flow through the values only."""
    states = torch.cat([batch.observation, batch.next_observation])
    values, next_online = network(states, task).chunk(2)
    with torch.no_grad():
        goal = td_target(batch.reward, batch.discount, next_online, target(batch.next_observation, task))
    chosen = values.gather(1, batch.action[:, None]).squeeze(1)
    return chosen - goal, values


def clip_norm(gradients: Sequence[Tensor], bound: float) -> Tensor:
    """Scale all gradients together in place so that their norm does not exceed `bound`; returns the norm before."""
    norms = [torch.linalg.vector_norm(each).float() for each in gradients]  # summed up in float32 whatever the type
    norm = torch.linalg.vector_norm(torch.stack(norms))
    scale = bound / (norm + 1e-6)
    if norm.device.type != "cpu" or scale < 1:  # to look at it would make an accelerator wait
        torch._foreach_mul_(list(gradients), scale.clamp(max=1.0))
    return norm


def measured(error: Tensor, values: Tensor, chosen: Tensor, norm: Tensor) -> Tensor:
    """float32 [5] in the order of METRICS: mean loss, mean value of the replayed actions, largest value of any action,
    mean absolute TD error, norm of the gradients before clipping."""
    return torch.stack([huber(error).mean(), chosen.mean(), values.max(), error.abs().mean(), norm])


class Update(Protocol):
    """Values for acting, and one step of the optimizer: plain here, sooner in `agent.fast`."""

    objective: Objective
    """What it minimises."""

    def q_values(self, observation: Tensor, task: int | None) -> Tensor:
        """uint8 [N, S, H, W], task (None: one never met) -> float32 [N, A] of the online network."""

    def prepare(
        self, batch: Transition | FrameBatch, offsets: Offsets, task: int, recalled: Recalled | None = None
    ) -> Any:
        """What can be computed of a minibatch before the online weights are known; the one that is learned next.
        `recalled`: states whose values its update pulls to what they were."""

    def __call__(self, prepared: Any, task: int, consolidator: Consolidator) -> Tensor:
        """Learn from one minibatch; float32 [5] in the order of METRICS."""

    def flush(self) -> None:
        """Write back into networks and optimizer whatever is kept elsewhere."""


class PlainUpdate:
    """The reference: autograd, for any network, on any device."""

    def __init__(
        self,
        network: QNetwork,
        target: QNetwork,
        optimizer: Optimizer,
        max_gradient_norm: float,
        objective: Objective = DOUBLE_Q,
    ) -> None:
        self.objective = objective
        self.network = network
        self.target = target
        self.optimizer = optimizer
        self.max_gradient_norm = max_gradient_norm

    @torch.no_grad()
    def q_values(self, observation: Tensor, task: int | None) -> Tensor:
        """uint8 [N, S, H, W], task -> float32 [N, A]."""
        return self.network(observation, task)

    def prepare(
        self, batch: Transition | FrameBatch, offsets: Offsets, task: int, recalled: Recalled | None = None
    ) -> tuple[Transition, Recalled | None]:
        """The minibatch with shifted observations, where the network is."""
        return augmented(batch, offsets, self.network, task), recalled

    def __call__(self, prepared: tuple[Transition, Recalled | None], task: int, consolidator: Consolidator) -> Tensor:
        """Minimise the Huber loss, summed over the minibatch, and what recalling and `consolidator` add."""
        batch, recalled = prepared
        self.optimizer.zero_grad()
        error, values = td_error(self.network, self.target, batch, task, self.objective.td_target)
        self.objective.loss(error, values).backward()
        if recalled is not None:
            self._recall(recalled, task)
        consolidator.before_step(list(self.network.weights))
        gradients = [p.grad for p in self.network.parameters() if p.grad is not None]
        norm = clip_norm(gradients, self.max_gradient_norm)
        consolidator.step(self.optimizer)
        return measured(error.detach(), values.detach(), values.detach().gather(1, batch.action[:, None]), norm)

    def _recall(self, recalled: Recalled, task: int) -> None:
        """Add the gradients of what is recalled, of those shared weights only that `task` uses."""
        weights, device = list(self.network.weights), self.network.weights[0].device
        used = joined_weights([w.shape for w in weights], self.network.active_units(task))
        values = self.network(recalled.observation.to(device), recalled.task)
        loss = recall_loss(values, recalled.values.to(device), recalled.strength)
        for weight, gradient, mask in zip(weights, torch.autograd.grad(loss, weights), used, strict=True):
            assert weight.grad is not None
            weight.grad += gradient * mask

    def flush(self) -> None:
        """Nothing is kept elsewhere."""
