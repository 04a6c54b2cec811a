"""What an update minimises: the Huber loss of TD errors, and what keeps noise between actions from being maximised.

Axes: N transitions, A actions. `reward` and `discount` [N] belong to the n-step window; `next_online` and `next_target`
[N, A] are the values of the state that follows by the online and by the target network.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

TDTarget = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
"""(reward, discount, next_online, next_target) -> float32 [N]."""


def double_q(reward: Tensor, discount: Tensor, next_online: Tensor, next_target: Tensor) -> Tensor:
    """r + discount * Q_target(s', argmax_a Q_online(s', a)) (van Hasselt et al. 2016)."""
    best = next_online.argmax(dim=1, keepdim=True)
    return reward + discount * next_target.gather(1, best).squeeze(1)


def clipped_double_q(reward: Tensor, discount: Tensor, next_online: Tensor, next_target: Tensor) -> Tensor:
    """The same, with the smaller of what both networks say of that action (Fujimoto et al. 2018, the online network in
    the place of a second one; Hendawy et al. 2025, MINTO, take the largest of the smaller ones): never more than
    `double_q`, and less where the networks disagree."""
    best = next_online.argmax(dim=1, keepdim=True)
    smaller = torch.minimum(next_online.gather(1, best), next_target.gather(1, best))
    return reward + discount * smaller.squeeze(1)


TD_TARGETS: dict[str, TDTarget] = {"double_q": double_q, "clipped_double_q": clipped_double_q}


def huber(error: Tensor) -> Tensor:
    """Elementwise e^2/2 within |e| <= 1, |e| - 1/2 beyond: its slope is the TD error clipped to [-1, 1]."""
    size = error.abs()
    return torch.where(size <= 1.0, 0.5 * error * error, size - 0.5)


@dataclass(frozen=True)
class Objective:
    """Summed over the minibatch: Huber loss + action_ridge / 2 * sum over actions a of (Q(s, a) - mean of Q(s, .))^2.

    td_target      what values are learned towards
    action_ridge   how much what tells a state's actions apart is drawn to 0; at 1 as much as the replayed action's
                   value is drawn to its goal
    """

    td_target: TDTarget = double_q
    action_ridge: float = 0.0

    def loss(self, error: Tensor, values: Tensor) -> Tensor:
        """0-d, from TD errors [N] and all values [N, A] of their states."""
        loss = huber(error).sum()
        if self.action_ridge:
            loss = loss + 0.5 * self.action_ridge * _apart(values).square().sum()
        return loss

    def gradient(self, error: Tensor, values: Tensor, action: Tensor) -> Tensor:
        """[N, A]: the slope of `loss` in every value, the errors being those of `action` int64 [N]."""
        slope = torch.zeros_like(values).scatter_(1, action[:, None], error.clamp(-1.0, 1.0)[:, None])
        if self.action_ridge:
            slope.add_(_apart(values), alpha=self.action_ridge)
        return slope


DOUBLE_Q = Objective()
"""The paper's."""


def _apart(values: Tensor) -> Tensor:
    return values - values.mean(1, keepdim=True)
