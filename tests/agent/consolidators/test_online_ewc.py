"""Online EWC: one Fisher that decays and grows around the latest weights."""

import pytest
import torch

from agent.anchors.online import OnlineEWC
from tests.agent.anchors.worlds import (
    SHAPES,
    assert_pays,
    fisher_of,
    floored,
    joined_by,
    leave_all,
    make,
    units_of,
    weights_at,
)


def running_fisher(count, decay):
    """float64, after the first `count` departures of `leave_all`."""
    running = [torch.zeros(shape, dtype=torch.float64) for shape in SHAPES]
    for seed in range(1, 1 + count):
        running = [decay * old + new.double() for old, new in zip(running, fisher_of(seed), strict=True)]
    return running


@pytest.mark.parametrize("decay", [1.0, 0.7, 0.0])
def test_the_running_fisher_decays_and_adds_around_the_latest_weights(decay):
    """F* <- gamma F* + F; (lambda / 2) sum F* (theta - theta*)^2."""
    consolidator = make(OnlineEWC(decay))
    tasks = [0, 1, 0, 2]
    leave_all(consolidator, tasks)
    running = running_fisher(len(tasks), decay)
    for active in (0, 2, 9):  # nothing is kept per task: all the same
        consolidator.enter(active)
        assert_pays(consolidator, [(weights_at(len(tasks)), running)])
        assert consolidator.constant == 0
    assert consolidator.store.anchors == {} and consolidator.store.fishers == {}


def test_damping_lies_under_the_weights_between_units_that_any_task_has_used():
    consolidator = make(OnlineEWC(0.7, damping=0.5))
    first, second = leave_all(consolidator, [0, 1])
    consolidator.enter(2)
    either = [a | b for a, b in zip(first.units, second.units, strict=True)]
    assert any(not torch.equal(a, b) for a, b in zip(either, second.units, strict=True))
    assert_pays(consolidator, [(weights_at(2), floored(running_fisher(2, 0.7), joined_by(either), 0.5))])


@pytest.mark.parametrize("before", [False, True])
def test_a_departure_without_word_of_units_has_used_all(before):
    """Before or after one that tells them."""
    consolidator = make(OnlineEWC(0.7, damping=0.5))
    for seed, told in ((1, before), (2, not before)):
        units = (lambda seed=seed: units_of(seed)) if told else None
        consolidator.leave(seed, weights_at(seed), lambda seed=seed: fisher_of(seed), units)
    consolidator.enter(0)
    everything = [torch.ones(shape, dtype=torch.bool) for shape in SHAPES]
    assert_pays(consolidator, [(weights_at(2), floored(running_fisher(2, 0.7), everything, 0.5))])
