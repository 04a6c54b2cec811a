"""Noise shaped by the Fisher information against closed forms, and its way into and out of a network."""

import math

import pytest
import torch

from agent.fast.network import FastNetwork
from agent.fisher import exact_softmax_squares
from agent.networks import Architecture, QNetwork
from agent.taps import LinearTap
from experiments.perturbation.noise import (
    KINDS,
    changed,
    deviations,
    divergence,
    draw,
    expected_increase,
    least_informative,
    perturbed,
)

FISHER = [torch.tensor([[0.0, 0.5, 2.0], [1e-7, 1.0, 0.25]]), torch.tensor([4.0, 0.0])]
LEAST = 0.25  # with 0, 1e-7 and 0 below it
VARIANCES = {  # at scale 1, by hand
    "uniform": [1.0] * 8,
    "inverse_fisher": [v * 8 / 19.75 for v in (4, 2, 0.5, 4, 1, 4, 0.25, 4)],
    "null_space": [v * 8 / 3 for v in (1, 0, 0, 1, 0, 0, 0, 1)],
}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def whole(fisher):
    """It, and that every weight is used."""
    return fisher, [torch.ones_like(f, dtype=torch.bool) for f in fisher]


def flat(tensors):
    return torch.cat([t.flatten() for t in tensors]).double()


def spread_fisher(seed=0):
    """Fisher information over six decades, a tenth of it zero."""
    fisher = [10 ** (6 * torch.rand(shape, generator=seeded(seed)) - 6) for shape in ((20, 30), (40,))]
    return [f * (torch.rand(f.shape, generator=seeded(seed + 1)) > 0.1) for f in fisher]


def test_the_smallest_informative_value_is_above_the_quantile_and_above_zero():
    values = [torch.tensor([[5.0, 0.0], [3.0, 1.0]]), torch.tensor([2.0, 4.0, 0.0, 6.0, 7.0, 8.0])]
    for quantile, least in ((0.0, 1.0), (0.1, 1.0), (0.2, 1.0), (0.3, 2.0), (0.5, 4.0), (0.9, 8.0)):
        assert least_informative(*whole(values), quantile) == least
    assert least_informative(*whole([torch.tensor([3.0, 3.0, 9.0, 9.0])]), 0.25) == 9.0  # equals stay together
    for nothing in ([torch.zeros(4)], [torch.full((4,), 2.0)]):
        with pytest.raises(ValueError, match="no weight has a Fisher information above"):
            least_informative(*whole(nothing), 0.5)


@pytest.mark.parametrize("kind", KINDS)
def test_the_covariance_of_the_draws_is_that_of_the_closed_form(kind):
    spread, generator, scale, draws = deviations(*whole(FISHER), kind, LEAST), seeded(), 0.3, 20_000
    torch.testing.assert_close(flat(spread).square(), torch.tensor(VARIANCES[kind]).double())
    noise = torch.stack([flat(draw(spread, scale, generator)) for _ in range(draws)])
    expected = torch.tensor(VARIANCES[kind]).double() * scale**2
    error = noise.T @ noise / draws - expected.diag()
    spread_of_error = (expected[:, None] * expected * (1 + torch.eye(8)) / draws).sqrt()
    assert (error.abs() <= 5 * spread_of_error).all()  # where there is no noise, exactly


@pytest.mark.parametrize("kind", KINDS)
def test_all_kinds_have_the_same_norm(kind):
    fisher = spread_fisher()
    spread = deviations(*whole(fisher), kind, least_informative(*whole(fisher), 0.2))
    assert float(flat(spread).square().mean()) == pytest.approx(1, rel=1e-6)
    generator = seeded(2)
    norms = [float(flat(draw(spread, 0.01, generator)).square().mean()) for _ in range(300)]
    assert sum(norms) / 300 == pytest.approx(0.01**2, rel=0.05)


def test_noise_of_the_null_space_leaves_informative_weights_bit_for_bit():
    fisher = spread_fisher()
    least = least_informative(*whole(fisher), 0.2)
    weights = [torch.randn(f.shape, generator=seeded(3)) for f in fisher]
    before = [w.clone() for w in weights]
    with perturbed(weights, draw(deviations(*whole(fisher), "null_space", least), 10.0, seeded(4))):
        for weight, kept, f in zip(weights, before, fisher, strict=True):
            assert torch.equal(weight[f >= least], kept[f >= least])
            assert (weight[f < least] != kept[f < least]).all() and (f < least).any()


def test_an_empty_null_space_and_unknown_kinds_are_refused():
    with pytest.raises(ValueError, match="the null space is empty"):
        deviations(*whole([torch.tensor([1.0, 2.0])]), "null_space", 1.0)
    with pytest.raises(ValueError, match="unknown kind of noise 'pink'"):
        deviations(*whole([torch.tensor([1.0, 2.0])]), "pink", 1.0)


def test_weights_that_are_not_used_are_in_no_noise_and_no_norm():
    used = [torch.tensor([[True, True, False], [True, False, True]]), torch.tensor([True, False])]
    alone = [torch.cat([f[here] for f, here in zip(FISHER, used, strict=True)])]
    least = least_informative(FISHER, used, 0.2)
    assert least == least_informative(*whole(alone), 0.2)
    for kind in KINDS:
        spread = deviations(FISHER, used, kind, least)
        assert not any(d[~here].any() for d, here in zip(spread, used, strict=True))
        its = torch.cat([d[here] for d, here in zip(spread, used, strict=True)])
        torch.testing.assert_close(its, deviations(*whole(alone), kind, least)[0])


def test_noise_on_a_linear_gaussian_model_costs_what_the_fisher_expects():
    """y = W x + N(0, 1): the mean loss rises by |delta x|^2 / 2, and F of W[o, i] is E[x_i^2]."""
    inputs = torch.randn(500, 6, generator=seeded()) * torch.tensor([0.03, 0.1, 0.5, 1.0, 3.0, 10.0])
    fisher, scale, generator, draws = [inputs.square().mean(0).expand(4, 6).clone()], 0.2, seeded(1), 4000
    costs = {}
    for kind in KINDS:
        spread = deviations(*whole(fisher), kind, least_informative(*whole(fisher), 0.2))
        expected = expected_increase(fisher, spread, scale)
        deltas = [draw(spread, scale, generator)[0] for _ in range(draws)]
        increase = torch.stack([(inputs @ delta.T).square().sum(1).mean() / 2 for delta in deltas])
        assert float(increase.mean()) == pytest.approx(expected, abs=5 * float(increase.std()) / draws**0.5)
        costs[kind] = expected
    assert costs["uniform"] == pytest.approx(scale**2 / 2 * float(fisher[0].double().sum()))
    bounded = fisher[0].clamp_min(least_informative(*whole(fisher), 0.2)).double()
    assert costs["inverse_fisher"] == pytest.approx(
        scale**2 / 2 * 24 * float((fisher[0] / bounded).mean() / (1 / bounded).mean()), rel=1e-5
    )
    assert costs["null_space"] < costs["inverse_fisher"] < costs["uniform"] / 100


@pytest.mark.parametrize("kind", KINDS)
def test_small_noise_on_a_softmax_diverges_as_the_fisher_expects(kind):
    inputs, weight = torch.randn(200, 5, generator=seeded()), torch.randn(3, 5, generator=seeded(1)).requires_grad_()
    logits = inputs @ weight.T
    tap = LinearTap(inputs, logits)
    fisher = [total / 200 for total in exact_softmax_squares(logits, [tap])]
    spread, generator = deviations(*whole(fisher), kind, least_informative(*whole(fisher), 0.3)), seeded(2)
    found = []
    for _ in range(2000):
        with perturbed([weight], draw(spread, 0.01, generator)):
            found.append(divergence(logits.detach(), (inputs @ weight.T).detach()))
    found = torch.tensor(found)
    expected = expected_increase(fisher, spread, 0.01)
    assert float(found.mean()) == pytest.approx(expected, rel=0.02, abs=5 * float(found.std()) / 2000**0.5)


def test_a_network_plays_with_the_noise_and_then_as_before_whatever_happens():
    network = QNetwork(Architecture(((8, 8, 4), (8, 4, 2)), 16), 18, 4, 84, seeded())
    network.add_task()
    pixels = torch.randint(0, 256, (5, 4, 84, 84), dtype=torch.uint8, generator=seeded(1))
    weights, passes = list(network.weights), FastNetwork(network)
    kept, before = [w.detach().clone() for w in weights], passes.forward(pixels, 0)[0].clone()
    noise = draw(deviations(*whole([torch.ones_like(w) for w in kept]), "uniform", 1.0), 0.05, seeded(2))
    with pytest.raises(KeyboardInterrupt), perturbed(weights, noise):
        assert torch.equal(weights[0], kept[0] + noise[0])
        after = passes.forward(pixels, 0)[0].clone()
        torch.testing.assert_close(after, network(pixels, 0).detach(), rtol=1e-4, atol=1e-5)
        assert (after - before).abs().max() > 0.01
        raise KeyboardInterrupt
    assert all(torch.equal(w, k) for w, k in zip(weights, kept, strict=True))
    assert torch.equal(passes.forward(pixels, 0)[0], before)


def test_divergence_and_changed_actions_by_hand():
    before = torch.tensor([[0.0, math.log(3)], [1.0, 1.0]])
    after = torch.tensor([[5.0, 5.0], [7.0, 7.0]])
    exact = (0.25 * math.log(0.5) + 0.75 * math.log(1.5)) / 2  # the second row is the same policy
    assert divergence(before, after) == pytest.approx(exact, rel=1e-6)
    assert divergence(before, before + 3) == pytest.approx(0, abs=1e-7)
    assert changed(before, after) == 0.5 and changed(before, before + 3) == 0
