"""Learning that breaks down is noticed, and told with what to do next."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from configs.schema import Config, LearnerConfig
from tracking.checkpoints import CheckpointError, Checkpoints, NoneIntactError
from tracking.run_directory import RunDirectory
from training.failures import Diverged, check_values, check_weights, failure

CONFIG = Config(learner=LearnerConfig(reward_clip=1.0, discount=0.99))  # no value of a game exceeds 100


@pytest.mark.parametrize("name", ["learning/loss", "learning/q", "learning/q_max"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), 1.01e5, -1.01e5])
def test_a_value_that_no_game_has_is_noticed(name: str, value: float) -> None:
    with pytest.raises(Diverged, match=f"^{name} is "):
        check_values({"learning/loss": 1.0, name: value}, CONFIG)


def test_other_values_pass() -> None:
    check_values({}, CONFIG)
    check_values({"learning/q": -0.99e5, "learning/q_max": 0.99e5, "replay/gib": float("nan")}, CONFIG)


@pytest.mark.parametrize("unbounded", [{"reward_clip": 0.0}, {"discount": 1.0}])
def test_without_a_bound_only_what_is_not_finite_is_noticed(unbounded: dict[str, float]) -> None:
    config = replace(CONFIG, learner=replace(CONFIG.learner, **unbounded))
    check_values({"learning/q": 1e30}, config)
    with pytest.raises(Diverged):
        check_values({"learning/q": float("inf")}, config)


def test_a_weight_that_is_not_finite_is_named() -> None:
    network = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2))
    check_weights(network)
    with torch.no_grad():
        network[1].bias[1] = float("nan")
    with pytest.raises(Diverged, match=r"^the network's 1\.bias is not finite$"):
        check_weights(network)


def test_a_failure_is_told_with_what_to_do_next(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "run")
    assert failure(CheckpointError("it is gone"), run, CONFIG) == "it is gone; no checkpoint was written yet"
    Checkpoints(run.checkpoints).save(4000, {})
    kept = f"the last good checkpoint is at 4,000 frames (--resume {run.path})"
    short = failure(MemoryError(), run, CONFIG)
    assert short and "not enough memory" in short and short.endswith(f"; {kept}")
    diverged = failure(Diverged("learning/q is inf"), run, CONFIG)
    assert diverged and diverged.startswith(f"learning diverged: learning/q is inf; {kept}; a resume would repeat it")
    assert failure(NoneIntactError("none is intact"), run, CONFIG) == "none is intact; begin a new run"
    assert failure(ZeroDivisionError(), run, CONFIG) is None
