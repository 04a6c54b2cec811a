"""The agents that come with the repository are small, and play as their settings say."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from envs.games import game
from evaluate import main
from tests.commands import ROOT
from tracking.task_log import own_tasks, read_changes

AGENTS = sorted((ROOT / "results" / "pretrained").glob("*.pt"))


def test_there_is_one() -> None:
    assert AGENTS


@pytest.mark.parametrize("agent", AGENTS, ids=lambda path: path.stem)
def test_an_agent_takes_five_megabytes_at_most(agent: Path) -> None:
    """One of ten games has a network four times as wide."""
    assert agent.stat().st_size <= (8e6 if agent.stem == "ten_games" else 5e6)


def test_the_agent_of_three_games_knows_krull_and_beats_the_human_score(tmp_path: Path) -> None:
    agent = ROOT / "results" / "pretrained" / "three_games.pt"
    few = ["--games", "krull", "--episodes", "2", "--emulators", "2"]
    assert main([str(agent), *few, "--output", str(tmp_path / "out")]) == 0
    with open(tmp_path / "out" / "scores.csv", newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["task"] == "2" and float(row["mean"]) > game("krull").human


def test_the_agent_of_ten_games_takes_every_game_for_its_own_task(tmp_path: Path) -> None:
    agent = ROOT / "results" / "pretrained" / "ten_games.pt"
    briefly = ["--episodes", "1", "--emulators", "1", "--max_episode_frames", "400"]
    assert main([str(agent), *briefly, "--output", str(tmp_path / "out")]) == 0
    with open(tmp_path / "out" / "scores.csv", newline="") as file:
        taken = {row["game"]: int(row["task"]) for row in csv.DictReader(file)}
    changes = read_changes(ROOT / "results" / "ten_games" / "ewc_inferred-0" / "task_changes.csv")
    assert len(set(taken.values())) == 10 and taken == own_tasks(changes, 4_000_000)
