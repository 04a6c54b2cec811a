"""The optimiser against its equation, number by number."""

import math

import pytest
import torch

from agent.optimisers import CentredRMSProp, make_optimiser


def test_equals_the_equation_written_out_number_by_number():
    generator = torch.Generator().manual_seed(0)
    parameters = [
        torch.nn.Parameter(torch.randn(3, 2, generator=generator)),
        torch.nn.Parameter(torch.randn(4)),
    ]
    slow = [p.detach().double().flatten().tolist() for p in parameters]
    averages = [[(0.0, 0.0)] * len(values) for values in slow]
    optimiser = CentredRMSProp(parameters, lr=0.00025, decay=0.95, epsilon=0.01)
    for _ in range(50):
        gradients = [torch.randn(p.shape, generator=generator) * 3 for p in parameters]
        for p, g in zip(parameters, gradients, strict=True):
            p.grad = g
        optimiser.step()
        for k, gradient in enumerate(gradients):
            for i, g in enumerate(gradient.double().flatten().tolist()):
                mean, square = averages[k][i]
                mean, square = 0.95 * mean + 0.05 * g, 0.95 * square + 0.05 * g * g
                averages[k][i] = mean, square
                slow[k][i] -= 0.00025 * g / math.sqrt(square - mean * mean + 0.01)
    for p, expected in zip(parameters, slow, strict=True):
        torch.testing.assert_close(
            p.detach().double().flatten(), torch.tensor(expected, dtype=torch.float64), rtol=1e-5, atol=1e-6
        )


def test_a_constant_gradient_moves_by_the_maximal_learning_rate():
    p = torch.nn.Parameter(torch.zeros(1))
    optimiser = CentredRMSProp([p], lr=0.00025, decay=0.95, epsilon=0.01)
    for _ in range(2000):
        p.grad = torch.ones(1)
        before = p.item()
        optimiser.step()
    assert before - p.item() == pytest.approx(0.0025, rel=1e-3)  # the paper's "max. learning rate"


@pytest.mark.parametrize("name", ["rmsprop", "adam"])
def test_parameters_without_gradient_are_left_alone(name):
    still, moving = torch.nn.Parameter(torch.ones(5)), torch.nn.Parameter(torch.ones(5))
    optimiser = make_optimiser(name, [still, moving], learning_rate=0.1, epsilon=0.01, decay=0.95)
    still.grad = moving.grad = torch.ones(5)
    optimiser.step()
    after_first = still.detach().clone()
    still.grad = None
    for _ in range(10):
        moving.grad = torch.ones(5)
        optimiser.step()
    assert torch.equal(still.detach(), after_first)
    assert not torch.equal(moving.detach(), after_first)


def test_unknown_name_is_refused():
    with pytest.raises(ValueError, match="rmsprop or adam"):
        make_optimiser("sgd", [torch.zeros(1)], learning_rate=0.1, epsilon=0.1, decay=0.9)
