"""Random shifts of replayed observations (Yarats et al. 2021, "Image Augmentation Is All You Need").

Axes: N observations, S stacked frames, H x W pixels.
"""

from __future__ import annotations

import torch
from torch import Tensor

from agent.networks import QNetwork
from replay.transition import FrameBatch, Transition

Offsets = tuple[Tensor, Tensor]
"""int64 [N, 2] each, for the observations and for the next ones: how far below and to the right of its place each takes
its pixels from."""


def random_offsets(count: int, pixels: int, generator: torch.Generator) -> Offsets:
    """Offsets of up to `pixels` in all directions; `pixels` 0: none, and nothing is drawn."""
    if pixels == 0:
        return torch.zeros(count, 2, dtype=torch.int64), torch.zeros(count, 2, dtype=torch.int64)
    now, following = (torch.randint(0, 2 * pixels + 1, (count, 2), generator=generator) for _ in range(2))
    return now - pixels, following - pixels


def augmented(batch: Transition | FrameBatch, offsets: Offsets, network: QNetwork, task: int) -> Transition:
    """The minibatch where `network` is, stacked, its observations without the task's background if that is to be
    subtracted, and shifted."""
    whole = (batch.stacked() if isinstance(batch, FrameBatch) else batch).to(network.weights[0].device)
    ends = (network.foreground(x, task) for x in (whole.observation, whole.next_observation))
    now, following = (shift(x, o) for x, o in zip(ends, offsets, strict=True))
    return Transition(now, whole.action, whole.reward, whole.discount, following)


def shift(observation: Tensor, offsets: Tensor) -> Tensor:
    """uint8 or int8 [N, S, H, W] -> the same, each sample moved by its offsets int64 [N, 2].

    Uncovered borders repeat the edge. All S frames of a sample move together.
    """
    p = int(offsets.abs().max())
    if p == 0:
        return observation
    height, width = observation.shape[2:]
    if observation.device.type != "cpu":
        return _gathered(observation, offsets.to(observation.device, non_blocking=True))
    padded = torch.empty(*observation.shape[:2], height + 2 * p, width + 2 * p, dtype=observation.dtype)
    padded[..., p:-p, p:-p] = observation
    padded[..., :p, p:-p] = observation[..., :1, :]
    padded[..., -p:, p:-p] = observation[..., -1:, :]
    padded[..., :p] = padded[..., p : p + 1]
    padded[..., -p:] = padded[..., -p - 1 : -p]
    shifted = torch.empty_like(observation)
    for i, (top, left) in enumerate((offsets + p).tolist()):
        shifted[i] = padded[i, :, top : top + height, left : left + width]
    return shifted


def _gathered(observation: Tensor, offsets: Tensor) -> Tensor:
    """The same by one gather, for accelerators."""
    count, stack, height, width = observation.shape
    rows, columns = (
        (torch.arange(side, device=observation.device) + offsets[:, i, None]).clamp_(0, side - 1)
        for i, side in enumerate((height, width))
    )
    sample = torch.arange(count, device=observation.device)[:, None, None, None]
    frame = torch.arange(stack, device=observation.device)[None, :, None, None]
    return observation[sample, frame, rows[:, None, :, None], columns[:, None, None, :]]
