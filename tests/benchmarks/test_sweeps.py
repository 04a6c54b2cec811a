"""What a sweep costs: what its runs and its other processes compute, on a clock of the test's own."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks import sweeps
from tracking.run_directory import RunDirectory


def test_the_share_of_a_core_leaves_the_start_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(now=100.0, used=0.0)
    monkeypatch.setattr(sweeps.time, "monotonic", lambda: clock.now)
    monkeypatch.setattr(sweeps, "_processor_seconds", lambda pid: clock.used)
    run = RunDirectory(tmp_path / "run")
    watched = sweeps.CoreShare(run)
    run.path.mkdir()
    run.write_status("running", 0, 8)
    with pytest.raises(RuntimeError, match="longer runs"):
        _ = watched.share
    for seconds, used in ((0, 0), (29, 10), (31, 11), (41, 20), (51, 20)):
        clock.now, clock.used = 100.0 + seconds, float(used)
        assert watched.look()
    assert watched.share == pytest.approx((20 - 11) / (51 - 31))


def test_a_run_is_looked_for_until_it_comes_and_after_it_has_gone(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "run")
    watched = sweeps.CoreShare(run)
    assert not watched.look()
    run.path.mkdir()
    run.write_status("running", 0, 8)  # of this process
    assert watched.look()
    watched.pid = 2**22 + 1  # larger than any
    assert not watched.look()


def test_a_sweeps_processes_are_counted_without_its_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Driver 1 with a worker 2, that has a run 3 with a child 4, and Ray 5; 6 is not of the sweep."""
    parents = {1: 0, 2: 1, 3: 2, 4: 3, 5: 1, 6: 0}
    clock = SimpleNamespace(now=100.0, used=dict.fromkeys(parents, 0.0))
    monkeypatch.setattr(sweeps.time, "monotonic", lambda: clock.now)
    monkeypatch.setattr(sweeps, "_parent", lambda pid: parents.get(pid, 0))
    monkeypatch.setattr(sweeps, "_processor_seconds", lambda pid: clock.used[pid])
    monkeypatch.setattr(sweeps, "_all_processes", lambda: list(parents))
    run = RunDirectory(tmp_path / "run")
    run.path.mkdir()
    turn = sweeps.Turn([run], driver=1)
    turn.runs[0].pid, turn.runs[0].begin = 3, 100.0
    for seconds in (0, 31, 62, 93):
        clock.now = 100.0 + seconds
        for pid, share in {1: 0.01, 2: 0.02, 3: 0.9, 4: 7.0, 5: 0.03, 6: 7.0}.items():
            clock.used[pid] = share * seconds
        turn.look()
    assert turn.seconds == 93.0
    assert turn.cores_beside == pytest.approx(0.06)
    assert turn.runs[0].share == pytest.approx(0.9)


def test_a_process_and_its_descendants_are_found() -> None:
    """Of real processes: a shell with a child."""
    with subprocess.Popen(["sh", "-c", "sleep 60 & wait"], start_new_session=True) as shell:
        try:
            sweeps.until(lambda: len(sweeps._family(shell.pid, set())) == 2)
            child = next(pid for pid in sweeps._family(shell.pid, set()) if pid != shell.pid)
            assert set(sweeps._family(shell.pid, {child})) == {shell.pid}
        finally:
            os.killpg(shell.pid, signal.SIGKILL)
