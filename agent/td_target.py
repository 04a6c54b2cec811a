"""What a transition's value is learned towards: reward, and what the networks say of the state that follows.

Axes: N transitions, A actions. `reward` and `discount` [N] belong to the n-step window; `next_online` and `next_target`
[N, A] are the values of the state that follows by the online and by the target network.
"""

from __future__ import annotations

from collections.abc import Callable

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
