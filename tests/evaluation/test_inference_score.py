"""Agreement of tasks with games, against tables small enough to count by hand."""

import itertools

import numpy as np
import pytest

from evaluation.inference_score import InferenceScore, adjusted_rand_index, coverage, purity

TABLE = {"krull": {0: 6, 1: 2}, "boxing": {1: 3, 2: 1}}


def test_purity_and_coverage_by_hand():
    assert purity(TABLE) == (6 + 3 + 1) / 12
    assert coverage(TABLE) == (6 / 8 + 3 / 4) / 2


def test_one_task_for_all_is_covered_but_not_pure():
    table = {"krull": {0: 30}, "boxing": {0: 10}}
    assert purity(table) == 0.75 and coverage(table) == 1.0 and adjusted_rand_index(table) == 0.0


def test_a_task_for_every_step_is_pure_but_does_not_cover():
    table = {"krull": {0: 1, 1: 1}, "boxing": {2: 1, 3: 1}}
    assert purity(table) == 1.0 and coverage(table) == 0.5 and adjusted_rand_index(table) == 0.0


def test_the_adjusted_rand_index_counts_pairs():
    """Against its definition over all pairs of steps."""
    steps = [(game, task) for game, row in TABLE.items() for task, count in row.items() for _ in range(count)]
    same_game, same_task, both, pairs = 0, 0, 0, 0
    for (game, task), (other, another) in itertools.combinations(steps, 2):
        same_game += game == other
        same_task += task == another
        both += game == other and task == another
        pairs += 1
    expected = same_game * same_task / pairs
    assert adjusted_rand_index(TABLE) == pytest.approx((both - expected) / ((same_game + same_task) / 2 - expected))


def test_it_is_zero_on_average_for_tasks_by_chance_and_blind_to_names():
    rng = np.random.default_rng(0)
    values = []
    for _ in range(200):
        table = {"a": {}, "b": {}, "c": {}}
        for game, task in zip(rng.choice(["a", "b", "c"], 60), rng.integers(4, size=60), strict=True):
            table[game][int(task)] = table[game].get(int(task), 0) + 1
        values.append(adjusted_rand_index(table))
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(len(values))
    assert adjusted_rand_index({"a": {7: 5}, "b": {3: 4}}) == 1.0


def fed(*stretches):
    """A score after stretches of (game, task, steps)."""
    score = InferenceScore()
    for game, task, steps in stretches:
        for _ in range(steps):
            score.record(game, task)
    return score


def test_a_delay_is_what_passes_until_a_right_task():
    score = fed(("a", 0, 50), ("b", 0, 3), ("b", 1, 40), ("a", 1, 5), ("a", 0, 45), ("b", 1, 20))
    assert sorted(score.delays.elements()) == [0, 3, 5] and score.last_delay == 0
    assert score.false_switches == 0 and score.longest_false == 0
    quality = score.scalars(frames_per_step=32)
    assert quality["delay_median"] == 3 and quality["delay_max"] == 5
    assert score.table == {"a": {0: 95, 1: 5}, "b": {0: 3, 1: 60}}


def test_the_beginning_replaced_nothing():
    assert not fed(("a", 0, 10)).delays


def test_a_game_that_is_never_recognised_has_its_whole_visit_for_a_delay():
    score = fed(("a", 0, 50), ("b", 0, 7), ("a", 0, 10))
    assert sorted(score.delays.elements()) == [0, 7]
    score = fed(("a", 0, 50), ("b", 0, 7))
    score.finish()
    assert sorted(score.delays.elements()) == [7]


def test_leaving_the_right_task_is_false_and_coming_back_is_not():
    score = fed(("a", 0, 50), ("a", 1, 4), ("a", 0, 10), ("a", 2, 6), ("a", 3, 3), ("a", 0, 10))
    assert score.false_switches == 3 and score.longest_false == 9 and not score.delays
    assert score.scalars(4)["false_switches"] == pytest.approx(3e6 / (4 * 83))


def test_a_wrong_guess_before_the_right_task_is_false():
    score = fed(("a", 0, 50), ("b", 1, 50), ("c", 1, 2), ("c", 0, 3), ("c", 2, 9))
    assert score.false_switches == 1 and sorted(score.delays.elements()) == [0, 5]


def test_changes_are_told():
    score = InferenceScore()
    steps = [("a", 0), ("a", 0), ("a", 1), ("b", 1), ("b", 1)]
    assert [score.record(*step) for step in steps] == [True, False, True, True, False]
