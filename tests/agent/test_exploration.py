"""Epsilon's schedule at its corners, and coins that are flipped per emulator."""

import numpy as np
import pytest

from agent.exploration import LinearEpsilon, epsilon_greedy


def test_schedule_at_its_corners():
    epsilon = LinearEpsilon(1.0, 0.01, hold_frames=200_000, decay_frames=4_000_000)
    assert epsilon(0) == epsilon(200_000) == 1.0
    assert epsilon(2_200_000) == pytest.approx(0.505)
    assert epsilon(4_200_000) == epsilon(10**9) == pytest.approx(0.01)


def test_each_emulator_flips_its_own_coin():
    rng = np.random.default_rng(0)
    greedy = np.full(8, -1)
    explored = np.array([epsilon_greedy(greedy, 0.3, 18, rng) != -1 for _ in range(4000)])
    assert explored.mean() == pytest.approx(0.3, abs=0.01)
    both = (explored[:, 0] & explored[:, 1]).mean()
    assert both == pytest.approx(0.09, abs=0.015)  # independent: the product, not the single probability


def test_exploring_actions_are_uniform_over_all_actions():
    rng = np.random.default_rng(1)
    actions = np.concatenate([epsilon_greedy(np.zeros(16, dtype=np.int64), 1.0, 18, rng) for _ in range(2000)])
    counts = np.bincount(actions, minlength=18)
    expected = len(actions) / 18
    assert ((counts - expected) ** 2 / expected).sum() < 40.8  # chi-square, 17 degrees of freedom, p = 0.001


def test_the_generator_moves_on_alike_whatever_epsilon_is():
    a, b = np.random.default_rng(2), np.random.default_rng(2)
    epsilon_greedy(np.zeros(4, dtype=np.int64), 0.0, 18, a)
    epsilon_greedy(np.zeros(4, dtype=np.int64), 1.0, 18, b)
    assert a.random() == b.random()
