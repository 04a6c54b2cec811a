"""FastNetwork written out against the network's own forward pass and autograd."""

import pytest
import torch

from agent.fast.network import FastNetwork
from tests.agent.test_networks import make, observations, randomise_tasks

TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 2e-2}  # relative, of the whole tensor


def network_of(size, dtype):
    network = make(size, dtype)
    network.add_task()
    network.add_task()
    randomise_tasks(network)
    return network


def close(a, b, tolerance):
    return (a.float() - b).norm() <= tolerance * b.norm()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("size", ["small", "tiled", "pooled", "nature", "paper"])
def test_values_and_gradients_are_those_of_autograd(size, dtype):
    network = network_of(size, dtype)
    x = observations(20)
    slope = torch.randn(18, 18, generator=torch.Generator().manual_seed(4))
    expected = network(x, 1)
    expected[:18].backward(slope)

    passes = FastNetwork(network)
    values, seen = passes.forward(x, 1)
    found = passes.backward(seen.first(18), slope, 1)
    tolerance = TOLERANCE[dtype]
    assert values.dtype == torch.float32 and close(values, expected.detach(), tolerance)
    own = network.task_parameters[1]
    for gradients, parameters in (
        (found.weights, network.weights),
        (found.biases, own.biases),
        (found.gains, own.gains),
    ):
        assert len(gradients) == len(parameters)
        for gradient, parameter in zip(gradients, parameters, strict=True):
            assert gradient.shape == parameter.shape
            assert close(gradient, parameter.grad, tolerance)


def test_a_gain_of_zero_has_a_gradient():
    """Products are kept before the gain, so nothing is divided by it."""
    network = network_of("small", torch.float32)
    with torch.no_grad():
        for gain in network.task_parameters[0].gains:
            gain[0] = 0.0
    network(observations(3), 0).sum().backward()
    passes = FastNetwork(network)
    _, seen = passes.forward(observations(3), 0)
    found = passes.backward(seen, torch.ones(3, 18), 0)
    for gradient, gain in zip(found.gains, network.task_parameters[0].gains, strict=True):
        torch.testing.assert_close(gradient, gain.grad, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("change", ["weight", "bias", "gain", "loaded", "optimizer"])
def test_a_change_of_any_parameter_is_noticed(change):
    network = network_of("small", torch.float32)
    passes, x = FastNetwork(network), observations(2)
    before, _ = passes.forward(x, 1)
    with torch.no_grad():
        if change == "weight":
            network.weights[1].mul_(1.5)
        elif change == "bias":
            network.task_parameters[1].biases[0].add_(1.0)
        elif change == "gain":
            network.task_parameters[1].gains[2].mul_(2.0)
        elif change == "loaded":
            network.load_state_dict({k: 1.1 * v for k, v in network.state_dict().items()})
    if change == "optimizer":
        network(x, 1).sum().backward()
        torch.optim.SGD(network.parameters(), lr=0.1).step()
    after, _ = passes.forward(x, 1)
    assert not torch.equal(after, before)
    torch.testing.assert_close(after, network(x, 1).detach(), rtol=1e-4, atol=1e-5)


def test_tasks_take_turns_and_one_never_met_has_no_bias_and_unit_gain():
    network = network_of("small", torch.float32)
    passes, x = FastNetwork(network), observations(2)
    for task in (0, 1, None, 1, 0, None):
        torch.testing.assert_close(passes.forward(x, task)[0], network(x, task).detach(), rtol=1e-4, atol=1e-5)


# -- gates -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("size", ["small", "nature"])
def test_with_gates_values_and_gradients_are_those_of_autograd(size, dtype):
    network = make(size, dtype, gated=0.5, gate_seed=7)
    for _ in range(3):
        network.add_task()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in network.task_parameters.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=generator) * (parameter != 0)
        for own in network.task_parameters:
            for bias in own.biases:
                bias += 0.1
    passes, x = FastNetwork(network), observations(6)
    slope = torch.randn(4, 18, generator=torch.Generator().manual_seed(4))
    for task in (1, 2, None, 1):
        expected = network(x, task)
        values, seen = passes.forward(x, task)
        assert close(values, expected.detach(), TOLERANCE[dtype])
        if task is None:
            continue
        network.zero_grad()
        expected[:4].backward(slope)
        found = passes.backward(seen.first(4), slope, task)
        own = network.task_parameters[task]
        for gradients, parameters in (
            (found.weights, network.weights),
            (found.biases, own.biases),
            (found.gains, own.gains),
        ):
            for gradient, parameter in zip(gradients, parameters, strict=True):
                assert gradient.shape == parameter.shape
                assert close(gradient, parameter.grad, TOLERANCE[dtype])


def test_a_gate_that_closes_is_noticed():
    network = make("small", gated=0.25)
    network.add_task()
    passes, x = FastNetwork(network), observations(4)
    before, _ = passes.forward(x, 0)
    with torch.no_grad():
        for gain in network.task_parameters[0].gains[:-1]:
            gain[:16] = 0.0
    after, _ = passes.forward(x, 0)
    assert not torch.allclose(before, after)
    torch.testing.assert_close(after, network(x, 0).detach(), rtol=1e-4, atol=1e-6)
