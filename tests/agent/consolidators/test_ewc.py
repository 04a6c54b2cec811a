"""EWC: an anchor for every task, as measured; damping is added where it is used."""

import pytest
import torch

from agent.consolidators.ewc import EWC
from agent.consolidators.ewc_all import EWCOfAll
from agent.gaussian import DiagonalGaussian
from tests.agent.anchors.worlds import (
    SHAPES,
    assert_pays,
    fisher_of,
    floored,
    joined_by,
    latest,
    leave_all,
    make,
    units_of,
    weights_at,
)
from tests.conformance.alike import assert_alike, difference


@pytest.mark.parametrize("kind", [EWC, EWCOfAll])
def test_the_penalty_and_its_gradient_are_those_of_separate_penalties(kind):
    consolidator = make(kind())
    left = latest(leave_all(consolidator, [0, 1, 2, 1, 5, 0]))
    for active in (0, 1, 2, 5, 7):
        consolidator.enter(active)
        others = [left[task] for task in left if kind is EWCOfAll or task != active]
        assert_pays(consolidator, [(each.weights, each.fisher) for each in others])


@pytest.mark.parametrize("kind", [EWC, EWCOfAll])
def test_hundreds_of_revisits_leave_no_drift(kind):
    """The merge equals that of the last anchors alone bit for bit, and separate anchors in float64."""
    consolidator = make(kind())
    order = torch.randint(4, (300,), generator=torch.Generator().manual_seed(0)).tolist()
    departures = leave_all(consolidator, order)
    left = latest(departures)
    fresh = make(kind())
    for each in sorted(left.values(), key=departures.index):  # in order of departure, not of task
        fresh.leave(each.task, each.weights, lambda each=each: each.fisher)
    assert sorted(consolidator.store.anchors) == [0, 1, 2, 3]
    for active in (4, *range(4)):
        for each in (consolidator, fresh):
            each.enter(active)
        assert_alike(consolidator.merged, fresh.merged)
        assert consolidator.constant == fresh.constant
        anchors = [(left[task].weights, left[task].fisher) for task in left if kind is EWCOfAll or task != active]
        assert_pays(consolidator, anchors)
        for layer in range(len(SHAPES)):
            total = sum(fisher[layer].double() for _, fisher in anchors)
            centre = sum(f[layer].double() * w[layer].detach().double() for w, f in anchors) / total
            torch.testing.assert_close(consolidator.merged.precision[layer].double(), total, rtol=1e-7, atol=0)
            torch.testing.assert_close(
                consolidator.merged.mean[layer].double(), torch.where(total > 0, centre, 0.0), rtol=1e-6, atol=1e-7
            )


def test_a_task_left_again_replaces_only_its_own_anchor():
    store = EWC()
    leave_all(make(store), [0, 1])
    first, other = store.anchors[0], store.anchors[1]
    leave_all(make(store), [0], first_seed=70)
    assert difference(first, store.anchors[0])
    assert_alike(store.anchors[0], DiagonalGaussian.of(weights_at(70), fisher_of(70)))
    assert_alike(store.anchors[1], other)
    assert 2 not in store.anchors


# -- damping -----------------------------------------------------------------------------------------------------


def test_damping_is_a_floor_under_the_weights_between_active_units_wherever_an_anchor_is_used():
    consolidator = make(EWC(damping=0.5))
    left = leave_all(consolidator, [0, 1])
    consolidator.enter(1)
    assert any(not joined.all() for joined in joined_by(left[0].units))
    assert_alike(list(consolidator.merged.precision), floored(left[0].fisher, joined_by(left[0].units), 0.5))
    consolidator.enter(2)
    anchors = [(each.weights, floored(each.fisher, joined_by(each.units), 0.5)) for each in left]
    assert_pays(consolidator, anchors)


def test_with_damping_the_fisher_is_kept_as_it_was_measured():
    plain, store = EWC(), EWC(damping=0.5)
    for each in (plain, store):
        leave_all(make(each), [0, 3])
    assert_alike(store.anchors, plain.anchors)
    assert_alike(store.fishers, {task: tuple(fisher_of(seed)) for seed, task in ((1, 0), (2, 3))})
    assert_alike(store.state_dict(), plain.state_dict())


def test_without_word_of_units_all_weights_are_damped():
    consolidator = make(EWC(damping=0.5))
    consolidator.leave(0, weights_at(1), lambda: fisher_of(1))
    consolidator.enter(1)
    everything = [torch.ones(shape, dtype=torch.bool) for shape in SHAPES]
    assert_alike(list(consolidator.merged.precision), floored(fisher_of(1), everything, 0.5))


def test_units_are_asked_for_after_the_fisher_was_measured():
    asked = []
    make(EWC(damping=0.5)).leave(
        0,
        weights_at(1),
        lambda: asked.append("fisher") or fisher_of(1),
        lambda: asked.append("units") or units_of(1),
    )
    assert asked == ["fisher", "units"]
