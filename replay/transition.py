"""The record that learning consumes: a minibatch of n-step transitions.

Axes: N transitions, S stacked frames (newest last), H × W pixels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np
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
        """The same minibatch on `device`, copied asynchronously through pinned memory."""
        return Transition(*(_moved(getattr(self, field.name), torch.device(device)) for field in fields(self)))

    def split(self, size: int) -> Iterator[Transition]:
        """Minibatches of `size` rows, one after the other; views."""
        columns = [getattr(self, field.name).split(size) for field in fields(self)]
        return (Transition(*part) for part in zip(*columns, strict=True))


def _moved(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    if tensor.device.type == device.type:
        return tensor
    return (tensor.pin_memory() if device.type == "cuda" else tensor).to(device, non_blocking=True)


@dataclass(frozen=True, slots=True)
class FrameBatch:
    """A minibatch before its observations are stacked: F different frames, and which of them each is made of.

    frames: uint8 [F, H, W]. now, following: int64 [N, S], the frames of `observation` and `next_observation`. The rest
    as in `Transition`.
    """

    frames: np.ndarray
    now: np.ndarray
    following: np.ndarray
    action: torch.Tensor
    reward: torch.Tensor
    discount: torch.Tensor

    def __len__(self) -> int:
        """N."""
        return len(self.action)

    def stacked(self) -> Transition:
        """The same minibatch with its observations."""
        now, following = (torch.from_numpy(self.frames[stacks]) for stacks in (self.now, self.following))
        return Transition(now, self.action, self.reward, self.discount, following)
