import csv
from pathlib import Path

import pytest

from envs.game_sets import game_set
from envs.games import MULTI_PLAYER, all_games, canonical, game, human_normalised

SHARED = Path(__file__).parents[3] / "shared" / "data" / "atari_scores.csv"


def test_there_are_57_atari_games_and_the_papers_are_among_them():
    atari = [each for each in all_games().values() if not each.is_toy]
    assert len(atari) == 57
    assert len(game_set("pool")) == 19 and len(game_set("figure3")) == 10
    assert set(game_set("figure3")) <= set(game_set("pool")) <= {each.name for each in atari}
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


def spellings(name):
    words = name.split("_")
    camel = "".join(word.capitalize() for word in words)
    yield from (name, name.upper(), " ".join(words), "-".join(words), "".join(words), f" {name}", f"{name}.bin")
    yield from (camel, " ".join(word.capitalize() for word in words), "-".join(word.capitalize() for word in words))
    yield from (f"ALE/{camel}-v5", f"{camel}NoFrameskip-v4", f"{camel}Deterministic-v4", f"{camel}-v0", f"atari/{name}")
    yield from (f"ALE/{camel}-ram-v5", f"{camel}-ramNoFrameskip-v4", f"{camel}-ramDeterministic-v0")


@pytest.mark.parametrize("name", [each.name for each in all_games().values()])
def test_every_game_is_known_by_the_names_that_people_type(name):
    assert {canonical(each) for each in spellings(name)} == {game(each).name for each in spellings(name)} == {name}


TITLES = {
    "Ms. Pacman": "ms_pacman",
    "Kung-Fu Master": "kung_fu_master",
    "Q*bert": "qbert",
    "H.E.R.O.": "hero",
    "River Raid": "riverraid",
    "Robot Tank": "robotank",
    "Yars' Revenge": "yars_revenge",
    "Montezuma's Revenge": "montezuma_revenge",
    "Up'n Down": "up_n_down",
    "James Bond 007": "jamesbond",
    "Pitfall!": "pitfall",
    "Star Gunner": "star_gunner",
}


@pytest.mark.parametrize("title", TITLES)
def test_titles_are_known_too(title):
    assert game(title).name == TITLES[title]


@pytest.mark.parametrize("name", [each.name for each in all_games().values()])
def test_one_wrong_letter_is_answered_with_the_right_name_first(name):
    for wrong in (name[:-1] + "q", name[1] + name[0] + name[2:], name.upper()[:-1] + "x-v5"):
        if wrong.lower().removesuffix("-v5") not in all_games():
            with pytest.raises(ValueError, match=f"did you mean {name}"):
                game(wrong)


@pytest.mark.parametrize(
    ("wrong", "right"),
    [("pnog", "pong"), ("Kung Fu", "kung_fu_master"), ("pac man", "ms_pacman"), ("toy_cath", "toy_catch")],
)
def test_unknown_name_is_refused_with_the_nearest(wrong, right):
    with pytest.raises(ValueError, match=right):
        game(wrong)


def test_unlike_anything_is_refused_too():
    with pytest.raises(ValueError, match="known scores"):
        game("zzzzzz")


@pytest.mark.parametrize("name", MULTI_PLAYER)
def test_multi_player_roms_are_refused_saying_why(name):
    for each in spellings(name):
        with pytest.raises(ValueError, match="two players"):
            game(each)
