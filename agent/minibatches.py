"""Minibatches in the order in which they are learned from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from agent.learner import QLearner
from agent.recall import Recall
from replay.roles import Replay

Plan = list[tuple[int, int]]
"""Tasks to learn, in order, and how many minibatches of each are drawn at once."""


def minibatches(
    replay: Replay,
    learner: QLearner,
    plan: Plan,
    batch_size: int,
    rng: np.random.Generator,
    recall: Recall,
    played: int,
) -> Iterator[tuple[int, Any]]:
    """(task, prepared minibatch) of the whole plan, with what `recall` draws beside it: states of neither this task nor
    of the one that is `played`. Each is prepared before the one before it is learned, so that the learner may compute
    beforehand what it needs of it."""
    coming = None
    for task, batch in _drawn(replay, learner, plan, batch_size, rng):
        after = task, learner.prepare(batch, task, recall.draw(task, played))
        if coming is not None:
            yield coming
        coming = after
    if coming is not None:
        yield coming


def _drawn(
    replay: Replay, learner: QLearner, plan: Plan, batch_size: int, rng: np.random.Generator
) -> Iterator[tuple[int, Any]]:
    for task, count in plan:
        if learner.device.type == "cpu":
            drawn: Iterator[Any] = replay.minibatches(task, batch_size, count, rng)
        else:
            drawn = replay.sample(task, count * batch_size, rng).split(batch_size)
        for batch in drawn:
            yield task, batch
