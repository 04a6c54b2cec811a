"""A minibatch for benchmarks that need no game."""

from __future__ import annotations

import torch

from replay.transition import Transition


def minibatch(size: int) -> Transition:
    """Random pixels."""
    generator = torch.Generator().manual_seed(0)
    frames = [torch.randint(256, (size, 4, 84, 84), generator=generator, dtype=torch.uint8) for _ in range(2)]
    return Transition(
        observation=frames[0],
        action=torch.randint(18, (size,), generator=generator),
        reward=torch.randn(size, generator=generator),
        discount=torch.full((size,), 0.99),
        next_observation=frames[1],
    )
