"""Minibatches come in the order of the plan, each prepared before the one before it is learned."""

import numpy as np
import torch

from agent.minibatches import minibatches
from agent.recall import Recall
from replay.transition import FrameBatch

NOTHING = Recall(0, 1, 1.0)


class Replay:
    """Draws numbers and writes down what it was asked for."""

    def __init__(self):
        self.draws = []

    def minibatches(self, task, size, count, rng):
        self.draws.append((task, size, count))
        numbers = torch.from_numpy(rng.integers(1 << 30, size=size * count))
        stacks = np.full((size, 1), task)
        for column in numbers.split(size):
            yield FrameBatch(np.zeros((1, 1, 1), np.uint8), stacks, stacks, column, column, column)


class Learner:
    """Writes down what it prepares."""

    device = torch.device("cpu")

    def __init__(self):
        self.prepared, self.recalled = [], []

    def prepare(self, batch, task, recalled):
        self.prepared.append((task, batch.action.tolist()))
        self.recalled.append(recalled)
        return len(self.prepared) - 1


def test_each_is_prepared_before_the_one_before_it_is_learned():
    replay, learner = Replay(), Learner()
    seen = 0
    for task, number in minibatches(replay, learner, [(0, 2), (3, 1), (0, 1)], 4, np.random.default_rng(2), NOTHING, 0):
        assert (task, number) == (learner.prepared[number][0], seen)
        assert len(learner.prepared) == min(seen + 2, 4)
        seen += 1
    assert seen == 4 and [task for task, _ in learner.prepared] == [0, 0, 3, 0]
    assert replay.draws == [(0, 4, 2), (3, 4, 1), (0, 4, 1)]
    expected = np.random.default_rng(2)
    assert [values for _, values in learner.prepared] == [
        part for size in (8, 4, 4) for part in expected.integers(1 << 30, size=size).reshape(-1, 4).tolist()
    ]


def test_an_empty_plan_draws_nothing():
    replay = Replay()
    assert not list(minibatches(replay, Learner(), [], 4, np.random.default_rng(2), NOTHING, 0)) and not replay.draws


def test_every_minibatch_comes_with_what_is_recalled_of_tasks_neither_learned_nor_played():
    replay, learner, recall = Replay(), Learner(), Recall(8, 2, 1.0)
    for task in (0, 3, 5):
        states = [torch.zeros(8, 1, 2, 2, dtype=torch.uint8)]
        recall.leave(task, recall.measure(task, states, lambda seen, task: torch.zeros(len(seen), 2)))
    list(minibatches(replay, learner, [(0, 3), (3, 2)], 4, np.random.default_rng(2), recall, 0))
    assert [each.task for each in learner.recalled] == [3, 5, 3, 5, 5]
