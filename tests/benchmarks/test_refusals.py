"""What a benchmark cannot do is said before it measures or writes anything."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from tests.commands import code_of

FILE = str(Path(__file__).resolve())


@pytest.mark.parametrize(
    ("module", "arguments", "said"),
    [
        ("learning", ["--games", "pong,Pong-v5"], "each game once"),
        ("learning", ["--run_dir", "x"], "unknown field run_dir"),
        ("learning", ["--dry_run"], "unknown field dry_run"),
        ("inference", ["--variant", "a/b"], "--variant: must do as a part of a file's name"),
        ("consolidation", ["--samples", "10"], "--samples: must lie between 32 and"),
        ("replay_memory", ["--transitions", "100000000"], "--transitions: must lie between 1,000 and 1,000,000"),
    ],
)
def test_in_one_line(
    module: str,
    arguments: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    places = ["--runs", tmp_path / "runs", "--results", tmp_path / "results"] if module == "learning" else []
    monkeypatch.setattr("sys.argv", [module, *map(str, places), *arguments])
    main = importlib.import_module(f"benchmarks.{module}").main
    assert code_of(lambda _: main(), []) == 2
    line = capsys.readouterr().err
    assert said in line and line.count("\n") == 1 and not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("module", "arguments"),
    [
        ("learning", ["--runs", FILE]),
        ("learning", ["--results", FILE]),
        ("sweeps", ["deaths", "--directory", FILE + "/x"]),
    ],
)
def test_a_place_that_cannot_be_written_is_named(
    module: str, arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an OSError, which `command.run` tells in one line."""
    monkeypatch.setattr("sys.argv", [module, *arguments])
    with pytest.raises(NotADirectoryError):
        importlib.import_module(f"benchmarks.{module}").main()
