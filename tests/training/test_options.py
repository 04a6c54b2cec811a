"""What train.py answers without a run: help and mistakes, quickly."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.commands import ROOT
from tests.configs.test_parse import field_types
from train import main
from training.options import answer, read_options


def help_on(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main([*words]) == 0
    told = capsys.readouterr()
    assert not told.err
    return told.out


def test_help_has_the_runs_own_options_first_and_fits_a_screen(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["--help"], ["-h"], ["--config", "quick", "--help"], ["--help", "--seed", "3"]):
        lines = help_on(capsys, *words).splitlines()
        assert len(lines) <= 40 and max(map(len, lines)) <= 80
    told = [line.split()[0] for line in lines if line.startswith("  ")]
    options = told[told.index("--config") :]
    assert options[:6] == ["--config", "--run_dir", "--resume", "--init_from", "--dry_run", "--seed"]
    assert {"--frames", "stream", "learner", "inferred", "all"} <= {*options}
    assert options.index("--frames") < options.index("stream")


def test_help_on_a_group_has_all_of_its_settings_with_range_and_default(capsys: pytest.CaptureFixture[str]) -> None:
    told = help_on(capsys, "--help", "learner")
    named = [line.split()[0].removeprefix("--") for line in told.splitlines() if not line.startswith(" ")]
    assert named == [name for name in field_types() if name.startswith("learner.")]
    words = " ".join(told.split())
    assert "--learner.n_step N (default: 1) Steps of reward before bootstrapping (PAPER: 1). From 1 to 1,000." in words
    networks = "{nature, paper, pooled, pooled2, pooled4, small, tiled, tiled2, tiled4, wide, wide4, wide8}"
    assert f"--learner.network {networks} (default: paper)" in words and "small: 0.2 M" in words
    assert "--learner.optimizer {rmsprop,adam} (default: rmsprop)" in words
    assert max(map(len, told.splitlines())) <= 80


def test_help_on_one_setting_a_part_of_a_group_and_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert help_on(capsys, "--help", "frames").startswith("--frames N   (default: 50_000_000)\n")
    assert help_on(capsys, "--help=consolidation.online_ewc").startswith("--consolidation.online_ewc.decay X ")
    every = help_on(capsys, "--help", "all")
    assert all(f"--{name} " in every for name in field_types())
    assert "PAPER" in every and "[frames]" in every and "(default: 50_000)" in every


@pytest.mark.parametrize(("wrong", "right"), [("lerner", "learner"), ("learner.nstep", "learner.n_step")])
def test_help_on_what_there_is_not_names_the_nearest(
    wrong: str, right: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--help", wrong]) == 2
    said = capsys.readouterr().err
    assert said == f"train.py: --help: there is no group of settings {wrong}; did you mean {right}?\n"


def test_a_default_can_be_given_back() -> None:
    _, config = read_options(["--frames", "50_000_000"])
    assert config.frames == 50_000_000


WITHOUT_TORCH = [
    (0, ["--help"]),
    (0, ["--help", "all"]),
    (2, []),
    (2, ["--run_dir", "runs/x"]),
    (2, ["--config", "quik"]),
    (2, ["--config", "plain_dqn"]),
    (2, ["--config", "quick", "--learner.nstep", "3"]),
    (2, ["--config", "quick", "--frames", "many"]),
    (2, ["--config", "quick", "--seed=-1"]),
    (2, ["--config", "single_game", "--stream.games", "[brekout]"]),
    (2, ["--config", "single_game", "--replay.min_history", "1e6"]),
    (2, ["--resume", "runs/x", "--frames", "many"]),
    (None, ["--config", "toy"]),
]


def test_none_of_this_waits_for_torch() -> None:
    """In one fresh process, whose modules are looked at."""
    program = f"""
import sys
from training.options import answer
for code, words in {WITHOUT_TORCH}:
    assert answer(words) == code, words
    assert "torch" not in sys.modules, words
"""
    asked = [sys.executable, "-c", program]
    done = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert all("nearest" not in line and line.startswith("train.py: ") for line in done.stderr.splitlines())
    assert len(done.stderr.splitlines()) == 9


def test_the_program_answers_before_it_imports_anything_large(tmp_path: Path) -> None:
    """A torch that cannot be imported stands in its way only where a run is to be made."""
    (tmp_path / "torch.py").write_text("raise SystemExit('torch is imported')")
    said = {}
    for name, words in {"help": ["--help"], "mistake": ["--frames", "many"], "run": ["--config", "toy"]}.items():
        program = (
            f"import sys, runpy; sys.path[:0] = [{str(tmp_path)!r}, {str(ROOT)!r}]; sys.argv = {['train.py', *words]}"
        )
        asked = [sys.executable, "-c", f"{program}; runpy.run_path('train.py', run_name='__main__')"]
        done = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True)
        said[name] = (done.returncode, done.stderr.strip())
    assert said["help"] == (0, "")
    assert said["mistake"] == (2, "train.py: frames: Expected int. Got value: many")
    assert said["run"] == (1, "torch is imported")


def test_the_options_of_a_run_are_no_answer() -> None:
    assert answer(["--config", "toy", "--frames", "1e4"]) is None
