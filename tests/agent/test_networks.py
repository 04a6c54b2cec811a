"""The network against the paper's numbers and against its own equation written out."""

import copy
import itertools

import pytest
import torch
from torch.nn import functional

from agent.networks import QNetwork, joined_weights
from configs.choices import NETWORKS


def make(size="small", dtype=torch.float32, seed=0, **gates):
    return QNetwork(NETWORKS[size].make(), 18, 4, 84, torch.Generator().manual_seed(seed), dtype, **gates)


def randomise_tasks(network, seed=1):
    generator = torch.Generator().manual_seed(seed)
    for parameter in network.task_parameters.parameters():
        parameter.data += 0.3 * torch.randn(parameter.shape, generator=generator)


def observations(count, seed=2):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(256, (count, 4, 84, 84), generator=generator, dtype=torch.uint8)


def test_the_papers_network_has_the_papers_size():
    network = make("paper")
    assert sum(w.numel() for w in network.weights) == 6_555_648
    assert sum(network.units) == 1_266
    assert sum(p.numel() for p in network.add_task().parameters()) == 2 * 1_266


def test_nature_network_has_its_published_size():
    network = make("nature")
    biases = sum(network.units)
    assert sum(w.numel() for w in network.weights) + biases == 1_693_362  # 18 actions


@pytest.mark.parametrize(
    ("size", "seen"),
    [(size, 75) for size in ("small", "wide", "wide4", "wide8")]
    + [(size, 84) for size in ("tiled", "tiled2", "tiled4", "nature", "paper")],
)
def test_values_depend_on_as_many_rows_and_columns_as_is_said(size, seen):
    network = make(size)
    network.add_task()
    pixels = observations(4).float().requires_grad_()
    network(pixels, 0).square().sum().backward()
    matters = pixels.grad.abs().sum((0, 1)) > 0
    assert matters[:seen, :seen].all() and matters.sum() == seen * seen


@pytest.mark.parametrize("size", ["small", "pooled", "nature"])
def test_equals_the_equation_written_out(size):
    network = make(size)
    network.add_task()
    network.add_task()
    randomise_tasks(network)
    x = observations(3)
    if network.pool > 1:  # means over squares, rounded
        squares = x.float().unfold(2, network.pool, network.pool).unfold(3, network.pool, network.pool)
        y = (squares.mean((4, 5)) + 0.5).floor() / 255
    else:
        y = x.float() / 255
    own = network.task_parameters[1]
    last = len(network.weights) - 1
    for layer, weight in enumerate(network.weights):
        bias, gain = own.biases[layer], own.gains[layer]
        if weight.dim() == 4:
            y = functional.conv2d(y, weight, stride=network.strides[layer])
            y = (y + bias[:, None, None]) * gain[:, None, None]
        else:
            y = (y.flatten(1) @ weight.T + bias) * gain
        if layer < last:
            y = y.clamp(min=0)
    torch.testing.assert_close(network(x, 1), y, rtol=1e-4, atol=1e-5)


def test_weights_are_uniform_within_one_over_root_fan_in():
    for weight in make("nature").weights:
        fan_in = weight[0].numel()
        assert weight.abs().max().item() <= fan_in**-0.5
        assert weight.std().item() == pytest.approx((fan_in * 3) ** -0.5, rel=0.05)


@pytest.mark.parametrize("size", ["small", "pooled", "tiled4", "wide4", "wide8"])
def test_a_task_never_met_plays_like_a_fresh_one(size):
    network = make(size)
    network.add_task()
    randomise_tasks(network)
    fresh = copy.deepcopy(network)
    fresh.add_task()
    x = observations(2)
    assert torch.equal(network(x, None), fresh(x, 1))
    assert not torch.equal(network(x, None), network(x, 0))


def test_bfloat16_agrees_with_float32_to_its_precision():
    exact, fast = make("nature"), make("nature", torch.bfloat16)
    for network in (exact, fast):
        network.add_task()
        randomise_tasks(network)
    x = observations(8)
    with torch.no_grad():
        a, b = exact(x, 0), fast(x, 0)
    assert b.dtype == torch.float32
    assert (a - b).norm() / a.norm() < 0.02


def test_bfloat16_does_not_round_values_to_ties():
    network = make("small", torch.bfloat16)
    own = network.add_task()
    own.biases[-1].data.fill_(6.0)  # values near 6, where bfloat16 has steps of 0.03
    with torch.no_grad():
        values = network(observations(64), 0)
    assert all(len(set(row.tolist())) == 18 for row in values)


def test_gradients_reach_only_the_task_that_played():
    network = make()
    for _ in range(3):
        network.add_task()
    network(observations(2), 1).sum().backward()
    assert all(p.grad is not None for p in network.task_parameters[1].parameters())
    assert all(p.grad is None for i in (0, 2) for p in network.task_parameters[i].parameters())


# -- gates -------------------------------------------------------------------------------------------------------


def gated(share=0.5, tasks=2, gate_seed=3):
    """Every task has been learned when the next one comes."""
    network = make(gated=share, gate_seed=gate_seed)
    for _ in range(tasks):
        network.add_task().biases[-1].data.fill_(0.1)
    return network


def closed(network, task):
    return [(gain == 0).nonzero().flatten().tolist() for gain in network.task_parameters[task].gains]


def test_every_task_does_without_the_stated_share_of_every_hidden_layer():
    network = gated(share=0.25, tasks=3)
    for task in range(3):
        assert [len(c) for c in closed(network, task)] == [8, 16, 64, 0]  # of 32, 64, 256 units and 18 actions
    assert closed(network, 0) != closed(network, 1) != closed(network, 2)


def test_gates_are_a_function_of_the_seed_and_the_tasks_before():
    one, again, other = gated(tasks=3), gated(tasks=3), gated(tasks=3, gate_seed=4)
    assert [closed(one, t) for t in range(3)] == [closed(again, t) for t in range(3)]
    assert [closed(one, t) for t in range(3)] != [closed(other, t) for t in range(3)]


def test_a_task_does_without_the_units_that_most_earlier_tasks_use():
    network = gated(tasks=1)
    with torch.no_grad():
        network.task_parameters[0].gains[2][:] = (
            torch.arange(256) < 100
        ).float()  # 28 of its 128 units were closed since
    network.add_task().biases[-1].data.fill_(0.1)
    network.add_task()
    first, second, third = ([set(g.nonzero().flatten().tolist()) for g in own.gains] for own in network.task_parameters)
    assert [len(units) for units in third] == [16, 32, 128, 18]
    assert [len(a & b) for a, b in zip(first, second, strict=True)] == [0, 0, 0, 18]  # actions are everybody's
    unused = set(range(256)) - first[2] - second[2]
    assert len(unused) == 28 and unused <= third[2]


def test_a_task_that_was_never_learned_takes_no_units_from_others():
    network = gated(tasks=1)
    network.add_task()  # an error of the inference
    network.add_task()
    first, _, third = ([set(g.nonzero().flatten().tolist()) for g in own.gains[:-1]] for own in network.task_parameters)
    assert all(not a & b for a, b in zip(first, third, strict=True))


@pytest.mark.parametrize(
    ("size", "of", "share"),
    [
        ("wide4", "small", 0.25),
        ("wide8", "small", 0.125),
        ("tiled2", "tiled", 0.5),
        ("tiled4", "tiled", 0.25),
        ("pooled2", "pooled", 0.5),
        ("pooled4", "pooled", 0.25),
    ],
)
def test_a_share_of_a_wider_network_begins_as_a_small_one(size, of, share):
    small, network = make(of), make(size, gated=1 - share)
    network.add_task()
    units = network.active_units(0)
    joined = joined_weights([w.shape for w in network.weights], units)
    for weight, used, alone, gain, is_open in zip(
        network.weights, joined, small.weights, network.task_parameters[0].gains, units, strict=True
    ):
        assert int(used.sum()) == alone.numel()
        bound = alone[0].numel() ** -0.5
        assert 0.98 * bound < weight.detach()[used].abs().max() <= bound
        assert (gain.detach()[is_open] - 1).abs().max() < 1e-6


@pytest.mark.parametrize("gated", [0.0, 0.5])
def test_an_initial_gain_of_root_six_keeps_the_size_of_what_layers_pass_on(gated):
    """ReLU halves the mean square, and weights from U(-1/sqrt(n), 1/sqrt(n)) divide it by three."""
    network = make("tiled2" if gated else "tiled", gated=gated, initial_gain=6**0.5)
    network.add_task()
    _, taps = network.with_taps(observations(8), 0)
    last = network.of_task(0).gains[-1].detach()
    sizes = [tap.input.square().sum().item() / 8 / tap.input[0].numel() for tap in taps]
    sizes = [size / (1 - gated if layer else 1) for layer, size in enumerate(sizes)]  # of open units
    assert all(0.6 < after / before < 1.6 for before, after in itertools.pairwise(sizes))
    torch.testing.assert_close(last, torch.ones(18))
    fresh = network.of_task(None)
    assert all(torch.equal(gain, torch.full_like(gain, 6**0.5)) for gain in list(fresh.gains)[:1])


def test_without_gates_every_gain_begins_at_one():
    assert all((gain == 1).all() for gain in gated(share=0.0).task_parameters[1].gains)


def test_the_active_units_are_those_whose_gates_are_open():
    network = gated(share=0.25)
    for task in (0, 1):
        found = network.active_units(task)
        assert all(units.dtype == torch.bool and not units.requires_grad for units in found)
        assert [(~units).nonzero().flatten().tolist() for units in found] == closed(network, task)
