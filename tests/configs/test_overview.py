"""`train.py` without arguments says what can be run, and starts nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from configs.layers import AGENTS, PRESETS
from configs.overview import overview
from train import main


def test_without_arguments_the_presets_and_agents_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["train.py"])
    assert main() == 2
    told = capsys.readouterr()
    assert not told.err and not list(tmp_path.iterdir())
    lines = told.out.splitlines()
    for path in (*PRESETS.values(), *AGENTS.values()):
        assert [line.endswith(f"--config {path}") for line in lines].count(True) == 1
    quick = lines.index(f"  python train.py --config {PRESETS['quick']}")
    assert lines[quick + 1].strip() == "0.56 M frames, 3 games: The main job"


def test_the_shortest_comes_first_and_all_fits_into_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parents[2])
    lines = overview().splitlines()
    assert "toy.yaml" in lines[2] and max(map(len, lines)) <= 80
