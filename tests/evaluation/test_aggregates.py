"""Performance profiles and the probability of improvement against cases worked out by hand."""

import itertools

import numpy as np
import pytest

from evaluation.aggregates import (
    improvement_interval,
    performance_profile,
    probability_of_improvement,
    profile_interval,
)

NAN = float("nan")
ONE = np.array([[0.0, 5.0], [1.0, 6.0], [2.0, 7.0]])  # three seeds of two tasks
OTHER = np.array([[1.0, 9.0], [1.5, 8.0]])  # two seeds


def rng():
    return np.random.default_rng(0)


def test_a_profile_is_the_share_of_runs_above_each_threshold():
    found = performance_profile(ONE, np.array([-1.0, 0.0, 1.0, 5.5, 7.0]))
    assert found.tolist() == pytest.approx([1, 5 / 6, 4 / 6, 2 / 6, 0])  # strictly above


def test_every_task_counts_the_same_whatever_its_seeds():
    scores = np.array([[1.0, 0.0], [NAN, 0.0], [NAN, 1.0]])
    assert performance_profile(scores, np.array([0.5])).tolist() == pytest.approx([(1 + 1 / 3) / 2])


def test_a_task_without_runs_makes_no_profile():
    assert np.isnan(performance_profile(np.array([[1.0, NAN]]), np.array([0.5]))).all()


def test_probability_of_improvement_counts_pairs_and_ties_as_half():
    # Task 0: of (0 1 2) x (1 1.5), 2 beats both, 1 ties with 1: 2.5 of 6. Task 1: none of 6.
    assert probability_of_improvement(ONE, OTHER) == pytest.approx(2.5 / 6 / 2)
    assert probability_of_improvement(OTHER, ONE) == pytest.approx(1 - 2.5 / 6 / 2)
    assert probability_of_improvement(ONE, ONE) == pytest.approx(0.5)


def test_it_equals_a_loop_over_all_pairs():
    one, other = rng().integers(4, size=(4, 3)).astype(float), rng().integers(4, size=(5, 3)).astype(float)
    one[1, 2] = NAN
    tasks = []
    for task in range(3):
        pairs = [(a, b) for a, b in itertools.product(one[:, task], other[:, task]) if a == a and b == b]
        tasks.append(sum(1.0 if a > b else 0.5 if a == b else 0.0 for a, b in pairs) / len(pairs))
    assert probability_of_improvement(one, other) == pytest.approx(np.mean(tasks))


def test_intervals_hold_the_value_and_are_points_where_seeds_agree():
    thresholds = np.array([0.5, 1.5])
    low, high = profile_interval(ONE, thresholds, rng(), 500)
    value = performance_profile(ONE, thresholds)
    assert (low <= value).all() and (value <= high).all() and (low < high).all()
    same = np.ones((3, 2))
    low, high = profile_interval(same, thresholds, rng(), 50)
    assert low.tolist() == high.tolist() == [1.0, 0.0]
    assert improvement_interval(same + 1, same, rng(), 50) == (1.0, 1.0)
    low, high = improvement_interval(ONE, OTHER, rng(), 500)
    assert low < probability_of_improvement(ONE, OTHER) < high


def test_a_single_seed_has_no_interval():
    assert np.isnan(improvement_interval(ONE[:1], OTHER, rng(), 20)).all()
