"""One process at a time, and a readable status."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tracking.run_directory import RunDirectory, RunDirectoryError

ROOT = Path(__file__).resolve().parents[2]
HOLD = "import sys; from tracking.run_directory import RunDirectory as R; R(sys.argv[1]).{verb}(); "
HOLD += "print('held', flush=True); sys.stdin.read()"


def holder(path: Path, verb: str = "resume") -> subprocess.Popen[str]:
    """Another process that holds the run's lock until its stdin ends."""
    command = [sys.executable, "-c", HOLD.replace("{verb}", verb), str(path)]
    child = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None and child.stdout.readline() == "held\n"
    return child


def a_run(path: Path) -> RunDirectory:
    run = RunDirectory(path)
    run.create()
    run.config.write_text("seed: 1\n")
    return run


def test_a_new_run_and_its_names(tmp_path: Path) -> None:
    with a_run(tmp_path / "runs" / "one") as run:
        assert run.config == tmp_path / "runs" / "one" / "config.yaml"
        assert run.metrics.name == "metrics.jsonl" and run.evaluations.name == "evaluations.csv"
        assert (run.path / "lock").read_text() == f"{os.getpid()}\n"


def test_an_existing_run_is_refused_with_advice(tmp_path: Path) -> None:
    a_run(tmp_path / "run").close()
    with pytest.raises(RunDirectoryError, match=r"already a run in .*--resume"):
        RunDirectory(tmp_path / "run").create()


def test_someone_elses_directory_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(RunDirectoryError, match="already something in"):
        RunDirectory(tmp_path).create()
    with pytest.raises(RunDirectoryError, match="is a file"):
        RunDirectory(tmp_path / "thesis.tex").create()
    with pytest.raises(RunDirectoryError, match="no run to resume"):
        RunDirectory(tmp_path).resume()
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_an_empty_directory_or_a_lock_alone_is_no_obstacle(tmp_path: Path) -> None:
    RunDirectory(tmp_path).create()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "lock").write_text("1\n")
    RunDirectory(tmp_path / "other").create()


def test_the_lock_ends_with_its_holder(tmp_path: Path) -> None:
    a_run(tmp_path).close()
    child = holder(tmp_path)
    with pytest.raises(RunDirectoryError, match=rf"another process \(pid {child.pid}\)"):
        RunDirectory(tmp_path).resume()
    os.kill(child.pid, signal.SIGKILL)
    child.communicate()
    assert (tmp_path / "lock").read_text() == f"{child.pid}\n"  # a stale file without holder
    with RunDirectory(tmp_path) as run:
        run.resume()


def test_two_cannot_create_the_same(tmp_path: Path) -> None:
    child = holder(tmp_path / "run", verb="create")
    with pytest.raises(RunDirectoryError, match=f"pid {child.pid}"):
        RunDirectory(tmp_path / "run").create()
    child.communicate()
    assert child.returncode == 0
    RunDirectory(tmp_path / "run").create()


def test_closing_gives_the_lock_back(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    other = RunDirectory(tmp_path)
    with pytest.raises(RunDirectoryError, match="another process"):
        other.resume()
    run.close()
    other.resume()
    other.close()


def test_status(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    assert run.read_status() is None
    run.write_status("running", 400, 1000)
    run.write_status("stopped", 500, 1000, "SIGTERM")
    status = RunDirectory(tmp_path).read_status()
    assert status is not None and status.pop("updated").endswith("+00:00")
    assert status == {
        "state": "stopped",
        "frames": 500,
        "total_frames": 1000,
        "message": "SIGTERM",
        "pid": os.getpid(),
    }
    with pytest.raises(ValueError, match="not 'tired'"):
        run.write_status("tired", 0, 1)


def test_json_is_replaced_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = RunDirectory(tmp_path)
    run.write_json(Path("report/result.json"), {"a": 1})

    def die(*_: object) -> None:
        raise OSError("power")

    monkeypatch.setattr(os, "replace", die)
    with pytest.raises(OSError, match="power"):
        run.write_json(Path("report/result.json"), {"a": 2})
    assert json.loads((run.report / "result.json").read_text()) == {"a": 1}
    assert [path.name for path in run.report.iterdir()] == ["result.json"]


def test_every_launch_adds_its_versions(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    run.append_versions()
    run.append_versions({"device": "cpu"})
    first, second = json.loads(run.versions.read_text())
    assert first["python"] == ".".join(map(str, sys.version_info[:3]))
    assert {"torch", "numpy", "ale_py", "gymnasium", "platform", "cpu", "git_commit", "time"} <= set(first)
    assert first["torch"] is not None and second["device"] == "cpu"
