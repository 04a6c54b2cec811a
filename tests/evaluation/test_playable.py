"""What evaluate.py takes beside a run of train.py: a file that stands alone, and what an online agent saves."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from configs.build import build
from configs.parse import dump, load
from evaluate import main
from evaluation.playable import find
from tests.commands import code_of
from tests.integration.runs import TOY, write_config
from tracking.snapshots import read_snapshot, write_alone, write_snapshot
from training.interact import interact
from training.online import ONLINE, online_agent

QUICKLY = ["--episodes", "2", "--emulators", "2"]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run's directory with its configuration and a snapshot of 40 vector steps on a toy."""
    config = load(write_config(tmp_path / "toy.yaml", TOY, task_source="inferred", frames=2000))
    config = replace(config, emulators=replace(config.emulators, rom_dir=str(tmp_path)))
    parts = build(config)
    parts.stream.start()
    for _ in islice(interact(parts.stream, parts.agent), 40):
        pass
    run = tmp_path / "mine"
    write_snapshot(run / "snapshots", parts.stream.frames, parts.stream.label, parts.agent.snapshot(), {"toy_catch": 0})
    (run / "config.yaml").write_text(dump(config))
    return run


@pytest.fixture
def exported(run: Path, tmp_path: Path) -> Path:
    """The same as a file in a folder of its own."""
    file = tmp_path / "shipped" / "agent.pt"
    assert main([str(run), "--export", str(file)]) == 0
    return file


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    capsys.readouterr()
    assert code_of(main, arguments) == 2
    said = capsys.readouterr().err
    assert said.startswith("evaluate.py: ") and len(said.splitlines()) == 1
    return said


def table(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    """What the command prints, without the line on files."""
    capsys.readouterr()
    assert main([*arguments, *QUICKLY]) == 0
    return capsys.readouterr().out.splitlines()[:-1]


def test_a_file_that_stands_alone_plays_like_its_run_and_leaves_nothing(
    run: Path, exported: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (run / "config.yaml").rename(run / "aside")
    alone = table(capsys, str(exported))
    (run / "aside").rename(run / "config.yaml")
    assert alone == table(capsys, str(run))
    assert any("toy_catch" in line for line in alone) and any("toy_avoid" in line for line in alone)
    assert [path.name for path in exported.parent.rglob("*")] == ["agent.pt"]
    assert sorted(path.name for path in exported.parent.parent.iterdir()) == ["mine", "shipped", "toy.yaml"]


def test_its_results_are_written_where_one_says(
    exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "name a folder with --output" in refused(capsys, exported, "--video")
    assert main([str(exported), *QUICKLY, "--output", str(tmp_path / "out")]) == 0
    with open(tmp_path / "out" / "scores.csv", newline="") as file:
        assert [row["game"] for row in csv.DictReader(file)] == ["toy_catch", "toy_avoid"]


def test_it_names_no_place_of_the_machine_that_made_it(exported: Path, tmp_path: Path) -> None:
    assert str(tmp_path) not in read_snapshot(exported)["config"]
    assert find(exported, "latest").config.emulators.rom_dir is None


def test_a_file_is_not_written_over(run: Path, exported: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert f"{exported} exists already" in refused(capsys, run, "--export", exported)


def test_settings_of_another_version_are_named(exported: Path, capsys: pytest.CaptureFixture[str]) -> None:
    snapshot = read_snapshot(exported)
    write_alone(exported, snapshot, snapshot["config"].replace("ewc_lambda:", "strength:"))
    said = refused(capsys, exported)
    assert f"the settings in {exported} are none of this version: unknown field consolidation.strength" in said


def frames() -> Iterator[np.ndarray]:
    """What somebody's world shows."""
    rng = np.random.default_rng(0)
    while True:
        yield rng.integers(256, size=(210, 160, 3), dtype=np.uint8)


def test_what_an_online_agent_saves_is_played(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of the games named, since nobody told it which it was shown; and nobody knows whether it recognises them."""
    toy = {**TOY, "emulators": {"num_envs": 1, "threads": 1}}
    config = load(write_config(tmp_path / "toy.yaml", toy, task_source="inferred"), ONLINE)
    with online_agent(config, tmp_path / "online") as agent:
        for number, frame in enumerate(islice(frames(), 400), 1):
            agent.act(frame, 0.0, False, False)
            if number % 200 == 0:
                agent.save()
    assert "name some, as in --games" in refused(capsys, tmp_path / "online")
    games = ["--games", "toy_catch,toy_rise"]
    assert "nobody told this agent" in refused(capsys, tmp_path / "online", *games, "--task_source", "true")
    moments = table(capsys, str(tmp_path / "online"), *games, "--at", "all")
    assert any("200" in line and "400" in line for line in moments)
    latest = table(capsys, str(tmp_path / "online"), *games)
    assert any("toy_rise" in line for line in latest) and not any("recognised:" in line for line in latest)
    with open(tmp_path / "online" / "evaluation-2" / "scores.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["game"] for row in rows] == ["toy_catch", "toy_rise"] and "own_task" not in rows[0]
