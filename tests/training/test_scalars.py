"""What a log event holds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from configs.build import Parts, build
from configs.parse import load
from envs.episodes import EpisodeReturns
from envs.games import human_normalised
from envs.timestep import TimeStep
from evaluation.inference_score import InferenceScore
from evaluation.play import GameResult
from tests.integration.runs import TOY, write_config
from tracking.metrics import MetricWindow
from training.interact import Step, interact
from training.scalars import Scalars, Speed, evaluation_scalars

B = 2


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Parts:
    """A toy that has run a few steps, in its first game."""
    parts = build(load(write_config(tmp_path_factory.mktemp("toy") / "toy.yaml", TOY)))
    parts.stream.start()
    for step in interact(parts.stream, parts.agent):
        if step.frames >= 400:
            return parts
    raise AssertionError("it never ends")


def collector(parts: Parts) -> Scalars:
    return Scalars(parts, EpisodeReturns(B), MetricWindow(), InferenceScore())


def step(rewards: tuple[float, float], first: tuple[bool, bool], updates: Any = (), ended: bool = False) -> Step:
    """One whose answer has these rewards, and begins episodes where `first`."""
    screens = np.zeros((B, 4, 84, 84), np.uint8)
    following = TimeStep(screens, np.array(rewards, np.float32), np.ones(B, np.float32), np.array(first))
    return Step(following, np.zeros(B, np.int64), following, list(updates), "toy_catch", 0, 0, 8, ended, ended)


def test_it_holds_means_since_the_last_one_and_how_the_agent_stands(parts: Parts) -> None:
    scalars = collector(parts)
    scalars.add(step((1.0, 2.0), (False, True), [{"loss": 1.0}, {"loss": 3.0}]))
    scalars.add(step((4.0, 0.0), (True, False), [{"loss": 8.0}]))
    label = parts.stream.label
    found = scalars.pop(label, {"held_share": 0.5})
    assert found["learning/loss"] == 4.0 and found["consolidation/held_share"] == 0.5
    assert found["score/toy_catch/return"] == (2.0 + 5.0) / 2  # 2 in one step, and 1 + 4 in two
    assert found["score/toy_catch/episode_frames"] == (4 + 8) / 2
    normalised = [human_normalised("toy_catch", score) for score in (2.0, 5.0)]
    assert found["score/toy_catch/human_normalised"] == pytest.approx(np.mean(normalised))
    assert found["learning/updates"] == parts.agent.updates > 0
    assert found["charts/score_on_screen"] == found["score/toy_catch/human_normalised"]
    assert found["exploration/epsilon"] == found[f"exploration/epsilon_task{parts.agent.task}"]
    assert found["replay/transitions_task0"] == parts.memory.size(0) > 0
    assert found["exploration/epsilon_task0"] == parts.agent.epsilon(parts.agent.task_frames[0]).mean()
    again = scalars.pop(label, {})
    assert not [name for name in again if name.startswith(("score/", "learning/loss", "consolidation/"))]


def test_the_console_sees_the_last_twenty_episodes_of_the_visit(parts: Parts) -> None:
    scalars = collector(parts)
    assert scalars.recent_mean == "-"
    for score in range(12):
        scalars.add(step((score, score), (True, True)))
    assert scalars.recent_mean == "6.5"  # of 2, 2, ..., 11, 11
    scalars.add(step((0.0, 0.0), (True, True), ended=True))
    assert scalars.recent_mean == "-"


def test_an_evaluation_is_told_by_game_and_in_all() -> None:
    results = [GameResult(name, (2.0, 5.0), (4, 4), 0, 1.0) for name in ("toy_catch", "toy_avoid")]
    found = evaluation_scalars(results, {"toy_catch": 1.5, "toy_avoid": -0.2}, whole=True)
    each = [result.human_normalised for result in results]
    assert found["evaluation/toy_avoid/score"] == 3.5 and found["evaluation/toy_avoid/human_normalised"] == each[1]
    total = sum(min(1.0, score) for score in each)
    assert found["charts/all_games_total"] == found["evaluation/clipped_total"] == pytest.approx(total)
    assert found["evaluation/kept/toy_catch"] == 1.5
    assert found["charts/kept_fraction"] == found["evaluation/kept_mean"] == 0.5
    assert not [name for name in evaluation_scalars(results, {}, whole=True) if "kept" in name]


def test_an_evaluation_of_one_game_has_its_scores_and_neither_total_nor_mean() -> None:
    results = [GameResult("toy_catch", (2.0, 5.0), (4, 4), 0, 1.0)]
    assert evaluation_scalars(results, {}, whole=False) == {
        "evaluation/toy_catch/score": 3.5,
        "evaluation/toy_catch/human_normalised": results[0].human_normalised,
    }
    told = evaluation_scalars(results, {"toy_catch": 0.5}, whole=False)
    assert not [name for name in told if name.startswith("charts/") or name.endswith(("_mean", "_total"))]


def test_logged_fractions_stay_where_a_chart_can_show_them() -> None:
    results = [GameResult("toy_catch", (2.0,), (4,), 0, 1.0)]
    for fraction, shown in ((-40.0, -1.0), (40.0, 2.0)):
        assert evaluation_scalars(results, {"toy_catch": fraction}, whole=True)["evaluation/kept/toy_catch"] == shown


def test_the_time_left_is_that_of_the_processes_mean_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter((0.0, 10.0, 30.0))
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    speed = Speed(1000, end=10_000)
    assert speed.scalars(2000)["charts/speed_frames_per_second"] == 100.0
    found = speed.scalars(4000)
    assert found["time/frames_per_second"] == found["charts/speed_frames_per_second"] == 100.0
    assert found["charts/time_left_hours"] == pytest.approx(6000 / 100 / 3600)
