"""Own tasks and shares of decisions, by hand, and how the table tells them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from configs.schema import Config
from envs.timestep import TimeStep
from evaluation.inference_score import InferenceScore
from evaluation.play import GameResult
from evaluation.recognition import AgentTask, InferredTask, OracleTask, choose_recognition
from evaluation.table import console_table, rows
from taskid.source import FixedTask, TaskRecogniser
from tracking.run_directory import RunDirectory
from tracking.task_log import COLUMNS, known_tasks, own_tasks, row, tasks_before

NOW = TimeStep(np.zeros((1, 4, 84, 84), np.uint8), np.zeros(1, np.float32), np.ones(1, np.float32), np.ones(1, bool))


class Scripted:
    """Gives these answers in turn."""

    posterior = 0.75

    def __init__(self, *answers: int | None) -> None:
        self.answers = iter(answers)

    def identify(self, now: TimeStep) -> int | None:
        return next(self.answers)


@pytest.mark.parametrize(
    ("recogniser", "tasks", "own", "chosen"),
    [
        (FixedTask(0), 1, {}, AgentTask),
        (Scripted(1), 2, {"krull": 1}, InferredTask),  # of any source, one's own too
        (Scripted(None), 0, {}, InferredTask),  # at frame 0 no game was met
    ],
)
def test_who_answers_differently_is_asked_how_often_rightly(
    recogniser: TaskRecogniser, tasks: int, own: dict[str, int], chosen: type
) -> None:
    source = SimpleNamespace(recogniser=lambda label: recogniser)
    agent: Any = SimpleNamespace(task_source=source, learner=SimpleNamespace(num_tasks=tasks))
    snapshot = {"label": "krull", "frames": 0}
    assert type(choose_recognition("inferred" if tasks != 1 else "", Config(), agent, snapshot, own)) is chosen
    if chosen is InferredTask:
        assert type(choose_recognition("true", Config(), agent, snapshot, own)) is OracleTask
    else:
        with pytest.raises(ValueError, match="has not learned to tell games apart"):
            choose_recognition("inferred", Config(), agent, snapshot, own)


def test_own_tasks_are_those_of_most_frames_by_then() -> None:
    changes = [
        row(frames, game, task, 1.0)
        for frames, game, task in [
            (0, "krull", 0),
            (10, "krull", 1),
            (30, "pong", 1),
            (40, "krull", 0),
            (60, "pong", 2),
        ]
    ]
    assert own_tasks(changes, 5) == {"krull": 0}
    assert own_tasks(changes, 30) == {"krull": 1}  # 20 frames in task 1, 10 in task 0; pong begins
    assert own_tasks(changes, 50) == {"krull": 0, "pong": 1}  # 20 and 20: the first of equals
    assert own_tasks(changes, 51) == {"krull": 0, "pong": 1}
    assert own_tasks(changes, 71) == {"krull": 0, "pong": 2}
    assert own_tasks(changes, 0) == own_tasks([], 100) == {}


def test_the_score_of_the_inference_knows_own_tasks_as_the_log_does() -> None:
    """Snapshots have them from the one, an older run's from the other."""
    rng, score, changes = np.random.default_rng(0), InferenceScore(), []
    for step in range(400):
        if step % 40 == 0:
            game = ("krull", "pong", "boxing")[rng.integers(3)]
        task = int(rng.integers(3))
        if score.record(game, task):
            changes.append(row(step, game, task, 1.0))
        assert score.own_tasks() == own_tasks(changes, step + 1)


@pytest.mark.parametrize("text", ["", "{", "[1]", "null", '{"krull": "x"}', '{"krull": null}', "\0"])
def test_tasks_of_the_run_before_that_cannot_be_read_are_none(tmp_path: Path, text: str) -> None:
    run = RunDirectory(tmp_path)
    assert tasks_before(run) == {}
    run.tasks_before.write_text('{"krull": 3}')
    assert tasks_before(run) == {"krull": 3}
    run.tasks_before.write_text(text)
    assert tasks_before(run) == {}


def test_decisions_in_a_games_own_task_are_counted() -> None:
    scripts = {"krull": Scripted(None, 0, 0, 1), "boxing": Scripted(None, 1, 1, None, None), "pong": Scripted(0, 0)}
    inferred = InferredTask(scripts.__getitem__, {"krull": 0, "pong": 1})
    for game, answers in (("krull", [None, 0, 0, 1]), ("boxing", [None, 1, 1, None, None]), ("pong", [0, 0])):
        recogniser = inferred.recogniser(game)
        assert [recogniser.identify(NOW) for _ in answers] == answers and recogniser.posterior == 0.75
    assert inferred.report("krull") == {"own_task": 0, "recognised": 0.5}
    assert inferred.report("boxing") == {"own_task": "", "recognised": 0.6}  # rightly taken for none that is known
    assert inferred.report("pong") == {"own_task": 1, "recognised": 0.0}
    assert set(inferred.report("pong")) == set(inferred.columns)


def test_told_tasks_are_not_looked_for() -> None:
    told = OracleTask({"krull": 3})
    assert told.recogniser("krull").identify(NOW) == 3 and told.recogniser("pong").identify(NOW) is None
    configured = AgentTask(lambda game: FixedTask(5))
    assert configured.recogniser("krull").identify(NOW) == 5
    assert told.report("krull") == {"own_task": 3} and configured.report("krull") == {"own_task": 5}
    assert told.report("pong") == {"own_task": ""} and told.columns == configured.columns == ("own_task",)


@pytest.mark.parametrize(
    ("played", "own", "said"),
    [
        (1, 1, "1"),
        (0, 1, "0, not 1"),
        (None, 1, "not recognised"),
        (None, "", "never met"),
        (1, "", "1, never met"),
    ],
)
def test_the_table_says_how_often_a_game_was_recognised(played: int | None, own: int | str, said: str) -> None:
    (line,) = rows(100, [GameResult("toy_avoid", (1.0,), (100,), played, 0.5)])
    (shown, *_) = _lines([{**line, "own_task": own, "recognised": 0.25}])
    assert [cell.strip() for cell in shown.split("│")[1:4]] == ["toy_avoid", said, "25%"]


def test_the_table_names_games_that_are_one_task() -> None:
    lines = rows(100, [GameResult(game, (1.0,), (100,), 1, 0.5) for game in ("toy_catch", "toy_avoid", "toy_rise")])
    told = [{**line, "own_task": own, "recognised": 1.0} for line, own in zip(lines, (1, 1, 0), strict=True)]
    text = " ".join(" ".join(_lines(told)).split())
    assert "toy_catch and toy_avoid were one task" in text
    assert "were one task" not in " ".join(_lines(told[1:]))


def test_where_own_tasks_are_not_known_a_game_may_have_been_met_and_is_not_recognised() -> None:
    lines = rows(100, [GameResult("toy_avoid", (1.0,), (100,), task, 0.5) for task in (2, None)])
    shown = _lines(lines)
    assert [line.split("│")[2].strip() for line in shown[:2]] == ["2", "not recognised"]
    assert not any("recognised:" in line for line in shown)


def _lines(told: list[dict]) -> list[str]:
    """The table's text from its first game on."""
    console = Console(width=150)
    with console.capture() as captured:
        console.print(console_table(100, told))
    lines = captured.get().splitlines()
    first = next(i for i, line in enumerate(lines) if "toy_" in line)
    return lines[first:]


def test_a_run_that_began_with_a_snapshot_knows_the_tasks_of_the_run_before(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    lines = [(0, "krull", 3, 1.0), (40, "pong", 1, 1.0)]
    run.task_changes.write_text("\n".join(",".join(map(str, line)) for line in (COLUMNS, *lines)) + "\n")
    assert known_tasks(run, 50) == {"krull": 3, "pong": 1}
    run.write_json(run.tasks_before, {"krull": 0, "boxing": 2})
    assert known_tasks(run, 50) == {"krull": 3, "pong": 1, "boxing": 2}
    assert known_tasks(run, 40) == {"krull": 3, "boxing": 2}
