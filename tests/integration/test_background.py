"""Evaluations in the background: the same numbers as in the run's own process, whatever the worker's speed and
wherever the run is stopped; and what goes wrong is told in one line."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from evaluation.table import read_evaluations
from tests.conformance.alike import assert_alike
from tests.integration.conftest import EWC
from tests.integration.runs import (
    TOY,
    Hook,
    alive,
    assert_same_run,
    both,
    checkpoint,
    evaluations,
    kill_in_endless_evaluation,
    killed_worker,
    launch,
    metrics,
    points,
    quick_worker,
    signal_at,
    slow_worker,
    snapshots,
    spoiled_snapshot,
    status,
    write_config,
)

# Evaluations at intervals, at the ends of visits, and at the run's end.
MOMENTS = [320, 480, 640, 960, 1200]
STREAM = {"games": ["toy_catch", "toy_avoid"], "visit_frames": 480, "reseed_frames": 300}
EVALUATION = {**TOY["evaluation"], "period": 320, "at_visit_ends": "all", "background": True, "report_after": 200}
LOG = {"period": 80, "image_period": 0, "checkpoint_period": 200}


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("background") / "toy.yaml"
    changes = {"frames": 1200, "stream": STREAM, "evaluation": EVALUATION, "log": LOG}
    return write_config(path, TOY, task_source="inferred", consolidation=EWC, **changes)


@pytest.fixture(scope="module")
def uninterrupted(config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nobody disturbed, with a worker that never keeps it waiting; only to be read."""
    run = tmp_path_factory.mktemp("runs") / "uninterrupted"
    outcome = launch("--config", config, "--run_dir", run, hook=quick_worker)
    assert outcome.code == 0 and "waiting" not in outcome.err, outcome.err
    return run


@pytest.fixture(scope="module")
def stopped(config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run stopped at 400 frames with the evaluation at 320 under way; only to be copied."""
    run = tmp_path_factory.mktemp("stopped") / "run"
    hook = partial(both, slow_worker, partial(signal_at, 400))
    outcome = launch("--config", config, "--run_dir", run, hook=hook)
    assert outcome.code == 75, outcome.err
    frames, parts = checkpoint(run)
    assert (frames, parts["milestones"]["pending"]) == (400, (320, False))
    assert not (run / "evaluations.csv").exists()
    return run


@pytest.fixture
def run(stopped: Path, tmp_path: Path) -> Path:
    """A copy of the stopped run."""
    return Path(shutil.copytree(stopped, tmp_path / "run"))


def assert_same_numbers(a: Path, b: Path) -> None:
    """All numbers of two runs that recorded their evaluations at different moments."""
    assert_alike(evaluations(a), evaluations(b))
    assert_alike(checkpoint(a), checkpoint(b))
    assert_alike(snapshots(a), snapshots(b))
    logged = [sorted(json.dumps(line) for line in metrics(run) if "config" not in line) for run in (a, b)]
    assert_alike(*logged)
    shown: list[dict[Any, bytes]] = [{k: v for k, v in points(run).items() if k[1] != "config"} for run in (a, b)]
    assert shown[0] == shown[1]


@pytest.mark.slow
def test_the_same_numbers_as_in_the_runs_own_process(config: Path, uninterrupted: Path, tmp_path: Path) -> None:
    """A killed run leaves a busy worker behind, which ends; resumed, the run goes on without one, also with what was
    under way."""
    run, pid_file = tmp_path / "run", tmp_path / "pid"
    arguments = ("--config", config, "--run_dir", run, "--evaluation.final_episodes", 10_000)
    assert launch(*arguments, hook=partial(kill_in_endless_evaluation, pid_file)).code == -signal.SIGKILL
    frames, parts = checkpoint(run)
    assert (frames, parts["milestones"]["pending"]) == (600, (480, False))
    _wait_for_the_end_of(int(pid_file.read_text()))
    changes = ("--evaluation.background", "false", "--evaluation.final_episodes", EVALUATION["final_episodes"])
    outcome = launch("--resume", run, *changes, hook=partial(killed_worker, False))  # if there were one
    assert outcome.code == 0, outcome.err
    assert_same_numbers(run, uninterrupted)


def test_results_are_recorded_at_moments_that_depend_on_frames_alone(uninterrupted: Path) -> None:
    """After report_after frames, or at the next evaluation, or at the end; under the frame of the evaluation."""
    assert [int(row["frames"]) for row in evaluations(uninterrupted)][::2] == MOMENTS
    found, latest = {}, 0
    for line in metrics(uninterrupted):
        if "evaluation/clipped_total" in line:
            found[line["frame"]] = latest
        else:
            latest = line["frame"]
    # The last point logged by then; 640 waits for 840, and 960 for 1,160.
    assert found == {320: 480, 480: 640, 640: 800, 960: 1120, 1200: 1200}


@pytest.mark.slow
def test_a_stopped_run_equals_the_uninterrupted_whatever_the_workers_speed(run: Path, uninterrupted: Path) -> None:
    """Stopped with an evaluation under way, in a wait for one, and in the wait for the last."""
    for wait, frames, pending in ((1, 480, (320, False)), (5, 1200, (1200, True))):
        outcome = launch("--resume", run, hook=partial(slow_worker, wait))
        assert outcome.code == 75 and f"waiting for the evaluation at {pending[0]:,} frames" in outcome.err
        assert (status(run)["state"], status(run)["frames"]) == ("stopped", frames)
        assert checkpoint(run)[1]["milestones"]["pending"] == pending
    outcome = launch("--resume", run)
    assert outcome.code == 0, outcome.err
    assert_same_run(run, uninterrupted)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("hook", "told", "frames"),
    [
        pytest.param(partial(killed_worker, False), "killed by SIGKILL", 320, id="killed"),
        pytest.param(partial(killed_worker, True), "killed by SIGKILL", 480, id="killed while waited for"),
        pytest.param(spoiled_snapshot, f"{320:012d}.pt is damaged", 320, id="an exception"),
    ],
)
def test_a_worker_that_breaks_down_fails_the_run(
    config: Path, tmp_path: Path, hook: Hook, told: str, frames: int
) -> None:
    run = tmp_path / "run"
    outcome = launch("--config", config, "--run_dir", run, hook=hook)
    assert outcome.code == 1 and told in outcome.complaint and f"--resume {run}" in outcome.complaint
    said = status(run)
    assert said["state"] == "failed" and told in said["message"] and said["frames"] >= frames


@pytest.mark.slow
@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"no weights")])
def test_an_evaluation_whose_snapshot_is_lost_is_left_out_and_the_run_goes_on(
    run: Path, damage: Callable[[Path], Any]
) -> None:
    snapshot = run / "snapshots" / f"{320:012d}.pt"
    damage(snapshot)
    outcome = launch("--resume", run)
    assert outcome.code == 0 and str(snapshot) in outcome.err and "at 320 frames is left out" in outcome.err
    assert 320 not in {row["frames"] for row in read_evaluations(run / "evaluations.csv")}


def _wait_for_the_end_of(pid: int) -> None:
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        if not alive(pid):
            return
        time.sleep(0.05)
    os.kill(pid, signal.SIGKILL)
    raise AssertionError("the worker goes on without its run")
