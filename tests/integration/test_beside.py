"""A plain DQN on the stream of a finished run, and the report on both."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import pytest

import train
from configs.layers import AGENTS, as_arguments
from configs.parse import load
from configs.settings import flat
from experiments import beside
from tests.commands import code_of
from tests.integration.runs import launch
from tracking.run_directory import RunDirectory


@pytest.mark.slow
def test_the_report_is_told_beside_a_plain_dqn_which_is_made_once(
    uninterrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = RunDirectory(Path(shutil.copytree(uninterrupted, tmp_path / "run")))
    plain = RunDirectory(run.path / "plain_dqn")
    made: list[list[str]] = []

    def elsewhere(arguments: list[str]) -> int:
        """In a process of its own, whose threads and number types are not those of the tests."""
        made.append(arguments)
        return launch(*arguments).code

    monkeypatch.setattr(train, "main", elsewhere)
    assert code_of(beside.main, [run.path]) == 0
    ours, its = flat(asdict(load(run.config))), flat(asdict(load(plain.config)))
    differ = {name for name in ours if ours[name] != its[name]}
    assert (
        differ <= {name.removeprefix("--") for name in as_arguments(AGENTS["plain_dqn"])[::2]}
        and "task_source" in differ
    )
    assert plain.finished and plain.frames == run.frames
    story = json.loads((run.report / "scores.json").read_text())["story"]
    assert list(story) == ["this run", "plain DQN"]
    assert all(list(games) == ["toy_catch", "toy_avoid"] for games in story.values())
    said = capsys.readouterr().out
    assert "plain DQN:" in said and "In which task each game was played" in said
    assert code_of(beside.main, [run.path]) == 0 and len(made) == 1
    run.write_status("finished", 3000, 3000)
    run.config.write_text(run.config.read_text().replace("frames: 2400", "frames: 3000"))
    monkeypatch.setattr(train, "main", lambda arguments: made.append(arguments) or 75)
    assert code_of(beside.main, [run.path]) == 75, "it is stopped like any run"
    assert made[1] == ["--resume", str(plain.path), "--frames", "3000"]


@pytest.mark.parametrize("state", ["missing", "stopped", "busy"])
def test_what_has_not_finished_is_refused(
    toy_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], state: str
) -> None:
    run = RunDirectory(tmp_path / "run")
    if state != "missing":
        run.path.mkdir()
        shutil.copy(toy_config, run.config)
        run.write_status("stopped" if state == "stopped" else "finished", 800, 2400)
    if state == "busy":
        run.resume()
    with run:
        assert code_of(beside.main, [run.path]) == 2
    said = capsys.readouterr().err
    told = {"missing": "no config.yaml", "stopped": f"--resume {run.path}", "busy": "another process"}
    assert told[state] in said and len(said.splitlines()) == 1
    assert not (run.path / "plain_dqn").exists()
