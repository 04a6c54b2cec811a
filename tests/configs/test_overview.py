"""`train.py` without arguments says what can be run, and starts nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from configs.layers import AGENTS, PRESETS
from configs.overview import overview
from configs.parse import load
from train import main
from training.resources import plan


def test_without_arguments_the_presets_and_agents_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["train.py"])
    assert main() == 2
    told = capsys.readouterr()
    assert not told.err and not list(tmp_path.iterdir())
    first = [line.split()[0] for line in told.out.splitlines() if line.strip()]
    assert all(first.count(name) == 1 for name in (*PRESETS, *AGENTS))
    (quick,) = (line for line in told.out.splitlines() if line.startswith("  quick "))
    assert quick.split("  ")[-1] == "The main job: three games, twice" and "min" in quick and "0.56 M" in quick


def test_the_shortest_comes_first_and_all_fits_on_a_screen_of_80_columns() -> None:
    lines = overview().splitlines()
    rows = [line.split()[0] for line in lines if line.split()[:1] and line.split()[0] in PRESETS]
    assert rows[0] == "toy" and rows[-1] == "ten_games"
    assert max(map(len, lines)) <= 80 and len(lines) <= 40


@pytest.mark.parametrize("name", PRESETS)
def test_what_a_preset_says_that_it_takes_is_what_is_planned(name: str) -> None:
    (line,) = (line for line in overview().splitlines() if line.startswith(f"  {name} "))
    gib = float(line.split(" GiB")[0].split()[-1])
    assert gib == pytest.approx(plan(load(PRESETS[name]), measure=False).memory_bytes / 2**30, abs=0.06)


@pytest.mark.parametrize("path", AGENTS.values(), ids=list(AGENTS))
def test_every_agent_says_what_it_is(path: Path) -> None:
    (line,) = (line for line in overview().splitlines() if line.startswith(f"  {path.stem} "))
    assert len(line.split()) > 3
