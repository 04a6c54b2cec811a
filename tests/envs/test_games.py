import csv
from pathlib import Path

import pytest

from envs.games import FIGURE_3, MULTI_PLAYER, PAPER_POOL, all_games, game, human_normalised

SHARED = Path(__file__).parents[3] / "shared" / "data" / "atari_scores.csv"


def test_there_are_57_atari_games_and_the_papers_are_among_them():
    atari = [each for each in all_games().values() if not each.is_toy]
    assert len(atari) == 57
    assert len(set(PAPER_POOL)) == 19 and len(set(FIGURE_3)) == 10
    assert set(FIGURE_3) <= set(PAPER_POOL) <= {each.name for each in atari}
    assert all(each.human > each.random for each in all_games().values())


def test_scores_are_those_of_the_published_table():
    if not SHARED.exists():
        pytest.skip(f"the table to compare with is not at {SHARED}")
    with SHARED.open() as file:
        for row in csv.DictReader(file):
            assert game(row["game"]).random == float(row["random"])
            assert game(row["game"]).human == float(row["human"])


def test_normalised_score_is_0_for_random_and_1_for_human_play():
    boxing = game("boxing")
    assert human_normalised("boxing", boxing.random) == 0.0
    assert human_normalised("boxing", boxing.human) == 1.0
    assert human_normalised("boxing", 2 * boxing.human - boxing.random) == pytest.approx(2.0)
    assert human_normalised("skiing", -20000.0) < 0  # negative scores: random play is worse than a human's


@pytest.mark.parametrize(
    ("wrong", "right"), [("pnog", "pong"), ("SpaceInvaders-v5", "space_invaders"), ("toy_cath", "toy_catch")]
)
def test_unknown_name_is_refused_with_the_nearest(wrong, right):
    with pytest.raises(ValueError, match=right):
        game(wrong)


def test_unlike_anything_is_refused_too():
    with pytest.raises(ValueError, match="known scores"):
        game("zzzzzz")


@pytest.mark.parametrize("name", MULTI_PLAYER)
def test_multi_player_roms_are_refused_saying_why(name):
    with pytest.raises(ValueError, match="two players"):
        game(name)
