"""Minibatches drawn ahead are those drawn on demand, whatever the threads do."""

import time

import numpy as np
import pytest
import torch

from agent.minibatches import Minibatches
from replay.transition import FrameBatch


class Replay:
    """Draws numbers; slow, if asked to be."""

    def __init__(self, seconds=0.0, fails_at=None):
        self.seconds, self.fails_at, self.draws = seconds, fails_at, 0

    def sample_frames(self, task, size, rng):
        self.draws += 1
        if self.draws == self.fails_at:
            raise ValueError("nothing to sample")
        time.sleep(self.seconds)
        column = torch.from_numpy(rng.integers(1 << 30, size=size))
        stacks = np.full((size, 1), task)
        return FrameBatch(np.zeros((1, 1, 1), np.uint8), stacks, stacks, column, column, column)


class Learner:
    """Prepares a minibatch by adding what it draws."""

    device = torch.device("cpu")

    def __init__(self):
        self.generator = torch.Generator().manual_seed(5)

    def prepare(self, batch):
        return (batch.action + torch.randint(1 << 30, (len(batch),), generator=self.generator)).tolist()


def make(ahead, **changes):
    return Minibatches(Replay(**changes), Learner(), 4, np.random.default_rng(2), ahead)


PLANS = [[(0, 2), (1, 1)], [(1, 1)], [], [(0, 16), (0, 16), (2, 1)]]


def test_ahead_or_not_the_minibatches_and_the_generators_are_the_same():
    on_demand, ahead = make(False), make(True, seconds=0.002)
    for plan in PLANS * 2:
        for each in (on_demand, ahead):
            each.begin(plan)
        expected = list(on_demand.take(plan))
        assert list(ahead.take(plan)) == expected
        assert [task for task, _ in expected] == [task for task, count in plan for _ in range(count)]
    assert ahead.rng.bit_generator.state == on_demand.rng.bit_generator.state
    assert torch.equal(ahead.learner.generator.get_state(), on_demand.learner.generator.get_state())


@pytest.mark.parametrize("wait", [0.0, 0.1])
def test_what_is_discarded_was_never_drawn(wait):
    """Be it while it is drawn, or with a full queue behind it."""
    on_demand, ahead = make(False), make(True)
    ahead.begin([(0, 8)])
    time.sleep(wait)
    ahead.discard()
    assert ahead.rng.bit_generator.state == on_demand.rng.bit_generator.state
    assert torch.equal(ahead.learner.generator.get_state(), on_demand.learner.generator.get_state())
    assert list(ahead.take([(0, 2)])) == list(on_demand.take([(0, 2)]))


def test_another_plan_than_the_one_begun_is_drawn_as_if_none_had_been():
    on_demand, ahead = make(False), make(True)
    ahead.begin([(0, 3)])
    assert list(ahead.take([(1, 2)])) == list(on_demand.take([(1, 2)]))


def test_what_goes_wrong_in_the_thread_is_raised_where_it_is_taken():
    ahead = make(True, fails_at=2)
    ahead.begin([(0, 1), (1, 1)])
    with pytest.raises(ValueError, match="nothing to sample"):
        list(ahead.take([(0, 1), (1, 1)]))
