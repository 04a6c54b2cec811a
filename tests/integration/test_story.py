"""The report at the end of a run tells what became of the games, beside a plain DQN on the same stream."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from configs.parse import load
from configs.settings import flat
from tests.integration.runs import assert_same_run, launch
from tracking.run_directory import RunDirectory
from training.launch import PLAIN_DQN


@pytest.mark.slow
def test_compare_runs_a_plain_dqn_and_shows_it(toy_config: Path, tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "run")
    first = launch("--config", toy_config, "--run_dir", run.path, "--compare")
    assert first.code == 0, first.err
    plain = RunDirectory(run.path / "plain_dqn")
    ours, its = flat(asdict(load(run.config))), flat(asdict(load(plain.config)))
    differ = {name for name in ours if ours[name] != its[name]}
    assert differ <= {name.removeprefix("--") for name in PLAIN_DQN[::2]} and "task_source" in differ
    alone = launch("--config", toy_config, "--run_dir", tmp_path / "alone", *PLAIN_DQN)
    assert alone.code == 0, alone.err
    assert_same_run(plain.path, tmp_path / "alone")
    story = json.loads((run.report / "scores.json").read_text())["story"]
    assert list(story) == ["this run", "plain DQN"]
    assert all(list(games) == ["toy_catch", "toy_avoid"] for games in story.values())
    assert "plain DQN:" in first.out and "In which task each game was played" in first.out
