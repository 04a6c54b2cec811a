"""The law of stop and resume, through the command line: an interrupted run leaves behind what an uninterrupted
one does, bit for bit."""

from __future__ import annotations

import contextlib
import json
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
from tests.integration.conftest import EWC
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
from tracking import task_log
from tracking.manifest import read_manifest, write_manifest


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
    assert checkpoint(uninterrupted, ("recall",))[1]["recall"]["drawn"] > 50
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


def visits_of(run: Path) -> list[tuple[str, int, int]]:
    """(game, first frame, end) of every visit."""
    return task_log.visits(task_log.read_changes(run / "task_changes.csv"), status(run)["frames"])


# Visits of 800 frames, every game at 1,200 and 2,400: at 800 and 1,600 the game just left alone.
LEFT = {**TOY["evaluation"], "period": 1200, "at_visit_ends": "left"}
ALONE = [800, 1600]


@pytest.fixture(scope="module")
def leaving(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A configuration that evaluates the game just left, and its run, which nobody disturbed; only to be read."""
    folder = tmp_path_factory.mktemp("leaving")
    config = write_config(folder / "left.yaml", TOY, task_source="inferred", consolidation=EWC, evaluation=LEFT)
    outcome = launch("--config", config, "--run_dir", folder / "run")
    assert outcome.code == 0, outcome.err
    return config, folder / "run"


def test_a_run_that_evaluates_the_game_just_left_leaves_what_it_should(leaving: tuple[Path, Path]) -> None:
    """Its row alone; its scores and no total; a snapshot; its name on the console; one whole table at the end."""
    _, run = leaving
    visits = [game for game, _, _ in visits_of(run)]
    assert len(visits) == 3 and visits[0] == visits[2] != visits[1]
    found = [(int(row["frames"]), row["game"]) for row in evaluations(run)]
    both = ["toy_catch", "toy_avoid"]
    assert found == [
        (800, visits[0]),
        *((1200, game) for game in both),
        (1600, visits[1]),
        *((2400, game) for game in both),
    ]
    lines = [line for line in metrics(run) if any(name.startswith("evaluation/") for name in line)]
    told = {line["frame"]: {name.split("/")[1] for name in line if name.startswith("evaluation/")} for line in lines}
    assert told[800] == {visits[0]} and told[1600] == {visits[1]}
    assert told[1200] >= {*both, "clipped_total"} and told[2400] >= {*both, "clipped_total"}
    assert [line["frame"] for line in lines if "charts/all_games_total" in line] == [1200, 2400]
    assert [step for step, tag in sorted(points(run)) if tag.startswith("charts/games")] == [1200, 2400]
    assert {path.stem for path in (run / "snapshots").iterdir()} >= {f"{frames:012d}" for frames in ALONE}
    final = json.loads((run / "report" / "scores.json").read_text())
    assert final["frames"] == 2400 and [row["game"] for row in final["games"]] == both


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize(
    "stops",
    [
        pytest.param([800], id="at it"),
        pytest.param([792, 808, 1600], id="around it", marks=pytest.mark.slow),
    ],
)
def test_a_run_stopped_about_the_evaluation_of_one_game_equals_the_uninterrupted(
    leaving: tuple[Path, Path], tmp_path: Path, stops: list[int], number: int
) -> None:
    config, uninterrupted = leaving
    interrupted(config, tmp_path / "run", stops, number)
    assert_same_run(tmp_path / "run", uninterrupted)


def test_the_evaluation_of_one_game_that_a_stop_cuts_short_is_of_that_game_again(
    leaving: tuple[Path, Path], tmp_path: Path
) -> None:
    config, uninterrupted = leaving
    run, log = tmp_path / "run", tmp_path / "steps"
    outcome = launch("--config", config, "--run_dir", run, hook=partial(signal_in_evaluation, 5, log))
    assert outcome.code == 75 and "evaluation abandoned" in outcome.err and status(run)["frames"] == 800
    outcome = launch("--resume", run)
    assert outcome.code == 0 and f"800: evaluation on leaving: {evaluations(run)[0]['game']} " in outcome.err
    assert_same_run(run, uninterrupted)


@pytest.mark.slow
def test_in_the_background_it_is_the_same(leaving: tuple[Path, Path], tmp_path: Path) -> None:
    """Stopped while it waits to be recorded, and again; the same numbers as in the run's own process."""
    config, uninterrupted = leaving
    arguments = ("--config", config, "--evaluation.background", "true", "--evaluation.report_after", "400")
    run = tmp_path / "run"
    assert launch(*arguments, "--run_dir", run, hook=partial(signal_at, 960)).code == 75
    assert checkpoint(run)[1]["milestones"]["pending"] == (800, False, evaluations(uninterrupted)[0]["game"])
    assert not (run / "evaluations.csv").exists()
    assert launch("--resume", run, hook=partial(signal_at, 1608, signal.SIGKILL)).code == -signal.SIGKILL
    outcome = launch("--resume", run)
    assert outcome.code == 0, outcome.err
    assert_alike(evaluations(run), evaluations(uninterrupted))
    assert_alike(checkpoint(run), checkpoint(uninterrupted))


@pytest.mark.slow
def test_a_run_of_an_earlier_version_goes_on_and_its_words_are_todays_from_then_on(
    leaving: tuple[Path, Path], tmp_path: Path
) -> None:
    """Its config.yaml and the settings in its checkpoints say true; that is all, as it was."""
    config, _ = leaving
    every = ("--evaluation.at_visit_ends", "all")
    assert launch("--config", config, *every, "--run_dir", tmp_path / "a").code == 0
    run = tmp_path / "b"
    assert launch("--config", config, *every, "--run_dir", run, hook=partial(signal_at, 808)).code == 75
    kept = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(kept.replace("at_visit_ends: all", "at_visit_ends: true"))
    for directory in (run / "checkpoints").iterdir():
        found = read_manifest(directory)
        found["meta"]["settings"]["evaluation.at_visit_ends"] = True
        write_manifest(directory, found["frames"], found["meta"], found["files"])
    outcome = launch("--resume", run)
    assert outcome.code == 0 and "is not what it was" not in outcome.err, outcome.err
    assert "at_visit_ends: all\n" in (run / "config.yaml").read_text()
    assert_same_run(run, tmp_path / "a")


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
