"""What became of the games of a run: by hand, from the files that runs write."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from rich.console import Console

from configs.checks import ConfigError
from configs.parse import load
from envs.games import game
from evaluation import story, table
from evaluation.play import GameResult
from tracking import task_log
from training.ending import check_reference

VISITS = [(0, "pong", 0), (100, "boxing", 1), (200, "pong", 0), (300, "boxing", 1)]  # from frame, game, task
SCORES = {100: (10.0, 0.1), 150: (5.0, 6.1), 300: (16.0, 4.0), 400: (8.0, 12.1)}  # at frames: pong, boxing


def write_records(folder, scores=SCORES):
    folder.mkdir(parents=True, exist_ok=True)
    for name, columns, rows in (
        ("task_changes.csv", task_log.COLUMNS, [task_log.row(*visit, 1.0) for visit in VISITS]),
        ("evaluations.csv", table.COLUMNS, [row for at, means in scores.items() for row in evaluated(at, *means)]),
    ):
        with open(folder / name, "w", newline="") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(rows)
    return story.read_records(folder, folder.name)


def evaluated(frames, pong, boxing):
    results = [GameResult("pong", (pong,), (1,), 0, 1.0), GameResult("boxing", (boxing,), (1,), None, 1.0)]
    return table.rows(frames, results)


def text(told, width=160):
    console = Console(width=width)
    with console.capture() as captured:
        console.print(told)
    return captured.get()


def test_scores_after_visits_and_at_the_end_by_hand(tmp_path):
    found = story.game_summaries(write_records(tmp_path / "run"))
    assert list(found) == ["pong", "boxing"]
    pong, boxing = found["pong"], found["boxing"]
    assert pong.after_visits == (10.0, 16.0)
    assert boxing.after_visits == (6.1, 12.1)  # at 150 and not at 200, where nobody looked
    assert (pong.final, boxing.final) == (8.0, 12.1)
    random = game("pong").random
    assert pong.kept == pytest.approx((8.0 - random) / (16.0 - random))
    assert boxing.kept is None  # it was played last


def test_a_visit_in_which_nobody_looked_has_no_score(tmp_path):
    scores = {at: means for at, means in SCORES.items() if at != 150}
    found = story.game_summaries(write_records(tmp_path / "run", scores))
    assert found["boxing"].after_visits == (None, 12.1)
    assert "?, 12.1" in text(story.story_table(write_records(tmp_path / "run", scores), None))


def test_evaluations_of_the_game_just_left_are_the_scores_after_its_visits(tmp_path):
    every = write_records(tmp_path / "run", {**SCORES, 450: (3.0, 3.0)})
    alone = {100: "pong", 300: "pong", 450: "boxing"}
    rows = [row for row in every.evaluations if row["game"] == alone.get(row["frames"], row["game"])]
    records = story.Records("run", rows, every.changes)
    assert (records.frames, records.end) == (450, 400)
    found = story.game_summaries(records)
    assert found["pong"].after_visits == (10.0, 16.0) and found["boxing"].after_visits == (6.1, 12.1)
    assert (found["pong"].final, found["boxing"].final) == (8.0, 12.1), "at the last evaluation of both"
    random = game("pong").random
    assert found["pong"].kept == pytest.approx((8.0 - random) / (16.0 - random))


def test_without_an_evaluation_of_every_game_there_is_no_end(tmp_path):
    (tmp_path / "task_changes.csv").write_text("frames,game,task,posterior\n")
    head, row = "frames,game,mean,standard_error,random,human,human_normalised\n", "1.0,0,0,2,0.5\n"
    (tmp_path / "evaluations.csv").write_text(f"{head}100,pong,{row}200,boxing,{row}")
    with pytest.raises(ValueError, match="no evaluation of every game"):
        story.game_summaries(story.read_records(tmp_path, "run"))


def test_the_table_shows_the_reference_beside_the_run(tmp_path):
    run = write_records(tmp_path / "run")
    reference = write_records(tmp_path / "plain_dqn", {400: (-21.0, 1.5)})
    told = text(story.story_table(run, reference))
    assert "plain_dqn:" in told and "run:" in told
    line = next(line for line in told.splitlines() if "pong" in line)
    assert "10.0, 16.0" in line and "?, ?" in line and "-21.0" in line
    found = story.as_json(run, reference)
    assert found["plain_dqn"]["pong"] == {"after_visits": [None, None], "final": -21.0, "kept": None}
    assert found["run"]["pong"]["after_visits"] == [10.0, 16.0]


def test_confusion_is_told_in_shares_of_each_games_steps(tmp_path):
    path = tmp_path / "confusion.csv"
    path.write_text(task_log.confusion_csv({"pong": {0: 150, 2: 50}, "boxing": {1: 80}}))
    lines = text(story.confusion_table(path)).splitlines()
    pong = next(line for line in lines if "pong" in line)
    boxing = next(line for line in lines if "boxing" in line)
    assert "75.0%" in pong and "25.0%" in pong
    assert "100.0%" in boxing and "75.0%" not in boxing


def test_a_narrow_table_of_tasks_shows_fewer_of_them(tmp_path):
    path = tmp_path / "confusion.csv"
    path.write_text(task_log.confusion_csv({"montezuma_revenge": {task: 100 - task for task in range(9)}}))
    shown = {width: text(story.confusion_table(path, width)) for width in (40, 60, None)}
    rows = {width: [line for line in lines.splitlines() if "montezuma" in line] for width, lines in shown.items()}
    assert all(len(lines) == 1 for lines in rows.values())
    assert [rows[width][0].count(":") for width in (40, 60, None)] == [2, 3, 7]
    assert "8 more: 88.4%" in rows[40][0] and "3 more" in rows[None][0]


def test_a_reference_has_played_the_same_games(tmp_path: Path) -> None:
    config = load(
        "configs/presets/single_game.yaml", ["--evaluation.reference", str(tmp_path), "--stream.games", "[krull]"]
    )
    (said,) = check_reference(config)
    assert f"evaluation.reference: there is no run in {tmp_path}, it has no evaluations.csv" in said
    head, row = "frames,game,mean,standard_error,random,human,human_normalised\n", "1.0,0,0,2,0.5\n"
    (tmp_path / "task_changes.csv").write_text("frames,game,task,posterior\n0,krull,0,1.0\n")
    (tmp_path / "evaluations.csv").write_text(f"{head}100,boxing,{row}")
    with pytest.raises(ConfigError, match="was not evaluated in krull"):
        check_reference(config)
    (tmp_path / "evaluations.csv").write_text(f"{head}100,krull,{row}")
    assert check_reference(config) == []
    for wrong in ("", head, "\0" * 40, f"{head}100,krull,x", "a,b\n1,2\n"):
        (tmp_path / "evaluations.csv").write_text(wrong)
        with pytest.raises(ConfigError, match=r"evaluation.reference: the files of the run in .* cannot be read"):
            check_reference(config)


def test_one_episode_has_no_standard_error(tmp_path):
    run = write_records(tmp_path / "run")
    told = text(story.story_table(run, None)) + text(table.console_table(400, run.evaluations[-2:]))
    assert "±" not in told and "8.0" in told
    assert table.score(5930.04, 12.26, 2) == "5,930.0 ± 12.3"


MOMENTS = {frames: [{"game": "pong", "human_normalised": frames / 1e6}] for frames in range(50_000, 1_050_000, 50_000)}


def test_one_table_of_games_and_moments() -> None:
    told = text(table.moments_table(MOMENTS, None), 1000).splitlines()
    assert [head.strip() for head in told[2].split("┃")[1:4]] == ["game", "0.05 M", "0.1 M"]
    (pong,) = (line for line in told if "pong" in line)
    assert [float(cell) for cell in pong.split("│")[2:-1]] == [n / 20 for n in range(1, 21)]
    assert any("clipped total" in line for line in told) and "files" not in told[-1]


def test_where_not_all_moments_have_room_the_first_the_last_and_some_between_are_shown() -> None:
    told = text(table.moments_table(MOMENTS, 60), 60).splitlines()
    assert all(len(line) <= 60 for line in told)
    (pong,) = (line for line in told if "pong" in line)
    cells = [float(cell) for cell in pong.split("│")[2:-1]]
    assert (cells[0], cells[-1]) == (0.05, 1.0) and len(cells) == 5 and cells == sorted(cells)
    assert "5 of 20 moments, the others are in the files" in " ".join(" ".join(told).split())
