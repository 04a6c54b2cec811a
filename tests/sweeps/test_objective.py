"""The numbers that a search maximises, from a run's table of evaluations."""

from __future__ import annotations

from pathlib import Path

import pytest

from sweeps.objective import evaluations

TABLE = """frames,game,task,human_normalised
0,pong,0,9.0
0,krull,,9.0
1000,pong,0,0.5
1000,krull,,-0.25
2000,pong,0,3.0
2000,krull,1,0.5
3000,pong,0,7.0
"""


@pytest.fixture
def table(tmp_path: Path) -> Path:
    (tmp_path / "evaluations.csv").write_text(TABLE)
    return tmp_path / "evaluations.csv"


def test_every_whole_evaluation_after_the_start_has_a_value(table: Path) -> None:
    assert evaluations(table, "human_normalised", 2) == [(1000, 0.125), (2000, 1.75)]
    assert evaluations(table, "clipped_total", 2) == [(1000, 0.25), (2000, 1.5)]


@pytest.mark.parametrize("end", ["3000,krull,0,0.", "3000,krull,0,", "3000,krull", "3"])
def test_what_is_still_being_written_is_left_out(table: Path, end: str) -> None:
    table.write_text(TABLE + end)
    assert [frames for frames, _ in evaluations(table, "human_normalised", 2)] == [1000, 2000]
    table.write_text(TABLE + "3000,krull,0,0.5\n")
    assert evaluations(table, "human_normalised", 2)[-1] == (3000, 3.75)


def test_an_evaluation_of_the_game_just_left_has_no_value(table: Path) -> None:
    table.write_text(TABLE + "3000,krull,0,0.5\n3500,pong,0,9.0\n4000,pong,0,1.0\n4000,krull,0,0.5\n")
    found = evaluations(table, "human_normalised", 2)
    assert found == [(1000, 0.125), (2000, 1.75), (3000, 3.75), (4000, 0.75)]


def test_a_run_without_a_table_has_no_values(tmp_path: Path) -> None:
    assert evaluations(tmp_path / "evaluations.csv", "human_normalised", 1) == []
