"""Runs of a sweep on Ray: each once, equal to a bare run, whatever dies in between."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

import sweep
from sweeps import node as sweep_node
from sweeps.directory import own
from sweeps.node import execute, gave_up, place, read_attempts
from sweeps.plan import read_sweep, trials
from sweeps.runs import (
    Needs,
    SweepError,
    _elsewhere,
    _interrupts,
    check_locks,
    read_nodes,
    runs_at_once,
)
from sweeps.status import Begun, Speed, check_storage, describe, plan_sweep, progress, state, status_table
from tests.integration.runs import ROOT, TOY, alive, assert_same_run, launch, write_config
from tests.sweeps.drivers import PATIENCE, finish, refused, start, wait_for
from tracking.run_directory import BAD_INPUT, FAILED, FINISHED, STOPPED

pytest.importorskip("ray", reason="Ray is not installed (make sweep installs it)")


@pytest.fixture(scope="module")
def toys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep of two runs of toys."""
    folder = tmp_path_factory.mktemp("sweep")
    config = write_config(folder / "toy.yaml", {**TOY, "frames": 4800})
    found = {"config": str(config), "agents": ["ewc_labels", "no_penalty"], "memory_gib": 0.5}
    (folder / "toys.yaml").write_text(yaml.safe_dump(found))
    return folder / "toys.yaml"


@pytest.fixture(scope="module")
def bare(toys: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same runs one by one."""
    folder = tmp_path_factory.mktemp("bare")
    for trial in trials(read_sweep(toys)):
        assert launch(*trial.arguments, "--run_dir", folder / trial.name).code == 0
    return folder


def frames(directory: Path, name: str) -> int:
    return place(directory, name).run.frames


def assert_as_bare(toys: Path, directory: Path, bare: Path) -> None:
    for trial in trials(read_sweep(toys)):
        assert state(place(directory, trial.name)) == "finished"
        assert_same_run(place(directory, trial.name).run.path, bare / trial.name)


@pytest.mark.slow
def test_a_sweep_survives_an_interruption_and_the_death_of_a_worker_and_of_its_driver(
    toys: Path, bare: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = tmp_path / "sweep"
    names = [trial.name for trial in trials(read_sweep(toys))]
    attempts = place(directory, names[0]).attempts
    first = start(toys, "--dir", directory)
    wait_for(lambda: frames(directory, names[0]) > 300, first)
    first.send_signal(signal.SIGINT)
    code, out, _ = finish(first)
    assert code == STOPPED and f"--resume {directory}" in out
    assert state(place(directory, names[0])) == "stopped"
    stopped = frames(directory, names[0])
    second = start("--resume", directory)
    wait_for(lambda: place(directory, names[0]).kept_frames > stopped, second)
    run = read_attempts(attempts)[1]["pid"]
    worker = int(Path(f"/proc/{run}/stat").read_text().rsplit(")", 1)[1].split()[1])
    os.kill(worker, signal.SIGKILL)
    wait_for(lambda: len(read_attempts(attempts)) > 2, second)
    assert not alive(run)  # the run has died with its worker
    resumed = read_attempts(attempts)[2]["frames"]
    wait_for(lambda: place(directory, names[0]).kept_frames > resumed, second)
    second.kill()
    second.wait()
    deadline = time.monotonic() + PATIENCE
    while any(place(directory, name).run.busy() for name in names):
        assert time.monotonic() < deadline, "runs have outlived their driver"
        time.sleep(0.1)
    code, out, err = finish(start("--resume", directory))
    assert code == FINISHED, err
    assert_as_bare(toys, directory, bare)
    started = [read_attempts(place(directory, name).attempts) for name in names]
    at = [each["frames"] for each in started[0]]
    assert len(at) >= 4 and at == sorted(at) and at[:3] == [0, stopped, resumed]
    assert resumed > stopped and at[3] > resumed  # checkpoints, every 350 frames
    assert (directory / "report" / "sweep.html").is_file()
    shutil.rmtree(directory / "report")
    assert sweep.main([str(toys), "--dir", str(directory), "--unmeasured"]) == FINISHED
    assert "2, all of which are finished" in capsys.readouterr().out
    assert (directory / "report" / "sweep.html").is_file()
    assert [read_attempts(place(directory, name).attempts) for name in names] == started  # nothing was run again
    assert sweep.main(["--status", str(directory)]) == FINISHED
    told = capsys.readouterr().out
    assert told.count("finished") == 2 and "100.0%" in told
    assert sweep.main(["--report", str(directory)]) == FINISHED and "sweep.html" in capsys.readouterr().out


@pytest.mark.slow
def test_runs_are_spread_over_nodes_and_move_when_one_stops(toys: Path, bare: Path, tmp_path: Path) -> None:
    from ray.cluster_utils import Cluster

    directory = tmp_path / "sweep"
    names = [trial.name for trial in trials(read_sweep(toys))]
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    try:
        nodes = [cluster.add_node(num_cpus=1) for _ in names]
        process = start(toys, "--dir", directory, "--address", cluster.address)
        wait_for(lambda: all(frames(directory, name) > 500 for name in names), process)
        used = [read_attempts(place(directory, name).attempts)[0]["node"] for name in names]
        assert sorted(used) == sorted(node.node_id for node in nodes)
        cluster.remove_node(next(node for node in nodes if node.node_id == used[0]), allow_graceful=False)
        code, _, err = finish(process)
    finally:
        cluster.shutdown()
    assert code == FINISHED, err
    assert_as_bare(toys, directory, bare)
    first, second = (read_attempts(place(directory, name).attempts) for name in names)
    assert len(second) == 1 and len(first) > 1 and {each["node"] for each in first[1:]} == {used[1]}


@pytest.mark.slow
def test_a_run_that_fails_is_tried_again_and_told_and_the_others_go_on(toys: Path, tmp_path: Path) -> None:
    found = yaml.safe_load(toys.read_text()) | {"agents": ["ewc_labels"], "retries": 2, "settings": {"frames": 800}}
    found["retry_seconds"] = 1
    found["grid"] = {"learner.learning_rate": [0.001, 10.0]}  # which diverges
    file, directory = tmp_path / "bad.yaml", tmp_path / "sweep"
    file.write_text(yaml.safe_dump(found))
    code, _, err = finish(start(file, "--dir", directory))
    good, bad = (place(directory, trial.name) for trial in trials(read_sweep(file)))
    assert code == FAILED and state(good) == "finished" and state(bad) == "failed"
    assert f"{bad.run.path.name}: failed, see" in err
    assert len(read_attempts(bad.attempts)) == 3 and len(read_attempts(good.attempts)) == 1
    assert gave_up(bad) and not gave_up(good)


def test_two_drivers_do_not_work_in_one_directory(
    toys: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with open(tmp_path / "lock", "w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert "another sweep.py is working in" in refused(capsys, toys, "--dir", tmp_path, "--unmeasured")


def test_another_sweep_is_not_mixed_in(toys: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "sweep").mkdir()
    found = yaml.safe_load(toys.read_text()) | {"seeds": 3}
    (tmp_path / "sweep" / "sweep.yaml").write_text(yaml.safe_dump(found))
    assert "holds another sweep" in refused(capsys, toys, "--dir", tmp_path / "sweep", "--unmeasured")


def test_a_configuration_that_has_changed_since_is_refused(
    toys: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = yaml.safe_load(toys.read_text())
    base = Path(found["config"]).read_text()
    (tmp_path / "base.yaml").write_text(base)
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(found | {"config": str(tmp_path / "base.yaml")}))
    with own(tmp_path / "sweep", read_sweep(tmp_path / "mine.yaml")) as mine:
        assert Path(mine.config).read_text() == base and Path(mine.config).parent == tmp_path / "sweep"
    (tmp_path / "base.yaml").write_text(base + "\n# and more")
    arguments = (tmp_path / "mine.yaml", "--dir", tmp_path / "sweep", "--unmeasured")
    assert "has changed since the sweep" in refused(capsys, *arguments)


NODES = [
    {"Alive": True, "Resources": {"CPU": 4.0, "memory": 8 * 2**30, "GPU": 1.0}},
    {"Alive": True, "Resources": {"CPU": 2.0, "memory": 2**30}},
    {"Alive": False, "Resources": {"CPU": 64.0, "memory": 2**40, "GPU": 8.0}},
]


@pytest.mark.parametrize(
    ("needs", "expected"),
    [
        (Needs(1, 0, 2**30), 4 + 1),
        (Needs(1, 0, 3 * 2**30), 2),
        (Needs(1, 0.3, 2**30), 3),
        (Needs(1, 0.6, 2**30), 1),
        (Needs(2, 0, 2**29), 2 + 1),
    ],
)
def test_runs_at_once_are_counted_on_living_nodes(needs: Needs, expected: int) -> None:
    assert runs_at_once(needs, NODES) == expected


def test_a_part_of_a_gpu_is_of_one_gpu() -> None:
    nodes = read_nodes("2x64,8,512")
    assert [runs_at_once(Needs(1, gpus, 2**30), nodes) for gpus in (0.25, 0.3, 0.6, 1, 2)] == [64, 48, 16, 16, 8]


@pytest.mark.parametrize(
    "text", ["8", "8x16,1,1.2.8", "0x2,0,8", f"{10**30}x2,0,8", f"1x{10**400},0,8", f"1x2,0,{10**400}", "٣x2,0,8"]
)
def test_nodes_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(SweepError, match="write NODESxCORES,GPUS,GIB") as caught:
        read_nodes(text)
    assert len(str(caught.value)) < 200


def test_the_plan_counts_whole_rounds(toys: Path) -> None:
    found = replace(read_sweep(toys), seeds=tuple(range(60)))
    planned = plan_sweep(
        found,
        trials(found),
        {"ewc_labels-seed0": Begun(4800, finished=True), "ewc_labels-seed1": Begun(2400)},
        Speed(given=4800 / 3600),
    )
    assert planned.run_seconds == pytest.approx(3600 * 118.5 / 119) and planned.frames == 120 * 4800
    told = describe(planned, 100, toys.parent)
    assert "duration: about 1 h 59 min, 2 runs one after another in every place (1 h a run" in told
    assert "120, of which 1 are finished" in told and "GiB are free" in told


def test_a_long_sweep_shows_what_is_under_way(toys: Path, tmp_path: Path) -> None:
    found = trials(replace(read_sweep(toys), seeds=tuple(range(10))))
    for trial, how in ((found[7], "failed"), (found[3], "finished"), (found[5], "stopped")):
        run = place(tmp_path, trial.name).run
        run.path.mkdir(parents=True)
        run.write_status(how, 100, 400)
    table = status_table(found, tmp_path, {}, most=4)
    names, states, shares = (list(column.cells) for column in table.columns[:3])
    assert names == [found[7].name, found[5].name, found[0].name, "and 17 more"]
    assert states == ["failed", "stopped", "waiting", "16 waiting, 1 finished"] and shares[0] == "25.0%"


def test_the_last_total_is_of_the_last_evaluation_of_every_game(tmp_path: Path) -> None:
    """Of one game there is none, nor of a line that is still being written."""
    run = place(tmp_path, "one").run
    run.path.mkdir(parents=True)
    run.task_changes.write_text("frames,game,task,posterior\n0,pong,0,1.0\n100,krull,1,1.0\n")
    table = "frames,game,mean,human_normalised\n"
    for line, total in (
        ("100,pong,1,0.5\n", ""),
        ("200,pong,1,0.25\n200,krull,1,1.5\n", "1.25"),
        ("300,pong,1,0.75\n", "1.25"),
        ("400,pong,1,0.0\n400,krull,1,0.5\n", "0.50"),
        ("500,pong,1,0.75\n500,kru", "0.50"),
    ):
        table += line
        run.evaluations.write_text(table)
        assert progress(place(tmp_path, "one")) == ("", total)
    run.evaluations.write_text("\0" * 40 + "\n")
    assert progress(place(tmp_path, "one")) == ("", "?")


@pytest.mark.slow
def test_a_run_that_comes_no_further_is_not_begun_for_ever(
    toys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = trials(read_sweep(toys))[0]
    where = place(tmp_path, trial.name)
    where.attempts.parent.mkdir(parents=True)
    where.attempts.write_text(5 * (json.dumps({"frames": 0, "pid": 1}) + "\n"))
    assert execute(str(tmp_path), trial.name, ("--frames", "0")) == FAILED
    assert where.log.read_text() == "given up: started 5 times at 0 frames without coming to the next checkpoint\n"
    monkeypatch.setattr(sweep_node, "_ray_node", lambda: "here")
    assert execute(str(tmp_path), trial.name, ("--frames", "0"), known=1) == BAD_INPUT  # it is begun: train.py's code
    where.attempts.write_text(5 * (json.dumps({"frames": 0, "pid": 1}) + "\n"))
    assert execute(str(tmp_path), trial.name, ("--frames", "0"), retries=1) == BAD_INPUT
    assert execute(str(tmp_path), trial.name, ("--frames", "0"), retries=1) == FAILED  # the sixth was that


def test_a_run_can_be_interrupted_though_its_sweep_is_a_background_job_of_a_shell(tmp_path: Path) -> None:
    """Which ignores SIGINT, as which Ray's cancelling comes."""
    run = place(tmp_path, "run").run
    run.path.mkdir(parents=True)
    run.write_status("finished", 8, 8)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert execute(str(tmp_path), "run", ()) == FINISHED
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_run_that_fits_nowhere_is_refused_in_one_line() -> None:
    with pytest.raises(SweepError) as raised:
        runs_at_once(Needs(1, 2, 2**30), NODES)
    assert "a run needs 1 cores, 2 GPUs, 1.0 GiB, which no node has" in str(raised.value)


def test_a_run_that_was_given_up_is_told_as_failed_until_it_is_started_again(tmp_path: Path) -> None:
    where = place(tmp_path, "killed")
    where.run.path.mkdir(parents=True)
    where.run.write_status("running", 100, 400)  # as a kill leaves it
    later = {"time": "9999-01-01T00:00:00+00:00"}
    starts = [{"pid": 1, "frames": 0, **later}, {"pid": 2, "frames": 0, **later}]
    lines = [json.dumps(line) for line in (starts[0], {"gave_up": -9, **later}, starts[1])]
    for count, expected in ((1, "waiting"), (2, "failed"), (3, "waiting")):
        where.attempts.write_text("\n".join(lines[:count]) + "\n")
        assert state(where) == expected
    assert [each["pid"] for each in read_attempts(where.attempts)] == [1, 2]
    where.attempts.write_text(json.dumps({"gave_up": -9, "time": "2000-01-01T00:00:00+00:00"}) + "\n")
    where.run.write_status("stopped", 200, 400)  # after that somebody has resumed it by hand
    assert state(where) == "stopped"


def test_a_start_goes_on_from_the_newest_checkpoint(tmp_path: Path) -> None:
    where = place(tmp_path, "run")
    assert where.kept_frames == 0
    for name in ("000000000350", "000000000700", ".tmp-000000001050"):
        (where.run.checkpoints / name).mkdir(parents=True)
    where.run.write_status("running", 1000, 4800)
    assert where.kept_frames == 700


class FakeRay:
    """Ray whose tasks run where they are asked for, at once."""

    def __init__(self, nodes: list[dict[str, Any]], fails: bool = False, blind: int | None = None) -> None:
        import ray

        self._nodes, self.fails, self.exceptions = nodes, fails, ray.exceptions
        self.blind, self.asked = blind, 0  # which of those asked sees no lock

    def nodes(self) -> list[dict[str, Any]]:
        return self._nodes

    def remote(self, function: Callable[..., Any]) -> FakeRay:
        self.function = function
        return self

    def options(self, **_: object) -> Any:
        return SimpleNamespace(remote=self.function)

    def get(self, result: Any) -> Any:
        if self.fails:
            raise self.exceptions.RayError("No module named 'experiments'")
        self.asked += 1
        return result and self.asked - 1 != self.blind


TWO = [{"NodeID": 56 * name, "NodeManagerHostname": "one", **NODES[0]} for name in "ab"]


def test_a_node_that_does_not_see_the_lock_or_cannot_run_this_is_named(tmp_path: Path) -> None:
    with pytest.raises(SweepError, match="one does not see the lock in"):
        check_locks(FakeRay(TWO), tmp_path)
    with pytest.raises(SweepError, match=r"one cannot run this checkout.*No module named"):
        check_locks(FakeRay(TWO, fails=True), tmp_path)
    with open(tmp_path / "lock", "w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        check_locks(FakeRay(TWO), tmp_path)
        with pytest.raises(SweepError, match="one does not see the lock in"):  # nodes of one name
            check_locks(FakeRay(TWO, blind=0), tmp_path)


def test_a_run_that_failed_goes_to_another_node_if_there_is_one_with_room() -> None:
    needs, node = Needs(1, 0, 2**30), TWO[0]["NodeID"]
    chosen = _elsewhere(FakeRay(TWO), needs, node)["scheduling_strategy"]
    assert (chosen.node_id, chosen.soft, chosen._spill_on_unavailable) == (TWO[1]["NodeID"], True, True)
    assert _elsewhere(FakeRay(TWO), needs, "") == _elsewhere(FakeRay(TWO[:1]), needs, node) == {}
    assert _elsewhere(FakeRay([TWO[0], {**TWO[1], "Alive": False}]), needs, node) == {}


def test_what_a_worker_imports_is_light() -> None:
    """One stands beside every run (`sweep_runs.WORKER_BYTES`)."""
    told = "import sys, sweeps.node; print(sorted({'torch', 'numpy', 'configs'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", told], cwd=ROOT, capture_output=True, text=True).stdout == "[]\n"


def test_without_ray_one_sentence_says_how_to_get_it(
    toys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    assert sweep.main([str(toys), "--dir", str(tmp_path / "new")]) == BAD_INPUT
    assert "make sweep installs it" in capsys.readouterr().err and not (tmp_path / "new").exists()


def test_a_plan_for_other_nodes_needs_no_ray(toys: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sweep.main([str(toys), "--dry_run", "--nodes", "2x4,0,64", "--speed", "4"]) == FINISHED
    told = capsys.readouterr().out
    assert "8 at a time" in told and "duration: about 20 min, 1 runs" in told  # 4,800 frames


def test_runs_that_will_not_have_room_on_the_disk_are_refused(toys: Path, tmp_path: Path) -> None:
    found = read_sweep(toys)
    planned = plan_sweep(found, trials(found), {}, Speed(measure=False))
    assert planned.disk_bytes_left == planned.disk_bytes > 0
    there = {trial.name: Begun(100, bytes=10**12) for trial in trials(found)}
    assert plan_sweep(found, trials(found), there, Speed(measure=False)).disk_bytes_left == 0
    check_storage(planned, tmp_path)
    with pytest.raises(SweepError, match=r"needs 4,096.0 GiB of storage and .* are free"):
        check_storage(replace(planned, disk_bytes_left=2**42), tmp_path)


def test_the_first_interruption_asks_and_the_second_is_obeyed_at_once() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), _interrupts() as asked:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
        assert asked == [signal.SIGTERM, signal.SIGINT]
        os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) == before


def test_attempts_are_read_back(tmp_path: Path) -> None:
    assert read_attempts(tmp_path / "none") == []
    (tmp_path / "some").write_text(json.dumps({"pid": 1}) + "\n" + json.dumps({"pid": 2}) + "\n" + '{"pid": 3, "no')
    assert [each["pid"] for each in read_attempts(tmp_path / "some")] == [1, 2]
