"""Random shifts of replayed observations (Yarats et al. 2021, "Image Augmentation Is All You Need")."""

from __future__ import annotations

import torch
from torch import Tensor


def random_shift(observation: Tensor, pixels: int, generator: torch.Generator) -> Tensor:
    """uint8 [N, S, H, W] -> the same, each sample moved by up to `pixels` in both directions.

    Uncovered borders repeat the edge. All S frames of a sample move together. `pixels` 0 is the identity.
    """
    if pixels == 0:
        return observation
    count, _, height, width = observation.shape
    p = pixels
    offsets = torch.randint(0, 2 * p + 1, (count, 2), generator=generator)
    if observation.device.type != "cpu":
        return _gathered(observation, (offsets - p).to(observation.device, non_blocking=True))
    padded = torch.empty(*observation.shape[:2], height + 2 * p, width + 2 * p, dtype=observation.dtype)
    padded[..., p:-p, p:-p] = observation
    padded[..., :p, p:-p] = observation[..., :1, :]
    padded[..., -p:, p:-p] = observation[..., -1:, :]
    padded[..., :p] = padded[..., p : p + 1]
    padded[..., -p:] = padded[..., -p - 1 : -p]
    shifted = torch.empty_like(observation)
    for i, (top, left) in enumerate(offsets.tolist()):
        shifted[i] = padded[i, :, top : top + height, left : left + width]
    return shifted


def _gathered(observation: Tensor, offsets: Tensor) -> Tensor:
    """The same by one gather, for accelerators; offsets int64 [N, 2] to the top and left."""
    count, stack, height, width = observation.shape
    rows, columns = (
        (torch.arange(side, device=observation.device) + offsets[:, i, None]).clamp_(0, side - 1)
        for i, side in enumerate((height, width))
    )
    sample = torch.arange(count, device=observation.device)[:, None, None, None]
    frame = torch.arange(stack, device=observation.device)[None, :, None, None]
    return observation[sample, frame, rows[:, None, :, None], columns[:, None, None, :]]
