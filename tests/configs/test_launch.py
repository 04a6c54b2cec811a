"""Which settings count as hyper-parameters."""

from __future__ import annotations

from dataclasses import replace

from configs.launch import hyper_parameters
from configs.run import resolve
from configs.schema import Config, EvaluationConfig, LearnerConfig, LogConfig, StreamConfig, Visit

# Decided, so that nothing is measured.
DECIDED = Config(threads=1, learner=LearnerConfig(network="small", precision="float32", optimiser_code="eager"))


def test_they_are_what_a_resume_keeps_and_a_result_depends_on() -> None:
    found = hyper_parameters(resolve(DECIDED))
    assert {"seed", "tasks", "learner.learning_rate", "consolidation.strength", "emulators.count"} <= set(found)
    assert {"replay.capacity", "inference.window", "stream.visit_frames", "learner.precision"} <= set(found)
    assert not {"frames", "threads", "device", "emulators.threads", "learner.recorded", "stream.visits"} & set(found)
    assert not any(name.startswith(("log.", "evaluation.")) for name in found)
    assert all(isinstance(value, bool | int | float | str) for value in found.values())
    watched = replace(DECIDED, frames=7, log=LogConfig(period=3), evaluation=EvaluationConfig(period=5))
    assert hyper_parameters(resolve(watched)) == found


def test_the_games_are_those_of_the_schedule() -> None:
    assert hyper_parameters(resolve(DECIDED))["stream.games"] == "krull, road_runner, boxing"
    visits = [Visit("pong", 100), Visit("krull", 50), Visit("pong", 10)]
    listed = replace(DECIDED, stream=StreamConfig(order="listed", visits=visits))
    assert hyper_parameters(resolve(listed))["stream.games"] == "pong, krull"
