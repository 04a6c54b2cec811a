"""`train.py` without arguments says what can be run, and starts nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from configs.layers import AGENTS, PRESETS
from train import main


def test_without_arguments_the_presets_are_told_a_line_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["train.py"])
    assert main() == 2
    told = capsys.readouterr()
    assert not told.err and not list(tmp_path.iterdir())
    files = [*PRESETS.values(), *AGENTS.values()]
    lines = {path: [line for line in told.out.splitlines() if f"--config {path} " in line] for path in files}
    assert len(lines) > 5 and all(len(found) == 1 for found in lines.values())
    quick = next(found[0] for path, found in lines.items() if path.name == "quick.yaml")
    assert "python train.py --config" in quick and "0.56 M frames, 3 games" in quick and "The main job" in quick
