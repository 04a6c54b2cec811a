"""The law of stop and resume, through the command line: an interrupted run leaves behind what an uninterrupted
one does, bit for bit."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.conformance.alike import assert_alike
from tests.integration.runs import (
    ROOT,
    SWITCH,
    TOY,
    assert_same_run,
    checkpoint,
    evaluations,
    kill_in_save,
    launch,
    metrics,
    points,
    signal_at,
    signal_in,
    signal_in_departure,
    signal_in_evaluation,
    start,
    status,
    write_config,
)


def interrupted(config: Path, run: Path, stops: list[int], number: int = signal.SIGTERM) -> None:
    """A run that is stopped at each of these frames, and resumed to its end."""
    arguments: tuple[object, ...] = ("--config", config, "--run_dir", run)
    for frames in stops:
        outcome = launch(*arguments, hook=partial(signal_at, frames, number))
        if number == signal.SIGKILL:
            assert outcome.code == -number
        else:
            assert outcome.code == 75, outcome.err
            said = status(run)
            assert (said["state"], said["frames"]) == ("stopped", frames) and "SIG" in said["message"]
            assert f"--resume {run}" in outcome.err
        arguments = ("--resume", run)
    outcome = launch(*arguments)
    assert outcome.code == 0, outcome.err


@pytest.mark.parametrize(
    "stops",
    [
        pytest.param([416], id="in mid-episode", marks=pytest.mark.slow),
        pytest.param([SWITCH], id="at a switch", marks=pytest.mark.slow),
        pytest.param([SWITCH + 16], id="in an undecided window"),
        # Before anything is learned, at a re-seed, at an evaluation, after several switches, at the very end.
        pytest.param([8, 504, 1200, 1808, 2400], id="many times", marks=pytest.mark.slow),
    ],
)
def test_a_stopped_run_equals_the_uninterrupted(
    toy_config: Path, uninterrupted: Path, tmp_path: Path, stops: list[int]
) -> None:
    interrupted(toy_config, tmp_path / "run", stops)
    assert_same_run(tmp_path / "run", uninterrupted)


def test_the_uninterrupted_run_is_worth_comparing_with(uninterrupted: Path) -> None:
    """It switches, learns in both games, evaluates, and logs; so that equality says something."""
    frames, parts = checkpoint(uninterrupted)
    assert frames == 2400 and parts["stream"]["visit"] >= 2
    assert parts["agent"]["updates"] > 100 and len(parts["agent"]["task_frames"]) == 2
    assert parts["agent"]["learner"]["optimizer"]["state"]
    assert parts["consolidation"]["memory"]["departures"] == {0: 1, 1: 1}
    assert parts["consolidation"]["segments"].keys() == {"task000-000001", "task001-000001"}
    assert [row["frames"] for row in evaluations(uninterrupted)][::2] == ["600", "1200", "1800", "2400"]
    tags = {tag for _, tag in points(uninterrupted)}
    assert {"learning/loss", "score/toy_catch/return", "config", "screen/toy_avoid"} <= tags
    assert len(metrics(uninterrupted)) > 20


def test_the_undecided_window_is_one(toy_config: Path, tmp_path: Path) -> None:
    """Where a test above stops, rows wait for their task."""
    hook = partial(signal_at, SWITCH + 16, signal.SIGTERM)
    assert launch("--config", toy_config, "--run_dir", tmp_path / "run", hook=hook).code == 75
    assert len(checkpoint(tmp_path / "run")[1]["memory"]["pending"]["rows"]) == 2


@pytest.mark.slow
def test_another_seed_is_another_run(toy_config: Path, uninterrupted: Path, tmp_path: Path) -> None:
    """The comparison can fail."""
    assert launch("--config", toy_config, "--run_dir", tmp_path / "run", "--seed", 4).code == 0
    with pytest.raises(AssertionError):
        assert_same_run(tmp_path / "run", uninterrupted)


# In the first game, of 25 steps an episode; in the second.
@pytest.mark.parametrize("steps", [pytest.param(1, marks=pytest.mark.slow), 30])
def test_an_evaluation_is_abandoned_at_once_and_done_again(
    toy_config: Path, uninterrupted: Path, tmp_path: Path, steps: int
) -> None:
    run, log = tmp_path / "run", tmp_path / "steps"
    outcome = launch("--config", toy_config, "--run_dir", run, hook=partial(signal_in_evaluation, steps, log))
    assert outcome.code == 75 and "evaluation abandoned" in outcome.err
    assert not log.exists(), "steps were played after the request to stop"
    assert status(run)["frames"] == 600 and not (run / "evaluations.csv").exists()
    assert launch("--resume", run).code == 0
    assert_same_run(run, uninterrupted)


@pytest.mark.slow
def test_evaluations_at_visit_ends_are_made_once_each(tmp_path: Path) -> None:
    config = write_config(
        tmp_path / "ends.yaml", TOY, evaluation={**TOY["evaluation"], "period": 0, "at_visit_ends": "all"}
    )
    run, log = tmp_path / "run", tmp_path / "steps"
    outcome = launch("--config", config, "--run_dir", run, hook=partial(signal_in_evaluation, 30, log))
    assert outcome.code == 75 and status(run)["frames"] == SWITCH
    assert launch("--resume", run).code == 0
    assert [int(row["frames"]) for row in evaluations(run)] == [800, 800, 1600, 1600, 2400, 2400]


@pytest.mark.slow
def test_the_last_evaluation_too(toy_config: Path, uninterrupted: Path, tmp_path: Path) -> None:
    run, log = tmp_path / "run", tmp_path / "steps"
    # Three evaluations of 2 × 25 steps before it.
    outcome = launch("--config", toy_config, "--run_dir", run, hook=partial(signal_in_evaluation, 170, log))
    assert outcome.code == 75 and not log.exists()
    assert (status(run)["state"], status(run)["frames"]) == ("stopped", 2400)
    assert launch("--resume", run).code == 0
    assert_same_run(run, uninterrupted)


@pytest.mark.parametrize(
    "frames",
    [
        pytest.param([1304], id="between checkpoints"),
        pytest.param([304], id="before the first", marks=pytest.mark.slow),
        pytest.param([200, SWITCH, 816], id="again and again", marks=pytest.mark.slow),
    ],
)
def test_a_killed_run_equals_the_uninterrupted(
    toy_config: Path, uninterrupted: Path, tmp_path: Path, frames: list[int]
) -> None:
    interrupted(toy_config, tmp_path / "run", frames, signal.SIGKILL)
    assert_same_run(tmp_path / "run", uninterrupted)


@pytest.mark.slow
def test_killed_while_saving(toy_config: Path, uninterrupted: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    outcome = launch("--config", toy_config, "--run_dir", run, hook=partial(kill_in_save, 700))
    assert outcome.code == -signal.SIGKILL
    assert checkpoint(run)[0] == 352
    assert launch("--resume", run).code == 0
    assert_same_run(run, uninterrupted)


@pytest.mark.slow
def test_killed_at_a_random_moment(toy_config: Path, uninterrupted: Path, tmp_path: Path) -> None:
    run, seconds = tmp_path / "run", random.random()
    running = start("--config", toy_config, "--run_dir", run)
    _wait_for_progress(run, running.process.is_alive)
    time.sleep(seconds)
    with contextlib.suppress(ProcessLookupError):  # it may have ended
        os.kill(running.process.pid, signal.SIGKILL)
    code = running.outcome().code
    assert code in (-signal.SIGKILL, 0)
    print(f"killed after {seconds:.3f} s at {status(run)['frames']} frames")
    assert launch("--resume", run).code == 0
    assert_same_run(run, uninterrupted)


@pytest.mark.parametrize(
    ("number", "reason"),
    [(signal.SIGTERM, "SIGTERM"), pytest.param(signal.SIGINT, "Ctrl-C", marks=pytest.mark.slow)],
)
def test_the_real_command_line_and_a_real_signal(
    toy_config: Path, tmp_path: Path, number: signal.Signals, reason: str
) -> None:
    run = tmp_path / "run"
    endless = ["--frames", "100000000", "--stream.visit_frames", "100000000", "--evaluation.period", "0"]
    arguments = [sys.executable, "train.py", "--config", toy_config, "--run_dir", run, *endless]
    train = subprocess.Popen(arguments, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    _wait_for_progress(run, lambda: train.poll() is None)
    train.send_signal(number)
    _, err = train.communicate(timeout=300)
    assert train.returncode == 75 and "Traceback" not in err
    said = status(run)
    assert (said["state"], said["message"]) == ("stopped", reason) and said["frames"] > 0
    assert launch("--resume", run, "--frames", said["frames"] + 96).code == 0
    assert (status(run)["state"], status(run)["frames"]) == ("finished", said["frames"] + 96)


def test_a_finished_run_goes_further_as_if_it_had_never_ended(
    toy_config: Path, uninterrupted: Path, tmp_path: Path
) -> None:
    """Length, logging and evaluation may change; what is learned may not. Its last evaluation is extra."""
    run = tmp_path / "run"
    assert launch("--config", toy_config, "--run_dir", run, "--frames", 1304).code == 0
    changes = ("--frames", 2400, "--log.period", 300, "--evaluation.episodes", 1, "--log.checkpoint_period", 900)
    assert launch("--resume", run, *changes).code == 0
    parts = ("stream", "agent", "memory", "consolidation", "episodes")
    assert_alike(checkpoint(run, parts), checkpoint(uninterrupted, parts))
    assert {"1304", "2400"} <= {row["frames"] for row in evaluations(run)}


@pytest.mark.slow
def test_a_run_moves_to_another_machine_in_small_files(toy_config: Path, uninterrupted: Path, tmp_path: Path) -> None:
    """By the README's commands, and to another path."""
    here, there, pieces = (tmp_path / name for name in ("here", "there", "pieces"))
    hook = partial(signal_at, 1304)
    assert launch("--config", toy_config, "--run_dir", here / "run", hook=hook).code == 75
    there.mkdir()
    pieces.mkdir()
    _shell(f"tar -C {here} -c run | gzip | split -b 200K -d -a 3 - {pieces}/run.")
    sizes = [piece.stat().st_size for piece in pieces.iterdir()]
    assert len(sizes) > 2 and max(sizes) == 200 * 1024
    shutil.rmtree(here)
    _shell(f"cat {pieces}/run.* | tar -C {there} -xz")
    assert launch("--resume", there / "run").code == 0
    assert_same_run(there / "run", uninterrupted)


ATARI = {
    "seed": 5,
    "frames": 2600,
    "task_source": "inferred",
    "threads": 1,
    "stream": {"games": ["krull", "pong"], "visit_frames": 1000, "reseed_frames": 700},
    "emulators": {"num_envs": 2, "threads": 1, "sticky_actions": 0.25},
    "learner": {
        "network": "small",
        "precision": "float32",
        "batch_size": 8,
        "samples_per_step": 1,
        "n_step": 3,
        "target_frames": 200,
        "learning_rate": 0.001,
    },
    "exploration": {"hold_frames": 100, "decay_frames": 800},
    "replay": {"capacity": 400, "min_history": 40},
    "evaluation": {"period": 1300, "episodes": 2, "final_episodes": 2, "emulators": 2, "max_episode_frames": 200},
    "log": {"period": 100, "image_period": 500, "checkpoint_period": 600},
}


@pytest.fixture(scope="module")
def atari(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A configuration of two real games with sticky actions, and a run of it that nobody disturbed."""
    directory = tmp_path_factory.mktemp("atari")
    config = write_config(directory / "atari.yaml", ATARI)
    outcome = launch("--config", config, "--run_dir", directory / "run")
    assert outcome.code == 0, outcome.err
    frames, parts = checkpoint(directory / "run")
    assert (frames, parts["stream"]["visit"]) == (2600, 2) and parts["agent"]["updates"] > 50
    return config, directory / "run"


def test_real_games_stopped_once(atari: tuple[Path, Path], tmp_path: Path) -> None:
    """In the second game; resumed with another number of threads, which changes no result."""
    config, whole = atari
    run = tmp_path / "run"
    assert launch("--config", config, "--run_dir", run, hook=partial(signal_at, 1904)).code == 75
    outcome = launch("--resume", run, "--emulators.threads", 2)
    assert outcome.code == 0, outcome.err
    assert_same_run(run, whole)


@pytest.mark.slow
def test_real_games_stopped_and_killed_many_times(atari: tuple[Path, Path], tmp_path: Path) -> None:
    """In mid-episode, at a switch, in an evaluation, after several switches; and killed."""
    config, whole = atari
    run = tmp_path / "run"
    assert launch("--config", config, "--run_dir", run, hook=partial(signal_at, 504)).code == 75
    assert launch("--resume", run, hook=partial(signal_at, 1000)).code == 75
    evaluation = partial(signal_in_evaluation, 60, tmp_path / "steps")  # 50 steps a game
    assert launch("--resume", run, hook=evaluation).code == 75
    assert status(run)["frames"] == 1304 and not (tmp_path / "steps").exists()
    assert launch("--resume", run, hook=partial(signal_at, 1904, signal.SIGKILL)).code == -signal.SIGKILL
    assert launch("--resume", run, hook=partial(signal_at, 2304)).code == 75
    outcome = launch("--resume", run)
    assert outcome.code == 0, outcome.err
    assert_same_run(run, whole)


def _shell(command: str) -> None:
    subprocess.run(["bash", "-euo", "pipefail", "-c", command], check=True)


def _wait_for_progress(run: Path, alive: Callable[[], bool]) -> None:
    """Until the first status that tells of frames, or the process has ended."""
    while alive() and not ((run / "status.json").is_file() and status(run)["frames"]):
        time.sleep(0.02)


@pytest.fixture(scope="module")
def closing(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A configuration in which silent units are closed when a task is left, by five minibatches, before its Fisher
    information is measured on as many; and a run of it that nobody disturbed."""
    directory = tmp_path_factory.mktemp("closing")
    ewc = {"start_frames": 100, "min_visit_frames": 0, "ewc_lambda": 10.0, "fisher_batches": 5, "prune_inactive": True}
    config = write_config(directory / "toy.yaml", TOY, frames=1600, task_source="inferred", consolidation=ewc)
    assert launch("--config", config, "--run_dir", directory / "run").code == 0
    return config, directory / "run"


@pytest.mark.parametrize("batch", [6, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 3, 5, 8, 10))])
def test_a_stop_while_a_task_is_left_does_not_wait_for_it(
    closing: tuple[Path, Path], tmp_path: Path, batch: int
) -> None:
    """It is given up and measured again; 5: its units are closed by then."""
    config, undisturbed = closing
    run, more = tmp_path / "run", tmp_path / "more"
    outcome = launch("--config", config, "--run_dir", run, hook=partial(signal_in_departure, batch, more))
    assert outcome.code == 75, outcome.err
    assert not more.exists() and (batch == 10 or "leaving task 0 abandoned" in outcome.err)
    frames, parts = checkpoint(run, ("agent",))
    assert SWITCH <= frames < SWITCH + 100
    if batch < 10:  # else it was the last one that was wanted
        assert parts["agent"]["task"] == 0 and parts["agent"]["change"]["pruned"] == (batch >= 5)
    if batch == 6:  # it may also end there, with a task that was found and not begun
        short = Path(shutil.copytree(run, tmp_path / "short"))
        assert launch("--resume", short, "--frames", frames).code == 0
    assert launch("--resume", run).code == 0
    assert_same_run(run, undisturbed)


@pytest.mark.slow
def test_a_stop_while_there_is_nothing_to_save_is_obeyed_at_once(
    toy_config: Path, uninterrupted: Path, tmp_path: Path
) -> None:
    """While the emulators play again what they had played, and while the report is written."""
    run = tmp_path / "run"
    launch("--config", toy_config, "--run_dir", run, hook=partial(signal_at, 1304))
    before = checkpoint(run)
    emulating = partial(signal_in, "envs.stream", "GameStream.load_state_dict")
    for hook in (emulating, partial(signal_in, "train", "final_report")):
        outcome = launch("--resume", run, hook=hook)
        assert outcome.code == 75 and "stopped at once" in outcome.err and f"--resume {run}" in outcome.err
        assert (status(run)["state"], status(run)["message"]) == ("stopped", "SIGTERM, at once")
        if hook is emulating:
            assert_alike(checkpoint(run), before)
    assert launch("--resume", run).code == 0
    assert_same_run(run, uninterrupted)
