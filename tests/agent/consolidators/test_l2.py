"""L2: the information of every task spread evenly over all weights."""

import torch

from agent.consolidators.l2 import L2
from tests.agent.anchors.worlds import SHAPES, assert_pays, fisher_of, make, weights_at


def test_l2_spreads_the_information_evenly():
    """(lambda / 2) sum_c mean(F_c) sum_i (theta_i - theta_c,i)^2."""
    consolidator = make(L2())
    reports = [consolidator.leave(task, weights_at(task), lambda t=task: fisher_of(t)) for task in range(3)]
    consolidator.enter(3)
    means = [torch.cat([each.flatten() for each in fisher_of(task)]).mean() for task in range(3)]
    even = [[torch.full(shape, float(mean)) for shape in SHAPES] for mean in means]
    assert_pays(consolidator, [(weights_at(task), even[task]) for task in range(3)])
    assert [list(each) for each in reports] == [["fisher_mean"]] * 3  # no overlap of what was spread
    assert sorted(consolidator.store.anchors) == [0, 1, 2] and consolidator.store.fishers == {}
