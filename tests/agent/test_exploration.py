"""Epsilon's schedule at its corners, and coins that are flipped per emulator."""

import numpy as np
import pytest
import torch

from agent.exploration import LinearEpsilon, epsilon_greedy, ladder


def test_schedule_at_its_corners():
    epsilon = LinearEpsilon(1.0, (0.01,), hold_frames=200_000, decay_frames=4_000_000)
    assert epsilon(0) == epsilon(200_000) == 1.0
    assert epsilon(2_200_000) == pytest.approx(0.505)
    assert epsilon(4_200_000) == epsilon(10**9) == pytest.approx(0.01)


def test_every_emulator_comes_to_an_epsilon_of_its_own():
    ends = ladder(0.4, 7.0, 8)
    assert ends[0] == 0.4 and ends[-1] == pytest.approx(0.4**8)
    assert np.diff(np.log(ends)) == pytest.approx(np.full(7, np.log(0.4)))  # a geometric ladder
    epsilon = LinearEpsilon(1.0, ends, hold_frames=100, decay_frames=100)
    assert (epsilon(100) == 1.0).all() and epsilon(150) == pytest.approx((1 + np.array(ends)) / 2)
    assert epsilon(10**6) == pytest.approx(ends)
    assert ladder(0.01, 0.0, 3) == (0.01,) * 3 and ladder(0.4, 7.0, 1) == (0.4,)


def test_an_emulator_explores_as_its_own_epsilon_says():
    rng = np.random.default_rng(3)
    greedy = preferring(18, 3, actions=19)
    explored = np.array([epsilon_greedy(greedy, np.array([0.0, 0.2, 1.0]), rng) != 18 for _ in range(4000)]).mean(0)
    assert explored[0] == 0.0 and explored[1:] == pytest.approx(np.array([0.2, 1.0]) * 18 / 19, abs=0.02)


def preferring(action, emulators, actions=18):
    """Values of which this action's is the greatest for every emulator."""
    values = torch.zeros(emulators, actions)
    values[:, action] = 1.0
    return values


def test_each_emulator_flips_its_own_coin():
    rng = np.random.default_rng(0)
    greedy = preferring(18, 8, actions=19)  # exploring draws the greedy action as well, one time in 19
    explored = np.array([epsilon_greedy(greedy, 0.3, rng) != 18 for _ in range(4000)])
    assert explored.mean() == pytest.approx(0.3 * 18 / 19, abs=0.01)
    both = (explored[:, 0] & explored[:, 1]).mean()
    assert both == pytest.approx((0.3 * 18 / 19) ** 2, abs=0.015)  # independent: not the single probability


def test_exploring_actions_are_uniform_over_all_actions():
    rng = np.random.default_rng(1)
    actions = np.concatenate([epsilon_greedy(preferring(0, 16), 1.0, rng) for _ in range(2000)])
    counts = np.bincount(actions, minlength=18)
    expected = len(actions) / 18
    assert len(counts) == 18 and ((counts - expected) ** 2 / expected).sum() < 40.8  # chi-square, 17 df, p = 0.001


def test_without_exploration_every_emulator_takes_its_greatest_value():
    values = torch.tensor([[0.0, 2.0, 1.0], [3.0, -1.0, 0.0], [0.0, 0.0, 0.5]])
    actions = epsilon_greedy(values, 0.0, np.random.default_rng(0))
    assert actions.tolist() == [1, 0, 2] and actions.dtype == np.int64


def test_the_generator_moves_on_alike_whatever_epsilon_is():
    a, b = np.random.default_rng(2), np.random.default_rng(2)
    epsilon_greedy(preferring(0, 4), 0.0, a)
    epsilon_greedy(preferring(0, 4), 1.0, b)
    assert a.random() == b.random()
