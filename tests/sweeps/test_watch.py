"""What is told of runs under way where there is no terminal: a line for every change."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.table import Table

import sweep
from sweeps import watch as watching
from sweeps.node import place
from sweeps.plan import Trial
from sweeps.watch import Watch
from tracking.run_directory import FAILED, FINISHED, STOPPED


def draw(rows: int, width: int) -> Table:
    raise AssertionError("there is no terminal")


def test_a_change_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    now = {"one": ("waiting", ""), "two": ("running", "10 %")}
    with Watch(draw, lambda: now) as watch:
        watch()
        watch()
        now["one"] = ("running", "1 %")
        now["two"] = ("running", "20 %")
        watch()
        now["two"] = ("failed", "")
        watch.last()
    assert capsys.readouterr().out.splitlines() == ["two: running 10 %", "one: running 1 %", "two: failed"]


def test_progress_is_told_now_and_then(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(watching, "_PROGRESS_SECONDS", -1.0)
    with Watch(draw, lambda: {"one": ("running", "1 %"), "two": ("waiting", "")}) as watch:
        watch()
        watch()
    assert capsys.readouterr().out.splitlines() == ["one: running 1 %"] * 2


@pytest.mark.parametrize(("code", "said"), [(STOPPED, "stopped; go on with"), (FAILED, "no_penalty-seed0: failed")])
def test_a_sweep_tells_what_its_runs_do_and_how_it_ended(
    code: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With what Ray does replaced."""

    class Ray:
        @staticmethod
        def nodes() -> list[dict[str, Any]]:
            return [{"Alive": True, "Resources": {"CPU": 2.0, "memory": 2.0**40}}]

        @staticmethod
        def shutdown() -> None:
            """Nothing is under way."""

    def run_all(
        ray: object, runs: Sequence[Trial], directory: Path, needs: object, retry: object, tell: Callable[..., None]
    ) -> Mapping[str, int]:
        tell({trial.name: "waiting" for trial in runs})
        run = place(directory, runs[0].name).run
        run.path.mkdir(parents=True)
        run.write_status("finished", 400_000, 400_000)
        tell({runs[1].name: "failed"})
        return {runs[0].name: code, runs[1].name: code}

    monkeypatch.setattr(sweep, "run_all", run_all)
    monkeypatch.setattr(sweep, "import_ray", Ray)
    monkeypatch.setattr(sweep, "start_ray", lambda address: Ray)
    monkeypatch.setattr(sweep, "check_locks", lambda ray, directory: None)
    fields = {"config": "configs/presets/single_game.yaml", "agents": ["ewc_inferred", "no_penalty"]}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(fields))
    assert (
        sweep.main([str(tmp_path / "mine.yaml"), "--dir", str(tmp_path / "sweep"), "--unmeasured"]) == code != FINISHED
    )
    told = capsys.readouterr()
    assert "ewc_inferred-seed0: finished 100.0%\nno_penalty-seed0: failed\n" in told.out
    assert said in told.out + told.err
