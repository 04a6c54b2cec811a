"""Retained fractions, counted by hand."""

from __future__ import annotations

from typing import Any

import pytest

from evaluation.remembered import LEARNED, kept, kept_over_time, mean_kept
from tracking.task_log import visits

# krull 0-100 (in two tasks), pong 100-200, krull 200-260, krull again 260-300, boxing 300-
CHANGES = [
    {"frames": frames, "game": game, "task": task, "posterior": 1.0}
    for frames, game, task in [
        (0, "krull", 0),
        (40, "krull", 1),
        (100, "pong", 1),
        (200, "krull", 0),
        (300, "boxing", 2),
    ]
]


def rows(scores: dict[int, dict[str, float]]) -> list[dict[str, Any]]:
    return [
        {"frames": frames, "game": game, "human_normalised": score}
        for frames, of_games in scores.items()
        for game, score in of_games.items()
    ]


SCORES = {
    80: {"krull": 0.3, "pong": 0.0, "boxing": 0.0},
    100: {"krull": 0.5, "pong": 0.0, "boxing": 0.0},
    150: {"krull": 0.25, "pong": 0.1, "boxing": 0.0},
    200: {"krull": -0.1, "pong": 0.4, "boxing": 0.0},
    250: {"krull": 0.8, "pong": 0.1, "boxing": 0.0},
    350: {"krull": 1.2, "pong": 0.6, "boxing": 2.0},
}


def test_visits_are_stretches_of_one_game() -> None:
    assert visits(CHANGES, 250) == [("krull", 0, 100), ("pong", 100, 200), ("krull", 200, 250)]
    assert visits(CHANGES, 200)[-1] == ("pong", 100, 200)
    assert visits(CHANGES, 0) == []


@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        (80, {}),
        (100, {}),  # krull's own measure
        (150, {"krull": 0.25 / 0.5}),  # not over the 0.3 from the middle of the visit
        (200, {"krull": -0.1 / 0.5}),
        (250, {"pong": 0.1 / 0.4}),  # krull is being played
        (350, {"krull": 1.2 / 0.8, "pong": 0.6 / 0.4}),  # krull's latest visit is the measure; boxing was never left
    ],
)
def test_a_game_is_measured_by_the_end_of_its_latest_visit(frames: int, expected: dict[str, float]) -> None:
    assert kept(rows(SCORES), CHANGES, frames) == pytest.approx(expected)


def test_what_is_logged_later_changes_nothing() -> None:
    """An evaluation in the background is recorded when the next game is already being played."""
    early = [row for row in rows(SCORES) if row["frames"] <= 150]
    assert kept(early, CHANGES[:3], 150) == kept(rows(SCORES), CHANGES, 150)


def test_what_was_hardly_learned_cannot_be_lost() -> None:
    for reference, told in ((LEARNED, {"krull": 1.0}), (LEARNED / 2, {}), (-1.0, {})):
        scores = rows({100: {"krull": reference, "pong": 0.0}, 150: {"krull": reference, "pong": 0.0}})
        assert kept(scores, CHANGES, 150) == told


def test_a_visit_without_an_evaluation_is_no_measure() -> None:
    assert kept(rows({150: {"krull": 0.5, "pong": 0.1}}), CHANGES, 150) == {}
    # Nor is the visit before: krull was played since.
    assert kept(rows({100: {"krull": 0.5}, 350: {"krull": 0.5}}), CHANGES, 350) == {}


def test_the_evaluation_of_the_game_just_left_is_its_measure_and_tells_of_no_other() -> None:
    """Every game at 250 and 350, krull alone when it is left at 100, pong alone at 200."""
    own = rows({100: {"krull": 0.5}, 200: {"pong": 0.4}, 250: SCORES[250], 350: SCORES[350]})
    assert kept_over_time(own, CHANGES) == {
        100: {},
        200: {},
        250: {"pong": pytest.approx(0.1 / 0.4)},
        350: {"krull": pytest.approx(1.2 / 0.8), "pong": pytest.approx(0.6 / 0.4)},
    }


def test_the_mean_clips_every_game() -> None:
    assert mean_kept([1.5, -0.2, 0.5]) == pytest.approx((1 + 0 + 0.5) / 3)
    with pytest.raises(ValueError, match="no game"):
        mean_kept([])


def test_over_time_it_is_what_it_is_at_every_evaluation() -> None:
    found = kept_over_time(rows(SCORES), CHANGES)
    assert found == {frames: kept(rows(SCORES), CHANGES, frames) for frames in SCORES} and found[350]
