"""The record that learning consumes: a minibatch of n-step transitions.

Axes: N transitions, S stacked frames (newest last), H × W pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class Transition:
    """N windows of m ≤ n steps. The learner's target is `reward + discount · max_a Q(next_observation, a)`.

    observation: uint8 [N, S, H, W], the state in which `action` was chosen.
    action: int64 [N].
    reward: float32 [N], Σ_{k<m} γᵏ r_k, summed to the window's end.
    discount: float32 [N], γᵐ times the product of the window's discounts; 0 if it ended in a terminal.
    next_observation: uint8 [N, S, H, W], the state m steps later. Where `discount` is 0 there is none, and
        the row repeats `observation`, so that whatever is computed from it is finite.
    """

    observation: torch.Tensor
    action: torch.Tensor
    reward: torch.Tensor
    discount: torch.Tensor
    next_observation: torch.Tensor

    def __len__(self) -> int:
        """N."""
        return len(self.action)

    def to(self, device: torch.device | str) -> Transition:
        """The same minibatch on `device`; the copies are asynchronous where the source is pinned."""
        return Transition(
            observation=self.observation.to(device, non_blocking=True),
            action=self.action.to(device, non_blocking=True),
            reward=self.reward.to(device, non_blocking=True),
            discount=self.discount.to(device, non_blocking=True),
            next_observation=self.next_observation.to(device, non_blocking=True),
        )
