"""The null object."""

import copy

import pytest
import torch

from agent.consolidators.none import NoConsolidation
from tests.agent.anchors.test_anchored import Operations
from tests.agent.anchors.worlds import fisher_of, weights_at


class Thunk:
    """A Fisher that tells how often it was measured."""

    def __init__(self, fisher):
        self.fisher, self.calls = fisher, 0

    def __call__(self):
        self.calls += 1
        return self.fisher


def test_no_consolidation_pays_nothing_and_does_nothing():
    nothing, thunk, weights = NoConsolidation(), Thunk(fisher_of(1)), weights_at(1)
    before = copy.deepcopy(weights)
    nothing.enter(0)
    assert nothing.leave(0, weights, thunk) == {}
    nothing.enter(1)
    for w in weights:
        w.grad = torch.ones_like(w)
    with Operations() as operations:
        nothing.before_step(weights)
        nothing.after_step(weights, lambda: pytest.fail("the rates are not asked for"))
        assert nothing.diagnostics(weights, weights, None) == {}
    assert (thunk.calls, operations.count, nothing.state_dict()) == (0, 0, {})
    assert all(torch.equal(w, b) and (w.grad == 1).all() for w, b in zip(weights, before, strict=True))
    optimizer = torch.optim.SGD(weights, lr=0.5)
    nothing.step(optimizer)
    assert all(torch.equal(w, b - 0.5) for w, b in zip(weights, before, strict=True))
