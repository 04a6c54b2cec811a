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
from tests.integration.runs import TOY, write_config
from tracking.metrics import MetricWindow
from training.interact import Step, interact
from training.scalars import Scalars

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
    assert found["task/game"] == parts.stream.schedule.games.index(label)
    assert found["replay/transitions_task0"] == parts.memory.size(0) > 0
    assert found["exploration/epsilon_task0"] == parts.agent.epsilon(parts.agent.task_frames[0])
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
