"""What a sweep costs: the share of a core that a run had, on a clock of the test's own."""

from __future__ import annotations

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
