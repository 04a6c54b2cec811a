"""The recursive Laplace approximation: all Fishers around the latest weights."""

import pytest

from agent.consolidators.laplace import RecursiveLaplace
from agent.gaussian import DiagonalGaussian
from tests.agent.anchors.worlds import (
    assert_pays,
    floored,
    joined_by,
    latest,
    leave_all,
    make,
    weights_at,
)
from tests.conformance.alike import assert_alike


@pytest.mark.parametrize("damping", [0.0, 0.5])
def test_fishers_are_summed_around_the_latest_weights(damping):
    """(lambda / 2) sum (sum_c F_c) (theta - theta*)^2; a task left again counts once, with its new Fisher."""
    consolidator = make(RecursiveLaplace(damping))
    left = latest(leave_all(consolidator, [0, 1, 0, 2]))
    used = {task: floored(each.fisher, joined_by(each.units), damping) for task, each in left.items()}
    for active in (0, 1, 2, 7):
        consolidator.enter(active)
        summed = [used[task] for task in left if task != active]
        assert_pays(consolidator, [(weights_at(4), fisher) for fisher in summed])
        assert consolidator.constant == 0
    assert_alike(consolidator.store.anchors[1], DiagonalGaussian.of(weights_at(4), left[1].fisher))
