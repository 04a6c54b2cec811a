"""Retention against matrices worked out by hand, and the bootstrap against closed forms."""

import itertools

import numpy as np
import pytest

from evaluation.retention import (
    backward_transfer,
    difference_interval,
    forgetting,
    forward_transfer,
    fraction,
    human_normalised,
    iqm,
    learned,
    learned_first,
    mean_over_seeds,
    percentile_interval,
    ratio_interval,
    resampled,
    retained,
    stratified_bootstrap,
    student_quantile,
    total_clipped,
    welch_interval,
    whole_iqm,
)

NAN = float("nan")

# Three games; evaluations in the middle and at the end of visits of 10 frames. Game 0 comes back at frame 30.
FRAMES = np.array([5, 10, 15, 20, 25, 30, 35, 40])
VISITS = [(0, 0, 10), (1, 10, 20), (2, 20, 30), (0, 30, 40)]
SCORES = np.array(
    [
        [0.1, 0.8, 0.5, 0.3, 0.2, 0.1, 0.4, 0.7],
        [0.0, 0.2, 0.6, 0.9, 0.7, 0.5, 0.4, 0.3],
        [-0.1, 0.0, 0.1, 0.3, 0.8, 1.4, 1.1, 1.2],
    ]
)


def equal(found, expected):
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def rng(seed=0):
    return np.random.default_rng(seed)


# -- scores -------------------------------------------------------------------------------------------------------


def test_human_normalised():
    scores = np.array([[10.0, 30.0], [-5.0, 5.0]])
    equal(human_normalised(scores, np.array([10.0, 5.0]), np.array([20.0, 15.0])), [[0.0, 2.0], [-1.0, 0.0]])
    equal(human_normalised(np.array([15.0, 5.0]), np.array([10.0, 5.0]), np.array([20.0, 5.0])), [0.5, NAN])


def test_the_total_is_clipped_above_and_not_below():
    equal(total_clipped(np.array([[0.5, 3.0], [-2.0, 1.0], [1.5, 0.25]])), [0.5 - 2.0 + 1.0, 1.0 + 1.0 + 0.25])
    equal(total_clipped(np.array([[0.5, 0.5], [NAN, 1.0]])), [NAN, 1.5])


# -- learning and forgetting ----------------------------------------------------------------------------------------


def test_learned_is_the_end_of_the_last_visit():
    equal(learned(SCORES, FRAMES, VISITS), [0.7, 0.9, 1.4])
    equal(learned(SCORES, FRAMES, VISITS[:3]), [0.8, 0.9, 1.4])


def test_learned_first_is_the_end_of_the_first_visit():
    equal(learned_first(SCORES, FRAMES, VISITS), [0.8, 0.9, 1.4])
    equal(learned_first(SCORES, FRAMES, VISITS[1:]), [0.7, 0.9, 1.4])


def test_learned_takes_the_first_evaluation_after_a_visit_that_ends_between_two():
    equal(learned(SCORES, FRAMES, [(0, 0, 11), (1, 11, 20)]), [0.5, 0.9, NAN])


def test_a_visit_after_which_nobody_looked_has_no_result():
    equal(learned(SCORES, FRAMES, [*VISITS, (1, 40, 50)]), [0.7, NAN, 1.4])


def test_retained_is_the_mean_of_the_last_evaluations():
    equal(retained(SCORES, FRAMES, VISITS), [0.55, 0.4, (1.4 + 1.1 + 1.2) / 3])  # game 0: of its last visit, two
    equal(retained(SCORES, FRAMES, VISITS, count=1), SCORES[:, -1])
    equal(retained(SCORES, FRAMES, VISITS[:1], count=100), SCORES.mean(1))
    line = np.array([[1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 4.0]])
    equal(retained(line, np.array([1, 2, 3, 4]), [(1, 0, 4), (0, 4, 9)]), [4.0, 3.0])  # its visit has just begun


# Two rounds of two games, each visit of 10 frames; every game at the rounds' ends, the game just left between them.
ROUNDS = [(0, 0, 10), (1, 10, 20), (0, 20, 30), (1, 30, 40)]
AT = np.array([10, 20, 30, 40])
ROUND_SCORES = np.array([[0.8, 0.5, 0.9, 0.3], [NAN, 0.7, NAN, 0.6]])


def test_an_evaluation_of_the_game_just_left_tells_of_it_and_of_no_other():
    equal(learned(ROUND_SCORES, AT, ROUNDS), [0.9, 0.6])
    equal(retained(ROUND_SCORES, AT, ROUNDS), [0.3, 0.6])  # not (0.9 + 0.3) / 2: at 30 nothing could be lost yet
    equal(forgetting(ROUND_SCORES, AT, ROUNDS), [0.6, 0.0])
    equal(backward_transfer(ROUND_SCORES, AT, ROUNDS), [-0.6, NAN])
    equal(forward_transfer(ROUND_SCORES, AT, ROUNDS, np.zeros(2)), [NAN, NAN])  # nobody looked at game 1 before 10


def test_evaluations_of_one_game_between_those_of_all_change_none_of_what_is_counted_from_these():
    """Seven more columns, none of which is the first of its game after its last visit."""
    some = np.array([5, 12, 15, 28, 33, 36, 39])
    more = np.full((3, len(some)), NAN)
    more[np.arange(len(some)) % 3, np.arange(len(some))] = -9.0
    order = np.argsort(np.concatenate([FRAMES, some]))
    frames, scores = np.concatenate([FRAMES, some])[order], np.concatenate([SCORES, more], 1)[:, order]
    equal(retained(scores, frames, VISITS), retained(SCORES, FRAMES, VISITS))
    equal(learned(scores, frames, VISITS), learned(SCORES, FRAMES, VISITS))


def test_a_run_under_way_is_told_as_far_as_each_game_was_looked_at():
    """Stopped at 35: game 0 was left since the last evaluation of all."""
    scores, frames, visits = ROUND_SCORES[:, :3], AT[:3], [*ROUNDS[:3], (1, 30, 35)]
    equal(learned(scores, frames, visits), [0.9, NAN])
    equal(retained(scores, frames, visits), [0.9, 0.7])
    equal(backward_transfer(scores, frames, visits), [0.0, NAN])


def test_what_an_untrained_agent_scores_is_no_transfer():
    scores, frames = np.array([[0.1, 0.8, 0.5], [0.4, NAN, 0.7]]), np.array([0, 10, 20])
    equal(forward_transfer(scores, frames, ROUNDS[:2], np.zeros(2)), [NAN, NAN])
    scores[1, 1] = 0.6
    equal(forward_transfer(scores, frames, ROUNDS[:2], np.zeros(2)), [NAN, 0.6])


def test_forgetting_is_what_is_lost():
    equal(forgetting(SCORES, FRAMES, VISITS), [0.7 - 0.55, 0.9 - 0.4, 1.4 - 3.7 / 3])
    equal(forgetting(SCORES, FRAMES, VISITS, count=1), [0.0, 0.6, 0.2])


def test_transfer_by_hand():
    # Backward: games 1 and 2, from 0.9 to 0.3 and from 1.4 to 1.2. Game 0 was played last.
    equal(backward_transfer(SCORES, FRAMES, VISITS), [NAN, -0.6, -0.2])
    # Forward: game 1 at frame 10, game 2 at frame 20. Game 0 was played first.
    equal(forward_transfer(SCORES, FRAMES, VISITS, np.zeros(3)), [NAN, 0.2, 0.3])
    equal(forward_transfer(SCORES, FRAMES, VISITS, np.array([9.0, 0.1, 0.5])), [NAN, 0.1, -0.2])


def test_transfer_is_that_of_the_accuracy_matrix_where_every_game_comes_once():
    draws = rng(3).normal(size=(5, 5))  # R_ij: score in j after the visit of i, as Lopez-Paz and Ranzato write it
    frames, visits = np.arange(1, 6) * 10, [(i, i * 10, i * 10 + 10) for i in range(5)]
    baseline = np.linspace(-1, 1, 5)
    backward = np.mean([draws[4, i] - draws[i, i] for i in range(4)])
    forward = np.mean([draws[i - 1, i] - baseline[i] for i in range(1, 5)])
    assert np.nanmean(backward_transfer(draws.T, frames, visits)) == pytest.approx(backward)
    assert np.nanmean(forward_transfer(draws.T, frames, visits, baseline)) == pytest.approx(forward)


def test_shares_of_what_a_single_game_agent_reaches():
    random, single = np.array([1.0, 2.0, 5.0]), np.array([11.0, 6.0, 5.0])
    equal(fraction(np.array([6.0, 2.0, 7.0]), random, single), [0.5, 0.0, NAN])
    equal(fraction(np.array([12.0, 1.0, NAN]), random, single), [1.1, -0.25, NAN])
    equal(fraction(np.array([21.0, -9.0, 9.0]), random, single), [1.5, -1.0, NAN])  # 2 and -2.75 are clipped


def test_one_evaluation():
    scores, frames = np.array([[0.5], [0.2]]), np.array([20])
    visits = [(0, 0, 10), (1, 10, 20)]
    equal(learned(scores, frames, visits), [0.5, 0.2])
    equal(retained(scores, frames, visits), [0.5, 0.2])
    equal(forgetting(scores, frames, visits), [0.0, 0.0])
    equal(backward_transfer(scores, frames, visits), [0.0, NAN])
    equal(forward_transfer(scores, frames, visits, np.zeros(2)), [NAN, NAN])  # nobody looked before the visit


def test_a_game_that_was_never_visited():
    visits = [(0, 0, 10), (1, 10, 40)]
    equal(learned(SCORES, FRAMES, visits), [0.8, 0.3, NAN])
    equal(forgetting(SCORES, FRAMES, visits), [0.8 - 0.4, 0.3 - 0.4, NAN])
    equal(backward_transfer(SCORES, FRAMES, visits), [0.7 - 0.8, NAN, NAN])
    equal(forward_transfer(SCORES, FRAMES, visits, np.zeros(3)), [NAN, 0.2, NAN])


def test_nothing_at_all():
    nothing = np.empty((2, 0))
    equal(learned(SCORES, FRAMES, []), [NAN] * 3)
    equal(retained(nothing, np.array([]), []), [NAN, NAN])
    equal(forgetting(nothing, np.array([]), [(0, 0, 10)]), [NAN, NAN])
    for visits in ([], [(0, 0, 10)]):
        equal(backward_transfer(nothing, np.array([]), visits), [NAN, NAN])
        equal(forward_transfer(nothing, np.array([]), visits, np.zeros(2)), [NAN, NAN])
    equal(backward_transfer(SCORES, FRAMES, []), [NAN] * 3)


# -- many seeds -----------------------------------------------------------------------------------------------------


def test_the_interquartile_mean_leaves_a_quarter_out_at_both_ends():
    assert iqm(np.array([[100.0, 2.0], [3.0, -50.0]])) == 2.5
    assert iqm(np.arange(8.0).reshape(2, 4)) == np.mean([2, 3, 4, 5])
    assert iqm(np.array([[1.0, 2.0, 30.0]])) == 11.0  # of three none is a quarter
    assert iqm(np.array([[NAN, 100.0, 2.0, 3.0, -50.0]])) == 2.5
    assert np.isnan(iqm(np.array([[NAN]])))


def test_the_interval_of_an_iqm_is_of_all_games_or_is_none():
    assert whole_iqm(np.array([[1.0, 2.0], [NAN, 3.0]])) == 2.0
    scores = np.array([[0.0, 1.0, 1.0], [0.1, NAN, NAN]])  # the mean is mostly of games that have one seed
    assert np.isnan(stratified_bootstrap(scores, whole_iqm, rng(), count=50)).all()


def test_missing_seeds_are_left_out_of_the_mean():
    equal(mean_over_seeds(np.array([[1.0, NAN, 2.0], [3.0, NAN, NAN]])), [2.0, NAN, 2.0])


def test_resamples_draw_whole_runs_within_every_stratum():
    scores = np.array([[0.0, 10.0], [1.0, 11.0], [2.0, 12.0]])
    together = resampled(scores, lambda sample: sample.copy(), rng(), count=1000)
    assert (together[..., 1] == together[..., 0] + 10).all() and set(together[..., 0].ravel()) == {0.0, 1.0, 2.0}
    samples = resampled(scores, lambda sample: sample.copy(), rng(), count=4000, strata=[0, 1])
    assert samples.shape == (4000, 3, 2)
    assert set(samples[..., 0].ravel()) == {0.0, 1.0, 2.0} and set(samples[..., 1].ravel()) == {10.0, 11.0, 12.0}
    # Independently in the two games: all nine pairs of first rows, equally often.
    pairs, counts = np.unique(samples[:, 0], axis=0, return_counts=True)
    assert len(pairs) == 9 and np.abs(counts - 4000 / 9).max() < 5 * np.sqrt(4000 / 9)


def test_the_interval_of_a_mean_of_two_seeds_is_that_of_all_its_resamples():
    # Of two seeds the mean is 0, 1/2 or 1 with probability 1/4, 1/2, 1/4: beyond 95 % all of it, at 40 % only 1/2.
    scores = np.array([[0.0], [1.0]])
    equal(stratified_bootstrap(scores, mean_over_seeds, rng()), ([0.0], [1.0]))
    equal(stratified_bootstrap(scores, mean_over_seeds, rng(), level=0.4), ([0.5], [0.5]))


def test_the_bootstrap_has_the_spread_of_all_possible_resamples():
    scores = np.array([[1.0, -2.0], [2.0, 0.0], [6.0, 5.0]])

    def total(sample):
        return mean_over_seeds(sample).sum(0)

    each = [[np.mean(draw) for draw in itertools.product(column, repeat=3)] for column in scores.T]
    exact = [a + b for a, b in itertools.product(*each)]
    found = resampled(scores, total, rng(), count=20_000, strata=[0, 1])
    assert found.mean() == pytest.approx(np.mean(exact), abs=5 * np.std(exact) / 20_000**0.5)
    assert found.std() == pytest.approx(np.std(exact), rel=0.03)
    low, high = percentile_interval(found)
    assert (low, high) == pytest.approx(np.quantile(exact, [0.025, 0.975]), abs=0.4)


def test_trailing_axes_are_kept_together():
    scores = rng(1).normal(size=(4, 3, 7))
    low, high = stratified_bootstrap(scores, lambda sample: mean_over_seeds(sample).sum(0), rng(), count=300)
    centre = scores.mean(0).sum(0)
    assert low.shape == high.shape == (7,) and (low < centre).all() and (centre < high).all()


def test_the_generator_decides():
    scores = rng(1).normal(size=(4, 3))
    one, same, other = (stratified_bootstrap(scores, mean_over_seeds, rng(seed), count=50) for seed in (5, 5, 6))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


def test_a_single_seed_has_no_interval():
    assert np.isnan(stratified_bootstrap(np.ones((1, 2)), mean_over_seeds, rng())).all()
    # Nor has a game that one seed lacks, of two; the other game keeps its own.
    low, high = stratified_bootstrap(np.array([[NAN, 1.0], [2.0, 3.0]]), mean_over_seeds, rng())
    equal(low, [NAN, 1.0])
    equal(high, [NAN, 3.0])


def test_a_missing_seed_is_never_drawn():
    scores = np.array([[1.0, 5.0], [NAN, 6.0], [3.0, 7.0]])
    samples = resampled(scores, lambda sample: sample.copy(), rng(), count=200)
    assert np.isnan(samples[:, 2, 0]).all() and set(samples[:, :2, 0].ravel()) == {1.0, 3.0}
    assert not np.isnan(samples[..., 1]).any()


def test_the_difference_of_two_agents():
    one, other = np.array([[2.0, 4.0], [4.0, 6.0]]), np.array([[1.0, 1.0], [1.0, 1.0], [1.0, 1.0]])
    low, high = difference_interval(one, other, rng())
    assert (low, high) == (2.0, 4.0)  # the extremes have probability 1/16 each, more than the 2.5 % cut off
    assert np.isnan(difference_interval(one, other[:1], rng())).all()


@pytest.mark.slow
def test_the_interval_of_a_difference_of_equal_agents_holds_0_as_often_as_it_says():
    draws, hits = rng(11), 0
    for _ in range(200):
        one, other = draws.normal(size=(2, 8, 5))
        low, high = difference_interval(one, other, draws, count=200)
        hits += bool(low <= 0 <= high)
    assert 0.88 <= hits / 200 <= 0.99  # percentile intervals of few seeds are somewhat too narrow


@pytest.mark.parametrize("freedom, expected", [(1, 12.7062), (2, 4.30265), (3, 3.18245), (10, 2.22814), (100, 1.98397)])
def test_students_quantiles_are_those_of_the_tables(freedom, expected):
    assert student_quantile(0.975, freedom) == pytest.approx(expected, rel=1e-4)
    assert student_quantile(0.75, 1) == pytest.approx(1.0, rel=1e-4)  # Cauchy's upper quartile


def test_welchs_interval_by_hand():
    # Means 4 and 1, variances of the means 4 / 3 and 0: two degrees of freedom, 3 +- 4.30265 sqrt(4 / 3).
    one, other = np.array([2.0, 4.0, 6.0]), np.array([1.0, 1.0, 1.0])
    reach = 4.30265 * (4 / 3) ** 0.5
    assert welch_interval(one, other) == pytest.approx((3 - reach, 3 + reach), rel=1e-4)
    # Equal spreads and counts: 2 (S - 1) degrees of freedom, as without Welch.
    reach = 2.77645 * (8 / 3) ** 0.5
    assert welch_interval(one, one - 10) == pytest.approx((10 - reach, 10 + reach), rel=1e-4)
    assert welch_interval(other, other) == (0.0, 0.0)
    assert np.isnan(welch_interval(one, one[:1])).all()


@pytest.mark.slow
def test_welchs_interval_of_three_seeds_holds_the_difference_as_often_as_it_says():
    draws = rng(3)
    pairs = [draws.normal(size=(2, 3)) for _ in range(300)]
    hits = sum(low <= 0 <= high for low, high in (welch_interval(*pair) for pair in pairs))
    assert 0.93 <= hits / 300 <= 0.995


def test_the_interval_of_a_ratio_draws_both_sides():
    low, high = ratio_interval(np.array([1.0, 3.0]), np.array([2.0, 4.0]), rng())
    assert (low, high) == (0.25, 1.5)  # 1 / 4 and 3 / 2 have probability 1/16 each
    assert np.isnan(ratio_interval(np.array([1.0, 3.0]), np.array([2.0]), rng())).all()
