"""Closed forms against hand, quadrature and brute force; consolidators against recursions; the command."""

import json
import math

import numpy as np
import pytest
import torch

from agent.anchors.online import OnlineEWC
from agent.consolidators.ewc import EWC
from agent.consolidators.laplace import RecursiveLaplace
from experiments.supervised.random_patterns import (
    RULES,
    STRENGTH,
    Learner,
    Measured,
    ewc_noise,
    ewc_signal,
    exponential_integral,
    folded,
    gd_noise,
    gd_signal,
    main,
    minimiser,
    moments,
    one_task_each,
    responses,
    retained,
    retained_until,
    separate_noise,
    separate_signal,
    signal_z,
    simulate,
    smoothed,
)
from tests.commands import code_of


def at(t):
    return np.array(t)


# -- expectations -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("x", "value"),
    [(0.1, -1.6228128139692766), (0.5, 0.45421990486317358), (1.0, 1.8951178163559368), (10.0, 2492.2289762418777)],
)
def test_exponential_integral_has_its_tabulated_values(x, value):
    assert exponential_integral(at(x)) == pytest.approx(value, rel=1e-13)


def test_gradient_descent_by_hand():
    assert gd_signal(at([1, 500, 1000]), at(1000), 1000) == pytest.approx([math.exp(-0.999), math.exp(-0.5), 1])
    assert gd_noise(at(1000), 1000) == pytest.approx(math.sqrt(1 - 1 / math.e))
    assert gd_noise(at(10**6), 1000) == pytest.approx(1) and gd_noise(at(1), 10**8) == pytest.approx(1e-4)


def test_ewc_signal_is_the_same_for_every_pattern():
    assert ewc_signal(at([1, 7, 50]), at(50), 100).tolist() == [2 / 3] * 3
    assert ewc_signal(np.arange(1, 4), np.arange(5, 7)[:, None], 10).shape == (2, 3)


@pytest.mark.parametrize("t", [1, 10, 100, 1000, 20_000])
def test_ewc_noise_solves_its_differential_equation(t):
    # E |w|^2 u^2 e^(n/u) = n^2 * the integral of e^(n/s) over s from n to u; here by Simpson's rule, without Ei.
    n, u = 1000, 1000 + t
    s = np.linspace(n, u, 20_001)
    weights = np.where(np.arange(20_001) % 2, 4, 2)
    weights[[0, -1]] = 1
    integral = (weights * np.exp(n / s)).sum() * (s[1] - s[0]) / 3
    assert ewc_noise(at(t), n) ** 2 == pytest.approx(n * math.exp(-n / u) * integral / u**2, rel=1e-9)


def test_ewc_forgets_by_a_power_law_and_gradient_descent_exponentially():
    n = 1000
    late = at([10**7, 4 * 10**7])
    ratio = ewc_signal(at(1), late, n) / ewc_noise(late, n)
    assert ratio[0] / ratio[1] == pytest.approx(2, rel=1e-3)
    assert ewc_noise(late, n) == pytest.approx(np.sqrt(n / late), rel=1e-3)
    ratio = gd_signal(at(1), at([20 * n, 21 * n]), n) / gd_noise(at([20 * n, 21 * n]), n)
    assert ratio[0] / ratio[1] == pytest.approx(math.e)


def test_what_is_retained_is_what_the_paper_says():
    n, t = 1000, np.arange(1, 3001)
    until = retained_until(t, ewc_signal(t, t, n) / ewc_noise(t, n))
    assert until / n == pytest.approx(0.83, abs=0.005)
    share = retained(gd_signal(np.arange(1, n + 1), at(n), n), float(gd_noise(at(n), n)))
    assert share == pytest.approx(-0.5 * math.log(1 - 1 / math.e), abs=0.001)  # 0.229
    for t, kept in ((800, 1), (850, 0)):
        assert retained(ewc_signal(np.arange(1, t + 1), at(t), n), float(ewc_noise(at(t), n))) == kept


def test_separate_anchors_by_hand():
    n = 10
    first, second = n / (n + 1), n / (n + 2)
    assert separate_signal(at([1, 2]), at(2), n) == pytest.approx([n / (2 * (n + 2)), second])
    # At t = 3 the mean of 0, w_1, w_2 carries (n / (n + 1) + n / (2 n + 4)) / 3 of the first pattern.
    third = (1 - 1 / (n + 3)) * (first + second / 2) / 3
    assert separate_signal(at(1), at(3), n) == pytest.approx(third)
    # One synapse: w_1 = x y / 2, so the mean is 1/4 or -1/4 of x y, and w_2 = 1/2 or 1/6 of x y, equally often.
    assert separate_noise(at([1, 2]), 1) ** 2 == pytest.approx([1 / 4, (1 / 4 + 1 / 36) / 2])


def brute_force(n, patterns, repeats, step):
    """Mean responses [T] with standard errors and E |w|^2 / n [T] of w <- step(t, w, x, y), w and x [R, n]."""
    rng = np.random.default_rng(5)
    x = rng.choice([-1, 1], (patterns, repeats, n)) / math.sqrt(n)
    y = rng.choice([-1, 1], (patterns, repeats))
    weights, squares = [np.zeros((repeats, n))], []
    for t in range(1, patterns + 1):
        weights.append(step(t, weights, x[t - 1], y[t - 1]))
        squares.append((weights[-1] ** 2).sum(1).mean() / n)
    found = np.einsum("trn,rn->tr", x, weights[-1]) * y
    return found.mean(1), found.std(1) / math.sqrt(repeats), np.array(squares)


def delta(start, x, y, eta):
    return start + eta * x * (y - (x * start).sum(1))[:, None]


def latest(n):
    return lambda t, weights, x, y: delta(weights[-1], x, y, n / (n + t))


def average(n):
    return lambda t, weights, x, y: delta(sum(weights) / t, x, y, n / (n + t))


@pytest.mark.parametrize(("step", "signal"), [(latest, ewc_signal), (average, separate_signal)])
def test_signals_that_are_exact_hold_for_six_synapses(step, signal):
    mean, error, _ = brute_force(6, 12, 20_000, step(6))
    assert np.max(np.abs(mean - signal(np.arange(1, 13), at(12), 6)) / error) < 4


def test_the_noise_of_separate_anchors_is_exact_for_six_synapses():
    _, _, squares = brute_force(6, 12, 20_000, average(6))
    assert squares == pytest.approx(separate_noise(np.arange(1, 13), 6) ** 2, rel=0.02)


@pytest.mark.parametrize(
    ("step", "noise"),
    [(latest(100), ewc_noise), (lambda t, weights, x, y: delta(weights[-1], x, y, 100 / 101), gd_noise)],
)
def test_noises_that_are_limits_hold_within_three_percent_for_a_hundred_synapses(step, noise):
    _, _, squares = brute_force(100, 150, 60, step)
    assert np.sqrt(squares) == pytest.approx(noise(np.arange(1, 151), 100), rel=0.03)


# -- learning through the consolidators -------------------------------------------------------------------------


def learned(store, keep, n=20, patterns=40):
    """The weights [T + 1, R, n] of a learner, w_0 first, and its patterns x [T, R, n] and y [T, R]."""
    generator = torch.Generator().manual_seed(3)
    x = torch.randint(0, 2, (patterns, 3, n), generator=generator).double().mul(2).sub(1) / n**0.5
    y = torch.randint(0, 2, (patterns, 3), generator=generator).double().mul(2).sub(1)
    learner = Learner(store, keep, 3, n)
    learner.start()
    weights = [learner.weights]
    for t in range(patterns):
        learner.learn(x[t], y[t])
        weights.append(learner.weights)
    return torch.stack(weights), x, y


def exact(one, other):
    torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("store", "keep", "rate"),
    [
        (OnlineEWC(0.0), one_task_each, lambda t: 1 / (1 + 1 / 20)),
        (RecursiveLaplace(), folded, lambda t: 20 / (20 + t)),
        (RecursiveLaplace(), one_task_each, lambda t: 20 / (20 + t)),
        (OnlineEWC(1.0), one_task_each, lambda t: 20 / (20 + t)),
    ],
)
def test_the_consolidators_path_is_the_recursion(store, keep, rate):
    weights, x, y = learned(store, keep)
    w = weights[0]
    for t in range(1, len(weights)):
        w = w + rate(t) * x[t - 1] * (y[t - 1] - (x[t - 1] * w).sum(1))[:, None]
        exact(weights[t], w)


@pytest.mark.parametrize("keep", [folded, one_task_each])
def test_separate_anchors_start_from_the_mean_of_all_weights(keep):
    weights, x, y = learned(EWC(), keep)
    for t in range(1, len(weights)):
        start = weights[:t].mean(0)
        exact(weights[t], start + 20 / (20 + t) * x[t - 1] * (y[t - 1] - (x[t - 1] * start).sum(1))[:, None])


def test_one_task_each_keeps_a_task_per_pattern_and_folding_keeps_two():
    for store, keep, tasks in ((RecursiveLaplace(), one_task_each, 41), (RecursiveLaplace(), folded, 2)):
        learned(store, keep)
        assert len(store.fishers) == tasks
    store = EWC()
    learned(store, folded)
    assert len(store.anchors) == 2


@pytest.mark.parametrize("store", [OnlineEWC(0.0), RecursiveLaplace(), EWC()])
def test_a_step_minimises_the_error_and_the_consolidators_own_penalty(store):
    learner = Learner(store, one_task_each, 2, 8)
    learner.start()
    generator = torch.Generator().manual_seed(1)
    for _ in range(5):
        x = torch.randint(0, 2, (2, 8), generator=generator).double().mul(2).sub(1) / 8**0.5
        y = torch.tensor([1.0, -1.0], dtype=torch.float64)
        merged, before = learner.consolidator.merged, learner.weights
        w = minimiser(x, y, merged.mean[0], 0.5 * STRENGTH * merged.precision[0]).requires_grad_()
        ((y - (x * w).sum(1)).square().sum() + learner.consolidator.penalty([w])).backward()
        exact(w.grad, torch.zeros_like(w))
        w.grad = None
        (y - (x * w).sum(1)).square().sum().backward()
        assert w.grad.abs().max() > 1e-3
        learner.consolidator.before_step([w])  # adds the penalty's gradient
        exact(w.grad, torch.zeros_like(w))
        learner.learn(x, y)
        exact(learner.weights, w.detach())
        assert not torch.equal(learner.weights, before)


# -- measuring --------------------------------------------------------------------------------------------------


def test_responses_are_products_with_every_pattern():
    signs = torch.tensor([[[1, -1]], [[1, 1]], [[-1, 1]]], dtype=torch.int8)
    targets = torch.tensor([[1.0], [-1.0], [-1.0]]).double()
    weights = torch.tensor([[[1.0, 0.0], [3.0, 2.0]]]).double()
    found = responses(signs, targets, weights, chunk=2)
    assert found[:, :, 0] * 2**0.5 == pytest.approx(np.array([[-2, -4, -2], [-2, -2, -2]]))


def test_smoothing_averages_neighbours_but_neither_the_oldest_nor_the_newest():
    profile = np.array([9, 7, 5, 3, 1, 2, 6, 0, 100], float)
    assert smoothed(profile, 5) == pytest.approx([9, 7, 5, 3, 2, 3, 8 / 3, 0, 100])
    assert smoothed(profile, 0) == pytest.approx(profile)


def test_retained_counts_signals_above_the_noise():
    assert retained(np.array([0.5, 2.0, 3.0, 0.9]), 1.0) == 0.5
    assert retained_until([10, 40, 90], np.array([2.0, 0.5, 0.1])) == pytest.approx(20)
    assert retained_until([10, 40], np.array([3.0, 2.0])) is None
    assert retained_until([10, 40], np.array([0.9, 0.5])) is None


def test_deviations_are_counted_in_standard_errors_of_the_mean_over_repeats():
    expected = np.array([ewc_signal(part, at(8), 100).mean() for part in np.arange(1, 9).reshape(4, 2)])
    noise = np.tile([0.1, -0.1], (4, 8))  # 16 repeats
    error = noise[0].std(ddof=1) / 4
    noise[2] += 1.5 * error
    quarters = expected[:, None] + noise
    assert signal_z(Measured(np.ones(8), [np.ones(8)], [quarters]), RULES["ewc"], 100) == pytest.approx(1.5)


def test_the_times_include_the_number_of_synapses():
    for synapses, patterns in ((100, 100), (100, 301), (1000, 3000)):
        times = moments(patterns, synapses)
        assert times == sorted(set(times)) and times[-1] == patterns and synapses in times and times[0] >= 40


def test_the_simulation_agrees_with_what_is_expected():
    times = [60, 150, 300]
    for name, one in simulate(200, 300, 24, 2, times).items():
        rule = RULES[name]
        assert one.noise == pytest.approx(rule.noise(np.arange(1, 301), 200), rel=0.03)
        assert signal_z(one, rule, 200) < 4
        assert [len(profile) for profile in one.profiles] == times
        assert [quarters.shape for quarters in one.quarters] == [(4, 24)] * 3


# -- the command ------------------------------------------------------------------------------------------------

SMALL = ["--synapses", "100", "--patterns", "120", "--repeats", "8", "--json"]


def report(capsys, tmp_path, *arguments):
    assert main([*SMALL, "--figure", str(tmp_path / "new" / "figure.png"), *arguments]) == 0
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_the_last_line_is_json_with_the_promised_keys_and_the_seed_decides(capsys, tmp_path):
    one, same, other = (report(capsys, tmp_path, "--seed", seed) for seed in ("1", "1", "2"))
    assert set(one) >= {
        *("gd_noise_error", "ewc_noise_error", "gd_signal_z", "ewc_signal_z"),
        *("ewc_retained_until", "gd_retained_at_n"),
    }
    assert one["ewc_noise_error"] < 0.1 and one["ewc_signal_z"] < 6  # eight repeats
    assert one["ewc_retained_until"] == pytest.approx(0.83, abs=0.2)
    assert one["gd_retained_at_n"] == pytest.approx(0.23, abs=0.2)
    assert (tmp_path / "new" / "figure.png").stat().st_size > 10_000
    for found in (one, same, other):
        del found["seconds"]
    assert one == same != other


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--synapses", "99"], "--synapses"),
        (["--synapses", "1000000000000"], "--synapses: must lie between 100 and 20,000"),
        (["--synapses", "many"], "--synapses"),
        (["--patterns", "99"], "--patterns"),
        (["--patterns", "0"], "--patterns"),
        (["--repeats", "1"], "--repeats"),
        (["--seed", "-1"], "--seed"),
        (["--figure", "figure.txt"], ".png"),
        (["--figure", f"{__file__}/figure.png"], "test_random_patterns"),
        (["--pattern_count", "5"], "--pattern_count"),
    ],
)
def test_mistakes_are_one_sentence(arguments, told, capsys):
    assert code_of(main, [*SMALL, *arguments]) == 2
    complaint = capsys.readouterr().err.strip()
    assert told in complaint and "\n" not in complaint
