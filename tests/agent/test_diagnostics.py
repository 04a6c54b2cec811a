"""Instruments of plasticity, against cases small enough to work out by hand."""

from functools import partial

import pytest
import torch

from agent.consolidators.none import NoConsolidation
from agent.diagnostics import (
    PlasticityMonitor,
    curvature,
    dormant_shares,
    loss_gradients,
    pull_against_loss,
    stiffness,
)
from agent.fast.update import FastUpdate
from agent.gaussian import DiagonalGaussian
from agent.objective import DOUBLE_Q, Objective, clipped_double_q
from tests.agent.learners import OPTIMIZERS, make_batch, make_learner, make_network
from tests.conformance.alike import assert_alike


def gaussian(mean, precision):
    return DiagonalGaussian(tuple(map(torch.tensor, mean)), tuple(map(torch.tensor, precision)))


def test_the_pull_beside_the_loss_by_hand():
    merged = gaussian([[0.0, 0.0], [1.0]], [[1.0, 2.0], [0.0]])
    weights = [torch.tensor([3.0, 1.0]), torch.tensor([5.0])]
    gradients = [torch.tensor([-6.0, 8.0]), torch.tensor([0.0])]
    found = pull_against_loss(weights, gradients, merged, ewc_lambda=2.0)  # e = (6, 4), (0)
    assert found["ratio_layer0"] == pytest.approx(52**0.5 / 10) and found["ratio_layer1"] == 0.0
    assert found["ratio"] == pytest.approx(52**0.5 / 10)
    assert found["cancelled"] == pytest.approx((36 - 32) / 100)


def test_where_both_balance_everything_is_cancelled():
    merged = gaussian([[0.5, -1.0]], [[3.0, 7.0]])
    weights = [torch.tensor([2.0, 4.0])]
    gradients = [-5.0 * merged.precision[0] * (weights[0] - merged.mean[0])]
    found = pull_against_loss(weights, gradients, merged, ewc_lambda=5.0)
    assert found["cancelled"] == pytest.approx(1.0) and found["ratio"] == pytest.approx(1.0)


def test_without_anchors_nothing_pulls_and_nothing_is_stiff():
    weights = [torch.ones(3)]
    flat = DiagonalGaussian.flat(weights)
    found = pull_against_loss(weights, [torch.ones(3)], flat, ewc_lambda=400.0)
    assert found["ratio"] == found["cancelled"] == 0.0
    assert stiffness(flat, [torch.full((3,), 1e-9)], 400.0) == {"held_share": 0.0, "stiff_share": 0.0}


def test_stiffness_counts_the_weights_that_outweigh_the_loss():
    precision = [[0.0, 1e-3, 1e-1, 10.0], [1e-5, 0.0, 0.0, 0.0]]
    merged = gaussian([[0.0] * 4, [0.0] * 4], precision)
    found = stiffness(merged, [torch.full((4,), 0.5), torch.full((4,), 1e-5)], ewc_lambda=10.0)
    assert found["held_share"] == 0.5
    assert found["stiff_share"] == 3 / 8  # 1 and 100 in the first layer, 1e-4 in the second
    assert found["log10_stiffness_q10"] == pytest.approx(-4) and found["log10_stiffness_q99"] == pytest.approx(2)
    assert "stiff_share" not in stiffness(merged, None, 10.0)


def test_dormant_units_are_counted_per_layer():
    convolution = torch.ones(5, 4, 3, 3)
    convolution[:, 0] = 0.0
    convolution[:, 1] *= 0.01  # below 2.5 % of the mean of 0.5
    linear = torch.rand(5, 7) + 0.5
    assert dormant_shares([convolution, linear]) == {"dormant_layer0": 0.5, "dormant_layer1": 0.0}


def test_the_watch_warns_once_after_a_stretch_in_one_task():
    watch = PlasticityMonitor(limit=0.8, patience=3)
    stuck, free = {"cancelled": 0.95, "ratio": 0.97, "stiff_share": 0.6}, {"cancelled": 0.1, "ratio": 0.2}
    script = [(0, stuck), (0, stuck), (0, free), (0, stuck), (0, stuck), (0, stuck), (0, stuck), (1, stuck), (1, {})]
    said = [watch(task, found) for task, found in script]
    assert [bool(each) for each in said] == [False] * 5 + [True] + [False] * 3
    assert "95%" in said[5] and "0.97" in said[5] and "60%" in said[5]


# -- on a learner ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("objective", [DOUBLE_Q, Objective(clipped_double_q, action_ridge=0.5)])
def test_the_losss_gradients_are_those_of_an_update_and_measuring_changes_nothing(objective):
    update = partial(FastUpdate, objective=objective)
    learner, batch = make_learner(make_network(gated=0.5), make_update=update), make_batch()
    learner.learn(make_batch(seed=5), 1, NoConsolidation())  # online and target differ from here on
    before = learner.state_dict()
    gradients, activations = loss_gradients(learner.network, learner.target, batch, 1, objective)
    assert_alike(learner.state_dict(), before)
    used = learner.network.active_units(1)[:-1]
    assert [a.shape[:2] for a in activations] == [(8, int(units.sum())) for units in used]
    assert all((a >= 0).all() and a.any() for a in activations)
    learner.learn(batch, 1, NoConsolidation())
    for gradient, w in zip(gradients, learner.weights, strict=True):
        torch.testing.assert_close(gradient, w.grad, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_curvature_is_the_mean_square_of_the_gradients_so_far(optimizer):
    learner = make_learner(optimizer=optimizer, make_update=FastUpdate)
    assert curvature(learner.optimizer, learner.weights) is None  # before the first update
    learner.learn(make_batch(), 0, NoConsolidation())
    share = 0.001 if optimizer == "adam" else 0.05  # of the newest
    for found, w in zip(curvature(learner.optimizer, learner.weights), learner.weights, strict=True):
        torch.testing.assert_close(found, share * w.grad**2, rtol=1e-4, atol=0)
