"""What goes wrong is told in one line, leaves the run as it was, and can be gone on from. Never a traceback."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

import train
from tests.commands import code_of
from tests.conformance.alike import assert_alike
from tests.integration.runs import (
    Outcome,
    assert_same_run,
    both,
    checkpoint,
    evaluations,
    fail_at,
    full_disk,
    kill_in_save,
    launch,
    lose_console,
    poison,
    signal_at,
    snapshots,
    start,
    status,
)
from tracking.checkpoints import load_file, save_file
from tracking.run_directory import RunDirectory
from tracking.snapshots import kept_snapshots, read_snapshot
from tracking.task_log import known_tasks, own_tasks, read_changes


@pytest.fixture(scope="module")
def stopped(toy_config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run stopped at 1,304 frames; tests that change it copy it."""
    run = tmp_path_factory.mktemp("stopped") / "run"
    outcome = launch("--config", toy_config, "--run_dir", run, hook=partial(signal_at, 1304))
    assert outcome.code == 75, outcome.err
    return run


@pytest.fixture
def run(stopped: Path, tmp_path: Path) -> Path:
    """A copy of the stopped run."""
    return Path(shutil.copytree(stopped, tmp_path / "run"))


Refused = Callable[..., str]


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Refused:
    """The one line with which train.py refuses its arguments; in this process."""

    def told(*arguments: object) -> str:
        code, said = code_of(train.main, arguments), capsys.readouterr().err
        assert code == 2 and said.startswith("train.py: ") and len(said.splitlines()) == 1, said
        return said

    return told


def contents(directory: Path) -> dict[str, bytes]:
    """Every file in it, but the lock."""
    files = (path for path in directory.rglob("*") if path.is_file() and path.name != "lock")
    return {str(path.relative_to(directory)): path.read_bytes() for path in files}


# -- refusals ------------------------------------------------------------------------------------------------


def test_a_second_process_is_refused(run: Path, refused: Refused) -> None:
    before = contents(run)
    with RunDirectory(run) as held:
        held.resume()
        complaint = refused("--resume", run)
    assert f"another process (pid {os.getpid()}) is working in {run}" in complaint
    assert contents(run) == before


def test_an_existing_directory_is_refused(toy_config: Path, run: Path, refused: Refused) -> None:
    before = contents(run)
    assert f"--resume {run}" in refused("--config", toy_config, "--run_dir", run)
    assert contents(run) == before


def test_changed_learning_settings_are_refused_and_listed(run: Path, refused: Refused) -> None:
    before = contents(run)
    changes = ("--learner.n_step", 5, "--seed", 9, "--frames", 5000, "--log.period", 50)
    complaint = refused("--resume", run, *changes)
    assert "learner.n_step: 2 in the run, 5 asked for" in complaint and "seed: 3 in the run, 9" in complaint
    assert "frames" not in complaint and "log" not in complaint
    assert contents(run) == before


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("--stream.games", "[toy_rise, toy_catch]"), "stream.games"),
        (("--emulators.num_envs", 4), "emulators.num_envs"),
        (("--replay.capacity", 400), "replay.capacity"),
        (("--threads", 2), "threads"),
        (("--init_from", "x.pt"), "--init_from begins a new run"),
    ],
)
def test_each_is_refused(stopped: Path, change: tuple[object, ...], told: str, refused: Refused) -> None:
    assert told in refused("--resume", stopped, *change)


def test_there_is_nothing_to_resume(tmp_path: Path, refused: Refused) -> None:
    assert "no run to resume" in refused("--resume", tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


def test_no_such_files(toy_config: Path, tmp_path: Path, refused: Refused) -> None:
    new = ("--run_dir", tmp_path / "run")
    assert "nothing.pt" in refused("--config", toy_config, *new, "--init_from", tmp_path / "nothing.pt")
    assert "nothing.yaml" in refused("--config", tmp_path / "nothing.yaml", *new)
    assert not (tmp_path / "run").exists()


def test_a_run_is_not_made_shorter_than_it_is(run: Path, refused: Refused) -> None:
    before = contents(run)
    assert "the run has come to 1,304 already" in refused("--resume", run, "--frames", 1000)
    assert contents(run) == before


@pytest.mark.parametrize("left", ["snapshots", "metrics.jsonl", "evaluations.csv", "task_changes.csv", "events"])
def test_what_is_left_of_a_run_is_not_overwritten(run: Path, left: str, refused: Refused) -> None:
    """Without checkpoints a resume would begin anew, over the files of what was done; any of them speaks for it."""
    for path in run.iterdir():
        if not path.name.startswith((left, "config.yaml", "origin.json", "lock")):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    before = contents(run)
    complaint = refused("--resume", run)
    assert str(run / left) in complaint and str(run / "checkpoints") in complaint
    assert contents(run) == before


# -- damage --------------------------------------------------------------------------------------------------


def test_a_damaged_checkpoint_is_named_and_the_one_before_used(run: Path, uninterrupted: Path) -> None:
    newest = sorted((run / "checkpoints").iterdir())[-1]
    assert newest.name == f"{1304:012d}"
    part = newest / "agent.pt"
    data = bytearray(part.read_bytes())
    data[len(data) // 2] ^= 1
    part.write_bytes(data)
    outcome = launch("--resume", run)
    assert outcome.code == 0, outcome.err
    assert "Traceback" not in outcome.err and f"{newest} is damaged (" in outcome.err and "agent.pt" in outcome.err
    assert_same_run(run, uninterrupted)


@pytest.mark.slow
def test_all_checkpoints_damaged(run: Path) -> None:
    for directory in (run / "checkpoints").iterdir():
        (directory / "agent.pt").unlink()
    outcome = launch("--resume", run)
    assert outcome.code == 1 and "none of the 2 checkpoints" in outcome.complaint
    assert f"--init_from {sorted((run / 'snapshots').iterdir())[-1]}" in outcome.complaint
    assert "--resume" not in outcome.complaint
    assert status(run)["state"] == "failed"


@pytest.mark.slow
def test_ctrl_c_twice_stops_at_once_and_loses_only_what_was_not_saved(
    toy_config: Path, uninterrupted: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    outcome = launch("--config", toy_config, "--run_dir", run, hook=partial(_ctrl_c_twice, 1304))
    assert outcome.code == 75 and "Traceback" not in outcome.err
    assert f"stopped at once; what came after the last checkpoint is done again by: --resume {run}" in outcome.err
    assert status(run)["state"] == "stopped"
    assert launch("--resume", run).code == 0
    assert_same_run(run, uninterrupted)


def _ctrl_c_twice(frames: int) -> None:
    signal_at(frames, signal.SIGINT)
    signal_at(frames, signal.SIGINT)


# -- breakdowns of a run under way ----------------------------------------------------------------------------


def failed(outcome: Outcome, run: Path, told: str, last_good: int) -> None:
    """Exit code 1, one line, the last good checkpoint named, and the status says so too."""
    assert outcome.code == 1, outcome.err
    assert told in outcome.complaint and f"{last_good:,} frames (--resume {run})" in outcome.complaint
    said = status(run)
    assert said["state"] == "failed" and told in said["message"]


def test_nan_stops_the_run_and_its_last_good_checkpoint_resumes(
    toy_config: Path, uninterrupted: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    failed(launch("--config", toy_config, "--run_dir", run, hook=partial(poison, 1000)), run, "learning diverged", 704)
    assert launch("--resume", run).code == 0
    assert_same_run(run, uninterrupted)


@pytest.mark.slow
def test_nan_just_before_a_checkpoint_is_not_saved(toy_config: Path, tmp_path: Path) -> None:
    """Also where no metric was logged in between."""
    run = tmp_path / "run"
    seldom = ("--log.period", 100_000)
    outcome = launch("--config", toy_config, "--run_dir", run, *seldom, hook=partial(poison, 1000))
    failed(outcome, run, "not finite", 704)
    _, parts = checkpoint(run, ("agent",))
    network = parts["agent"]["learner"]["network"]
    assert all(bool(torch.isfinite(value).all()) for value in network.values())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("often", "frames"),
    [
        ((), 784),
        (("--evaluation.period", 100), 1000),
        (("--evaluation.period", 100, "--evaluation.background", "true"), 1000),
    ],
    ids=["at a switch", "at an evaluation", "in the background"],
)
def test_no_snapshot_is_kept_and_nothing_is_played_with_nan(
    toy_config: Path, tmp_path: Path, often: tuple[object, ...], frames: int
) -> None:
    run = tmp_path / "run"
    seldom = ("--log.period", 100_000, "--log.checkpoint_period", 100_000)
    outcome = launch("--config", toy_config, "--run_dir", run, *seldom, *often, hook=partial(poison, frames))
    failed(outcome, run, "not finite", 0)
    kept = [read_snapshot(path) for path in kept_snapshots(run / "snapshots")]  # refuses what is not finite
    assert kept and max(snapshot["frames"] for snapshot in kept) <= frames
    assert max(int(row["frames"]) for row in evaluations(run)) <= frames


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_no_run_begins_with_weights_that_are_not_finite(
    toy_config: Path, uninterrupted: Path, tmp_path: Path, value: float, refused: Refused
) -> None:
    snapshot = load_file(uninterrupted / "snapshots" / f"{1600:012d}.pt")
    next(iter(snapshot["agent"]["network"].values())).view(-1)[0] = value
    save_file(tmp_path / "nan.pt", snapshot)
    new = ("--config", toy_config, "--run_dir", tmp_path / "run", "--init_from", tmp_path / "nan.pt")
    assert "is not finite" in refused(*new)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("function", "frames", "last_good"),
    [
        ("write_tree", 1100, 1056),
        pytest.param("write_packed", 1100, 1056, marks=pytest.mark.slow),
        pytest.param("write", 1100, 1056, marks=pytest.mark.slow),
    ],
)
def test_a_full_disk(
    toy_config: Path, uninterrupted: Path, tmp_path: Path, function: str, frames: int, last_good: int
) -> None:
    run = tmp_path / "run"
    outcome = launch("--config", toy_config, "--run_dir", run, hook=partial(full_disk, function, frames))
    failed(outcome, run, "the disk is full", last_good)
    assert launch("--resume", run).code == 0
    assert_same_run(run, uninterrupted)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        pytest.param(
            OSError(errno.EMFILE, os.strerror(errno.EMFILE)), "too many files are open", marks=pytest.mark.slow
        ),
        (MemoryError(), "not enough memory"),
        pytest.param(
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 64 bytes"),
            "not enough memory",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_machine_that_has_too_little(toy_config: Path, tmp_path: Path, error: Exception, told: str) -> None:
    run = tmp_path / "run"
    failed(launch("--config", toy_config, "--run_dir", run, hook=partial(fail_at, 1100, error)), run, told, 1056)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_a_lost_console_neither_ends_a_run_nor_keeps_it_from_being_stopped(
    toy_config: Path, uninterrupted: Path, tmp_path: Path, number: signal.Signals
) -> None:
    """Ctrl-C ends `tee` as well, and a terminal that closes sends SIGHUP."""
    run = tmp_path / "run"
    stop = partial(both, lose_console, partial(signal_at, 1304, number))
    assert launch("--config", toy_config, "--run_dir", run, hook=stop).code == 75
    assert (status(run)["state"], status(run)["frames"]) == ("stopped", 1304)
    assert launch("--resume", run, hook=lose_console).code == 0
    assert status(run)["state"] == "finished"
    assert_same_run(run, uninterrupted)


@pytest.mark.slow
@pytest.mark.parametrize(
    "hook",
    [
        pytest.param(partial(kill_in_save, 0), id="before any"),
        pytest.param(partial(signal_at, 304, signal.SIGKILL), id="before the first of its period"),
    ],
)
def test_killed_before_a_checkpoint_it_starts_over_with_clean_logs(
    toy_config: Path, uninterrupted: Path, tmp_path: Path, hook: partial[None]
) -> None:
    run = tmp_path / "run"
    killed = launch("--config", toy_config, "--run_dir", run, hook=hook)
    assert killed.code == -signal.SIGKILL and (run / "config.yaml").is_file()
    assert not (run / "checkpoints" / f"{352:012d}").exists()
    if any((run / "checkpoints").glob("0*")):
        with open(run / "metrics.jsonl", "a") as file:  # as if more had been written
            file.write(json.dumps({"frame": 296, "learning/loss": 1.0}) + "\n")
    assert launch("--resume", run).code == 0
    assert_same_run(run, uninterrupted)


def test_no_report_makes_a_run_fail(toy_config: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    outcome = launch("--config", toy_config, "--run_dir", run, "--frames", 16, hook=_lost_evaluations)
    assert outcome.code == 0 and "Traceback" not in outcome.err
    assert "the report could not be written (FileNotFoundError: " in outcome.err
    assert status(run)["state"] == "finished"
    assert "has finished" not in outcome.err
    again = launch("--resume", run)
    assert again.code == 0 and (run / "report" / "scores.json").is_file()
    assert "this run has finished; its report is written anew, and --frames N would take it further" in again.err


def _lost_evaluations() -> None:
    """Someone removes a file before the report is written."""
    from tracking.writers import CsvWriter

    close = CsvWriter.close

    def closing(self: CsvWriter) -> None:
        close(self)
        self._file.path.unlink()

    CsvWriter.close = closing  # type: ignore[method-assign]


@pytest.mark.slow
def test_what_lies_beside_the_checkpoints_is_not_needed(run: Path, uninterrupted: Path) -> None:
    """Every file but config.yaml, garbage at once; what they held of the run until then is written again or told."""
    for path in run.iterdir():
        if path.is_file() and path.suffix in (".json", ".csv"):
            path.write_bytes(b"\xff{]" * 9)
    outcome = launch("--resume", run)
    assert outcome.code == 0 and "Traceback" not in outcome.err, outcome.err
    for name in ("evaluations.csv", "task_changes.csv", "versions.json"):
        assert str(run / name) in outcome.err and (run / f"{name}.damaged").is_file()
    assert_same_run(run, uninterrupted)


# -- beginning from old weights --------------------------------------------------------------------------------


def assert_same_knowledge(a: dict[str, Any], b: dict[str, Any]) -> None:
    """Equal weights and task models; two steps into a run, its first window is still undecided."""
    assert_alike(a["network"], b["network"])
    assert_alike(a["task_source"]["models"], b["task_source"]["models"])
    assert a["task_source"]["waiting"] == 2


def test_init_from_begins_with_the_snapshots_weights(toy_config: Path, uninterrupted: Path, tmp_path: Path) -> None:
    snapshot = uninterrupted / "snapshots" / f"{1600:012d}.pt"
    run = tmp_path / "run"
    # Nothing is learned before the end, and the snapshot at the end holds the weights.
    short = ("--frames", 16, "--seed", 11)
    outcome = launch("--config", toy_config, "--run_dir", run, "--init_from", snapshot, *short)
    assert outcome.code == 0, outcome.err
    assert_same_knowledge(snapshots(run)[f"{16:012d}.pt"]["agent"], load_file(snapshot)["agent"])
    # It has played one game only, and knows the tasks of both.
    known = own_tasks(read_changes(uninterrupted / "task_changes.csv"), 1600)
    assert len(known) == 2 and len(own_tasks(read_changes(run / "task_changes.csv"), 16)) == 1
    assert known_tasks(RunDirectory(run), 16).keys() == known.keys()
    assert json.loads((run / "tasks_before.json").read_text()) == known


@pytest.mark.slow
def test_killed_at_once_it_still_has_them(toy_config: Path, uninterrupted: Path, tmp_path: Path) -> None:
    snapshot = uninterrupted / "snapshots" / f"{1600:012d}.pt"
    run = tmp_path / "run"
    arguments = ("--config", toy_config, "--run_dir", run, "--init_from", snapshot, "--frames", 16)
    assert launch(*arguments, hook=partial(signal_at, 8, signal.SIGKILL)).code == -signal.SIGKILL
    assert launch("--resume", run).code == 0
    assert_same_knowledge(snapshots(run)[f"{16:012d}.pt"]["agent"], load_file(snapshot)["agent"])


@pytest.mark.slow
def test_killed_before_its_first_checkpoint_it_knows_what_it_began_with(
    toy_config: Path, uninterrupted: Path, tmp_path: Path, refused: Refused
) -> None:
    snapshot = Path(shutil.copy(uninterrupted / "snapshots" / f"{1600:012d}.pt", tmp_path))
    run = tmp_path / "run"
    arguments = ("--config", toy_config, "--run_dir", run, "--init_from", snapshot, "--frames", 16)
    assert launch(*arguments, hook=partial(kill_in_save, 0)).code == -signal.SIGKILL
    whole, origin = snapshot.read_bytes(), (run / "origin.json").read_bytes()
    for path, content in ((snapshot, None), (snapshot, whole[:-9]), (run / "origin.json", b"")):
        path.unlink()
        if content is not None:
            path.write_bytes(content)
        before = contents(run)
        assert str(path) in refused("--resume", run) and contents(run) == before
        (run / "origin.json").write_bytes(origin)
        snapshot.write_bytes(whole)
    assert launch("--resume", run).code == 0
    assert_same_knowledge(snapshots(run)[f"{16:012d}.pt"]["agent"], load_file(snapshot)["agent"])


@pytest.mark.parametrize("what", ["garbage", "another file", "another network", "no background"])
def test_a_file_that_is_no_fitting_snapshot_is_refused(
    toy_config: Path, uninterrupted: Path, tmp_path: Path, what: str, refused: Refused
) -> None:
    path = uninterrupted / "snapshots" / f"{1600:012d}.pt"
    changes: tuple[Any, ...] = ()
    if what == "garbage":
        path = tmp_path / "garbage.pt"
        path.write_bytes(b"no weights")
    elif what == "another file":
        path = uninterrupted / "checkpoints" / f"{2400:012d}" / "stream.pt"
    elif what == "another network":
        changes = ("--learner.network", "nature")
    else:
        changes = ("--learner.subtract_background", "true")
    arguments = ("--config", toy_config, "--run_dir", tmp_path / "run", "--init_from", path, *changes)
    for more in ((), ("--dry_run",)):
        complaint = refused(*arguments, *more)
        assert str(path) in complaint and ("without backgrounds" in complaint) == (what == "no background")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_two_at_once_one_goes_on(toy_config: Path, uninterrupted: Path, tmp_path: Path) -> None:
    """Two that start together on one directory: one is refused, the other is not disturbed."""
    both = [start("--config", toy_config, "--run_dir", tmp_path / "run") for _ in range(2)]
    codes = sorted(each.outcome().code for each in both)
    assert codes == [0, 2]
    assert_same_run(tmp_path / "run", uninterrupted)
