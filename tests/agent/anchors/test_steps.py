"""The two ways in which a penalty is felt: the proximal step never diverges, both have the same fixed point."""

import pytest
import torch

from agent.anchors.steps import PenaltyGradient, ProximalStep
from agent.gaussian import DiagonalGaussian
from tests.agent.anchors.worlds import leave_all, make, weights_at

# lambda F from 1e-6 to 1e9, and none.
STIFF = torch.cat([torch.zeros(1), torch.logspace(-6, 9, 31)])


def stiff_world(ewc_lambda, start=1.0, centre=-2.0):
    weight = torch.nn.Parameter(torch.full_like(STIFF, start))
    return weight, DiagonalGaussian((torch.full_like(STIFF, centre),), (STIFF / ewc_lambda,))


@pytest.mark.parametrize("ewc_lambda", [1.0, 400.0, 1e7])
@pytest.mark.parametrize("rate", [2.5e-4, 2.5e-3, 1.0])
def test_an_implicit_step_never_diverges_whatever_the_stiffness(ewc_lambda, rate):
    """No matter how the loss pushes, the penalty's part of the step ends between the weight and its mean."""
    weight, merged = stiff_world(ewc_lambda)
    generator = torch.Generator().manual_seed(0)
    for _ in range(200):
        with torch.no_grad():
            weight -= rate * torch.randn(STIFF.shape, generator=generator)
        before = weight.detach() + 2.0
        ProximalStep().after_step([weight], merged, ewc_lambda, lambda: [torch.full_like(STIFF, rate)])
        after = weight.detach() + 2.0
        assert (after.abs() <= before.abs() + 1e-6).all() and (after * before >= -1e-6).all()
        expected = before / (1 + rate * STIFF)
        torch.testing.assert_close(after, expected, rtol=1e-4, atol=1e-6)
    assert torch.isfinite(weight).all()


def test_a_gradient_step_diverges_where_rate_times_stiffness_exceeds_two():
    """The contrast: it multiplies the distance by 1 - eta lambda F."""
    rate, distances = 0.0025, {}
    for step in (PenaltyGradient(), ProximalStep()):
        weight, merged = stiff_world(1.0)
        optimizer = torch.optim.SGD([weight], lr=rate)
        for _ in range(300):
            weight.grad = torch.zeros_like(STIFF)
            step.before_step([weight], merged, 1.0)
            optimizer.step()
            step.after_step([weight], merged, 1.0, lambda: [torch.full_like(STIFF, rate)])
        distances[type(step)] = (weight.detach() + 2.0).abs()
    beyond = rate * STIFF > 2.1
    gone = distances[PenaltyGradient]
    assert beyond.any() and not (gone[beyond] < 1e6).any()  # far off or not even a number
    assert (gone[~beyond] <= 3.0 + 1e-4).all()
    assert (distances[ProximalStep] <= 3.0).all() and (distances[ProximalStep][beyond] < 1e-6).all()


@pytest.mark.parametrize("stiffness", [1e-6, 1e-2, 1.0, 30.0, 1e3, 1e9])
@pytest.mark.parametrize("rate", [1e-4, 1e-2, 0.5])
def test_the_fixed_point_is_where_both_gradients_cancel(stiffness, rate):
    """For the loss (a / 2) (theta - b)^2 at (a b + lambda P mu) / (a + lambda P), whatever the rate."""
    a, b, mu, ewc_lambda = 3.0, 2.0, -1.0, 10.0
    merged = DiagonalGaussian(
        (torch.tensor([mu], dtype=torch.float64),), (torch.tensor([stiffness / ewc_lambda], dtype=torch.float64),)
    )
    expected = (a * b + stiffness * mu) / (a + stiffness)
    weight = torch.nn.Parameter(torch.tensor([expected], dtype=torch.float64))
    rates = [torch.full_like(weight, rate)]
    for _ in range(5):
        with torch.no_grad():
            weight -= rate * a * (weight - b)
        ProximalStep().after_step([weight], merged, ewc_lambda, lambda: rates)
        assert weight.item() == pytest.approx(expected, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("stiffness", [1e-6, 1e-2, 1.0, 30.0])
def test_both_ways_go_to_the_same_fixed_point(stiffness):
    a, b, mu, rate = 3.0, 2.0, -1.0, 0.02
    merged = DiagonalGaussian((torch.tensor([mu]),), (torch.tensor([stiffness]),))
    for step in (PenaltyGradient(), ProximalStep()):
        weight = torch.nn.Parameter(torch.tensor([5.0]))
        optimizer = torch.optim.SGD([weight], lr=rate)
        for _ in range(400):
            weight.grad = a * (weight.detach() - b)
            step.before_step([weight], merged, 1.0)
            optimizer.step()
            step.after_step([weight], merged, 1.0, lambda weight=weight: [torch.full_like(weight, rate)])
        assert weight.item() == pytest.approx((a * b + stiffness * mu) / (a + stiffness), abs=1e-4)


def test_the_proximal_step_leaves_the_losss_gradient_alone():
    consolidator, weights = make(step=ProximalStep()), weights_at(5)
    leave_all(consolidator, [0])
    consolidator.enter(1)
    for w in weights:
        w.grad = torch.ones_like(w)
    consolidator.before_step(weights)
    assert all((w.grad == 1).all() for w in weights)
