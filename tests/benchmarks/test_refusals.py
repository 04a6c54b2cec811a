"""What a benchmark or an experiment cannot do is said before it measures or writes anything."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from tests.commands import code_of

FILE = str(Path(__file__).resolve())


@pytest.mark.parametrize(
    ("module", "arguments", "said"),
    [
        ("experiments.single_games", ["--games", "pong,Pong-v5"], "each game once"),
        ("experiments.single_games", ["--games", "pong,krul"], "did you mean krull"),
        ("experiments.single_games", ["--run_dir", "x"], "unknown field run_dir"),
        ("experiments.single_games", ["--dry_run"], "unknown field dry_run"),
        ("experiments.single_games", ["--seed", "5"], "--seed would be that of every run; give --seeds"),
        ("experiments.single_games", ["--stream.games=[pong]"], "--stream.games would be that of every run"),
        ("experiments.single_games", ["--games", "figure3,krull"], "each game once"),
        ("experiments.single_games", ["--stream", "{games: [pong]}"], "would change the game or the seed of krull-0"),
        ("experiments.compare", ["--seeds", "0", "--seed", "5"], "--seed would be that of every run; give --seeds"),
        ("benchmarks.side_by_side", ["--recipe", "quick", "--agent", "plain"], "--agent: --recipe quick decides it"),
        ("benchmarks.side_by_side", ["--samples_per_step=8", "--recipe=quick"], "--samples_per_step: --recipe quick"),
        ("benchmarks.inference", ["--variant", "a/b"], "--variant: must do as a part of a file's name"),
        ("benchmarks.consolidation", ["--samples", "10"], "--samples: must lie between 32 and"),
        (
            "benchmarks.replay_memory",
            ["--transitions", "100000000"],
            "--transitions: must lie between 1,000 and 1,000,000",
        ),
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
    keeps = module in ("experiments.single_games", "experiments.compare")
    places = ["--runs", tmp_path / "runs", "--results", tmp_path / "results"] if keeps else []
    monkeypatch.setattr("sys.argv", [module, *map(str, places), *arguments])
    main = importlib.import_module(module).main
    assert code_of(lambda _: main(), []) == 2
    line = capsys.readouterr().err
    assert said in line and line.count("\n") == 1 and not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("module", "arguments"),
    [
        ("experiments.single_games", ["--runs", FILE]),
        ("experiments.single_games", ["--results", FILE]),
        ("benchmarks.sweeps", ["deaths", "--directory", FILE + "/x"]),
    ],
)
def test_a_place_that_cannot_be_written_is_named(
    module: str, arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an OSError, which `command.run` tells in one line."""
    monkeypatch.setattr("sys.argv", [module, *arguments])
    with pytest.raises(NotADirectoryError):
        importlib.import_module(module).main()
