"""The penalty of merged anchors against autograd and by hand, and what is reported of it."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from agent.anchors.anchored import AnchoredConsolidator
from agent.anchors.normalised import NormalisedFishers
from agent.anchors.online import OnlineEWC
from agent.anchors.steps import PenaltyGradient, ProximalStep
from agent.consolidators.ewc import EWC
from agent.consolidators.l2 import L2
from agent.fisher import fisher_overlap, mean_information
from tests.agent.anchors.worlds import fisher_of, latest, leave_all, make, weights_at


def test_the_gradient_is_autograds_of_its_own_value():
    consolidator = make()
    leave_all(consolidator, [0, 1, 2])
    consolidator.enter(3)
    weights = weights_at(50)
    expected = torch.autograd.grad(consolidator.penalty(weights), weights)
    consolidator.before_step(weights)  # there was no gradient yet
    for w, e in zip(weights, expected, strict=True):
        torch.testing.assert_close(w.grad, e, rtol=1e-6, atol=1e-6)


def test_a_penalty_by_hand():
    consolidator = AnchoredConsolidator(EWC(), PenaltyGradient(), [torch.zeros(1)], ewc_lambda=10.0)
    for task, (centre, f) in enumerate([(1.0, 2.0), (-1.0, 1.0)]):
        consolidator.leave(task, [torch.tensor([centre])], lambda f=f: [torch.tensor([f])])
    w = torch.nn.Parameter(torch.tensor([3.0]))
    for active, value, gradient in ((2, 5 * (2 * 4 + 16), 10 * (2 * 2 + 4)), (0, 5 * 16, 10 * 4), (1, 5 * 8, 10 * 4)):
        consolidator.enter(active)
        w.grad = torch.ones(1)
        consolidator.before_step([w])
        assert consolidator.penalty([w]).item() == pytest.approx(value)
        assert w.grad.item() == pytest.approx(1 + gradient)


class Operations(TorchDispatchMode):
    """Counts what torch is asked to do."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += 1
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("step", [PenaltyGradient(), ProximalStep()])
def test_an_updates_cost_does_not_depend_on_the_number_of_tasks(step):
    counts = []
    for tasks in (1, 2, 30):
        consolidator, weights = make(step=step), weights_at(1)
        places = [t.data_ptr() for t in (*consolidator.merged.mean, *consolidator.merged.precision)]
        leave_all(consolidator, range(tasks))
        consolidator.enter(tasks)
        for w in weights:
            w.grad = torch.ones_like(w)
        with Operations() as operations:
            consolidator.before_step(weights)
            consolidator.after_step(weights, lambda weights=weights: [torch.ones_like(w) for w in weights])
            consolidator.penalty(weights)
        counts.append(operations.count)
        merged = (*consolidator.merged.mean, *consolidator.merged.precision)
        assert [t.data_ptr() for t in merged] == places  # overwritten in place
    assert counts[0] == counts[1] == counts[2] > 0


# -- what is reported --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("damping", [0.0, 0.3])
def test_what_is_reported_at_a_departure(damping):
    """The information as it was measured, whatever is held for it."""
    consolidator = make(NormalisedFishers(EWC(damping)))
    assert list(make().leave(0, weights_at(1), lambda: fisher_of(1))) == ["fisher_mean"]  # the first of all
    left = latest(leave_all(consolidator, [0, 2]))
    report = consolidator.leave(2, weights_at(2), lambda: [1e-5 * each for each in fisher_of(2)])
    mean = torch.cat([each.flatten() for each in fisher_of(2)]).mean().item()
    assert report.pop("fisher_mean") == pytest.approx(1e-5 * mean, rel=1e-5)
    overlaps = fisher_overlap(fisher_of(2), left[0].fisher)
    expected = {f"fisher_overlap_task0_layer{i}": each for i, each in enumerate(overlaps)}
    assert report == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize(
    ("store", "tasks"), [(EWC(), [0, 2]), (EWC(damping=0.3), [0, 2]), (L2(), [0, 2]), (OnlineEWC(0.5), [])]
)
def test_an_examination_tells_the_penalty_and_the_distance_from_every_anchor_that_is_kept(store, tasks):
    """In the metric of the anchor: the root of sum F (theta - theta_c)^2, of the mean of F where that is spread."""
    consolidator, weights = make(store), weights_at(70)
    left = latest(leave_all(consolidator, [2, 0, 2]))
    consolidator.enter(0)
    found = consolidator.diagnostics(weights, weights_at(71), None)
    assert found["penalty"] == pytest.approx(consolidator.penalty(weights).item())
    expected = {}
    for task in tasks:
        fisher = left[task].fisher
        if isinstance(store, L2):
            fisher = [torch.full_like(f, mean_information(fisher)) for f in fisher]
        squares = [(f * (w - c) ** 2).sum() for w, c, f in zip(weights, left[task].weights, fisher, strict=True)]
        expected[f"distance_task{task}"] = sum(squares).item() ** 0.5
    assert {name: value for name, value in found.items() if "distance" in name} == pytest.approx(expected, rel=1e-5)
