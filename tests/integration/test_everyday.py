"""README's everyday commands, really typed one after the other, and shortened."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# What is added to a command that begins so, that it may end soon; None: it is not run here, since it installs packages,
# serves until it is stopped, or has tests of its own.
SHORTENED: dict[str, str | None] = {
    "train.py --config single_game": (
        "--frames 2000 --replay.min_history 300 --threads 1 --log.period 1000 --evaluation.period 0 "
        "--evaluation.final_episodes 1 --evaluation.max_episode_frames 400"
    ),
    "train.py --config toy": "--frames 2000 --threads 1",
    "train.py --config ten_games": "--learner.network small --replay.min_history 300",
    "train.py --resume": "--frames 2400",
    "train.py": "",
    "evaluate.py results/pretrained": "--episodes 1 --max_episode_frames 400 --output runs/pretrained",
    "evaluate.py": "--episodes 1 --max_episode_frames 400",
    "tensorboard": None,
    "-m experiments.inference": "--visits 1 --vector_steps 30 --emulators 2",
    "-m experiments.supervised.permuted_mnist": (
        "--epochs 1 --width 50 --threads 1 --data experiments/supervised/mnist_sample/digits.npz"
    ),
    "-m experiments.report": "",
    "-m examples": None,
    "sweep.py": None,
    "make": None,
}


def everyday() -> list[str]:
    """The commands of the first block below that headline, without remarks."""
    block = (ROOT / "README.md").read_text().split("## Everyday commands")[1].split("```")[1]
    commands = [line.split("#")[0].strip() for line in block.splitlines()]
    return [command.removeprefix("python ") for command in commands if command]


@pytest.mark.slow
def test_everyday_commands_end_well(tmp_path: Path) -> None:
    for entry in ROOT.iterdir():  # runs/ is made here
        if entry.name != "runs" and not entry.name.startswith("."):
            (tmp_path / entry.name).symlink_to(entry)
    typed = everyday()
    assert len(typed) > 8
    for line in typed:
        start = next((start for start in SHORTENED if line.startswith(start)), None)
        assert start is not None, f"say in SHORTENED how {line} ends soon"
        more = SHORTENED[start]
        if more is None:
            continue
        command = [sys.executable, *shlex.split(line), *shlex.split(more)]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600)
        assert "Traceback" not in done.stderr, done.stderr
        assert done.returncode == (2 if line == "train.py" else 0), f"{line}: {done.stderr[-2000:]}"
    assert {"boxing", "toy", "report"} <= {path.name for path in (tmp_path / "runs").iterdir()}
    assert list((tmp_path / "runs" / "boxing").rglob("*.mp4"))
