"""A task's own small network says what the whole one says, and what is measured on it is what is measured there."""

import pytest
import torch

from agent import own_network, pruning
from agent.fisher import ESTIMATORS, fisher_information
from agent.networks import Architecture, QNetwork
from agent.own_network import OwnNetwork, without_unused
from replay.transition import Transition

WIDE = Architecture(((16, 3, 3), (24, 2, 2)), 40)  # 21 x 21 pixels
OVERLAPPING = Architecture(((16, 4, 2), (24, 2, 1)), 40, pool=2)


def gated(share=0.8, tasks=3, seed=0, layers=WIDE):
    network = QNetwork(layers, 5, 3, 21, torch.Generator().manual_seed(seed), gated=share, gate_seed=2)
    generator = torch.Generator().manual_seed(seed + 1)
    for _ in range(tasks):
        for parameter in network.add_task().parameters():
            parameter.data += 0.3 * torch.randn(parameter.shape, generator=generator) * (parameter.data != 0)
    return network


def batch(seed, count=6):
    g = torch.Generator().manual_seed(seed)
    x, y = (torch.randint(256, (count, 3, 21, 21), generator=g, dtype=torch.uint8) for _ in range(2))
    return Transition(x, torch.randint(5, (count,), generator=g), torch.randn(count, generator=g), torch.ones(count), y)


@pytest.mark.parametrize("layers", [WIDE, OVERLAPPING])
def test_its_values_are_those_of_the_whole_network(layers):
    network = gated(layers=layers)
    own = OwnNetwork(network, 1)
    assert own.is_small and own.task == 0 and own.network.units == [3, 5, 8, 5]
    torch.testing.assert_close(own.network(batch(3).observation, 0), network(batch(3).observation, 1))


def test_it_is_computed_in_the_same_type():
    network = gated()
    network.compute_dtype = torch.bfloat16
    own = OwnNetwork(network, 1)
    assert own.is_small
    torch.testing.assert_close(own.network(batch(3).observation, 0), network(batch(3).observation, 1))


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_a_task_that_uses_much_is_computed_as_it_is(share):
    network = gated(share)
    own = OwnNetwork(network, 2)
    assert own.network is network and own.task == 2
    assert all(a is b for a, b in zip(own.spread(list(network.weights)), network.weights, strict=True))


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_the_fisher_information_is_that_of_the_whole_network(estimator, monkeypatch):
    network, target = gated(), gated(seed=5)
    for mine, theirs in zip(network.task_parameters, target.task_parameters, strict=True):
        theirs.load_state_dict(mine.state_dict())  # the same gates

    def measured():
        g = torch.Generator().manual_seed(4)
        return fisher_information(network, target, [batch(1), batch(2)], 1, estimator, g)

    small = measured()
    monkeypatch.setattr(own_network, "_WORTH_IT", 0.0)
    whole = measured()
    assert any(f.any() for f in whole)
    for one, other in zip(small, whole, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-9)


def test_inactive_units_are_those_of_the_whole_network(monkeypatch):
    network = gated()
    with torch.no_grad():
        for layer, bias in enumerate(list(network.of_task(1).biases)[:-1]):
            units = network.active_units(1)[layer].nonzero().squeeze(1)
            bias[units[:1]] = -1e4 * network.of_task(1).gains[layer][units[:1]].sign()
    small = pruning.inactive_units(network, [batch(1), batch(2)], 1)
    monkeypatch.setattr(own_network, "_WORTH_IT", 0.0)
    whole = pruning.inactive_units(network, [batch(1), batch(2)], 1)
    assert [m.tolist() for m in small] == [m.tolist() for m in whole]
    assert all((mask & used).any() for mask, used in zip(small, network.active_units(1), strict=False))


def test_weights_that_no_task_uses_are_left_out_and_no_task_changes():
    network, lean = gated(share=0.7, tasks=2), gated(share=0.7, tasks=2)
    lean.load_state_dict(without_unused(network.state_dict()))
    for task in (0, 1):
        assert torch.equal(lean(batch(3).observation, task), network(batch(3).observation, task))
    kept = [weight != 0 for weight in lean.weights]
    assert sum(int(k.sum()) for k in kept) < 0.5 * sum(k.numel() for k in kept)
    assert all(torch.equal(a[k], b[k]) for a, b, k in zip(lean.weights, network.weights, kept, strict=True))


def test_of_a_network_without_tasks_nothing_is_left_out():
    network = gated(tasks=0)
    assert all(torch.equal(network.state_dict()[n], each) for n, each in without_unused(network.state_dict()).items())
