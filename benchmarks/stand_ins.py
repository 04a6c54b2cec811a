"""What benchmarks use in place of games: a minibatch, and anchors of tasks never played."""

from __future__ import annotations

from typing import Any

import torch

from agent.consolidators.none import NoConsolidation
from agent.learner import QLearner
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


def leave_anchors(consolidator: Any, learner: QLearner, count: int = 10) -> None:
    """Have task 0 be played, and an anchor left by each of `count` others."""
    if isinstance(consolidator, NoConsolidation):
        return
    fisher = [torch.full_like(w, 1e-6) for w in learner.weights]
    for task in range(1, count + 1):
        consolidator.store.leave(task, learner.weights, fisher, None)
    consolidator.enter(0)
