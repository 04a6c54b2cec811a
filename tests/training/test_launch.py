"""Which settings count as hyper-parameters."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from configs.schema import Config, ConsolidationConfig, EvaluationConfig, LearnerConfig, LogConfig, StreamConfig, Visit
from tracking.run_directory import RunDirectory
from training.launch import hyper_parameters
from training.machine import resolve
from training.resume import after_divergence, begin_anew

# Decided, so that nothing is measured.
DECIDED = Config(threads=1, learner=LearnerConfig(network="small", precision="float32", optimizer_code="eager"))


def test_they_are_what_a_resume_keeps_and_a_result_depends_on() -> None:
    found = hyper_parameters(resolve(DECIDED))
    assert {"seed", "task_source", "learner.learning_rate", "consolidation.ewc_lambda", "emulators.num_envs"} <= set(
        found
    )
    assert {"replay.capacity", "stream.visit_frames", "learner.precision"} <= set(found)
    assert not {"frames", "threads", "device", "emulators.threads", "learner.cuda_graphs", "stream.visits"} & set(found)
    assert not any(name.startswith(("log.", "evaluation.")) for name in found)
    assert all(isinstance(value, bool | int | float | str) for value in found.values())
    watched = replace(DECIDED, frames=7, log=LogConfig(period=3), evaluation=EvaluationConfig(period=5))
    assert hyper_parameters(resolve(watched)) == found


def test_the_games_are_those_of_the_schedule() -> None:
    assert hyper_parameters(resolve(DECIDED))["stream.games"] == "krull, road_runner, boxing"
    visits = [Visit("pong", 100), Visit("krull", 50), Visit("pong", 10)]
    listed = replace(DECIDED, stream=StreamConfig(order="listed", visits=visits))
    assert hyper_parameters(resolve(listed))["stream.games"] == "pong, krull"


@pytest.mark.parametrize(
    ("consolidation", "lowered"),
    [
        (ConsolidationConfig(), "learner.learning_rate"),  # the implicit step is stable for every strength
        (ConsolidationConfig(kind="none", step="gradient"), "learner.learning_rate"),
        (ConsolidationConfig(step="gradient", ewc_lambda=0.0), "learner.learning_rate"),
        (ConsolidationConfig(step="gradient", ewc_lambda=1e9), "consolidation.ewc_lambda or learner.learning_rate"),
    ],
)
def test_after_a_divergence_the_advice_names_what_there_is(
    consolidation: ConsolidationConfig, lowered: str, tmp_path: Path
) -> None:
    run, config = RunDirectory(tmp_path), replace(DECIDED, consolidation=consolidation)
    assert after_divergence(run, config) == f"lower {lowered} and {begin_anew(run)}"
    assert "--init_from" not in after_divergence(run, config)  # there is no snapshot
