"""The table of single games, from kept files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from envs.games import game as find_game
from experiments.published import DRQ_EPSILON
from experiments.single_games import table


def keep(results: Path, game: str, scores: list[float], chance: float) -> None:
    (results / f"{game}-random.json").write_text(json.dumps({"game": game, "mean": chance}))
    for seed, score in enumerate(scores):
        report = results / f"{game}-{seed}" / "report"
        report.mkdir(parents=True)
        (report / "scores.json").write_text(json.dumps({"games": [{"game": game, "mean": score}]}))


def test_the_table_by_hand(tmp_path: Path) -> None:
    """boxing: random 0.1, human 12.1; krull: 1,598 and 2,665.5; defender: none published; pong: unfinished."""
    keep(tmp_path, "boxing", [4.1, 8.1], 0.5)
    keep(tmp_path, "krull", [5_000.0], 1_700.0)
    keep(tmp_path, "defender", [2_875.0], 2_900.0)
    keep(tmp_path, "pong", [], -20.0)
    lines = table(tmp_path).splitlines()
    assert lines[2] == "| boxing | 0.5 | 12.1 | 6.1 ± 2.0 | 4.1, 8.1 | 0.50 | 0.74 |"
    assert lines[3].startswith("| defender | 2,900.0 | ") and lines[3].endswith(" | 0.00 | – |")
    assert lines[4] == "| krull | 1,700.0 | 2,665.5 | 5,000.0 ± – | 5,000.0 | 3.19 | 2.63 |"
    assert lines[6].endswith("0.750, DrQ(ε) 0.871; 1 at or above it.") and len(lines) == 7


def test_seeds_stand_in_their_order(tmp_path: Path) -> None:
    keep(tmp_path, "krull", [float(1_000 + seed) for seed in range(11)], 1_700.0)
    assert ", 1,009.0, 1,010.0 |" in table(tmp_path)


def test_drq_reaches_what_is_said_of_it(tmp_path: Path) -> None:
    """.699 on the ten games of the comparison; nobody is ahead of oneself."""
    names = "krull road_runner boxing jamesbond assault breakout crazy_climber freeway gopher demon_attack"
    for name in names.split():
        keep(tmp_path, name, [DRQ_EPSILON[name]], 0.0)
    assert table(tmp_path).splitlines()[-1].endswith("0.699, DrQ(ε) 0.699; 10 at or above it.")


def test_without_a_published_score_nothing_is_compared(tmp_path: Path) -> None:
    keep(tmp_path, "space_invaders", [300.0], 150.0)
    assert len(table(tmp_path).splitlines()) == 3


@pytest.mark.parametrize("game", DRQ_EPSILON)
def test_published_games_are_known(game: str) -> None:
    assert find_game(game).name == game
