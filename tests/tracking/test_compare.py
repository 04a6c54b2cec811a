"""Two runs are equal bit for bit or the difference is named; what is damaged is named and not compared."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tracking import compare
from tracking.checkpoints import Checkpoints
from tracking.run_directory import RunDirectory


class Weights:
    def __init__(self, values: list[float]) -> None:
        self.values = torch.tensor(values)

    def state_dict(self) -> dict[str, Any]:
        return {"weights": self.values}

    def load_state_dict(self, state: Any) -> None:
        self.values = state["weights"]


def made(path: Path, weights: list[float], loss: float = 1.0, seconds: float = 0.0) -> RunDirectory:
    run = RunDirectory(path)
    Checkpoints(run.checkpoints).save(100, {"agent": Weights(weights), "writers": Weights([seconds])})
    run.metrics.write_text(json.dumps({"frame": 100, "learning/loss": loss, "time/act": seconds}) + "\n")
    run.evaluations.write_text("frames,game,mean\n")
    return run


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return made(tmp_path / "a", [0.0, 2.0])


def compared(a: RunDirectory, b: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["compare", str(a.path), str(b.path)])
    return compare.main()


@pytest.mark.parametrize(
    ("changes", "different"),
    [
        ({"seconds": 9.0}, []),
        ({"weights": [0.0, 2.0000002]}, ["checkpoint/agent"]),
        ({"weights": [-0.0, 2.0]}, ["checkpoint/agent"]),
        ({"loss": 1.0000000000000002}, ["metrics"]),
    ],
)
def test_a_difference_is_named(
    run: RunDirectory,
    changes: dict[str, Any],
    different: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Any,
) -> None:
    other = made(tmp_path / "b", **{"weights": [0.0, 2.0], **changes})
    assert compared(run, other, monkeypatch) == (1 if different else 0)
    said = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in said if line.startswith("DIFFERENT")] == different


DAMAGE = {
    "zeroed": bytes(80),
    "no text": b"\xff\xfe{",
    "brackets": b"[" * 100_000,
    "cut": b'{"frame": 1',
    "no object": b"7\n",
}


@pytest.mark.parametrize("content", DAMAGE.values(), ids=DAMAGE)
def test_damaged_metrics_are_named(
    run: RunDirectory, content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    damaged = RunDirectory(shutil.copytree(run.path, tmp_path / "b"))
    damaged.metrics.write_bytes(content)
    assert compared(run, damaged, monkeypatch) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{damaged.metrics} is damaged" in line


def test_what_is_missing_is_named(run: RunDirectory, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    run.metrics.unlink()
    assert compared(run, run, monkeypatch) == 2
    assert capsys.readouterr().err.splitlines() == [f"compare: there is no file {run.metrics}"]


def test_a_damaged_checkpoint_is_named_and_is_no_difference(
    run: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """One bit of a weight, which torch would read all the same."""
    damaged = RunDirectory(shutil.copytree(run.path, tmp_path / "b"))
    file = damaged.checkpoints / f"{100:012d}" / "agent.pt"
    data = bytearray(file.read_bytes())
    data[data.index(torch.tensor([0.0, 2.0]).numpy().tobytes())] ^= 1
    file.write_bytes(data)
    assert compared(run, damaged, monkeypatch) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{file.parent} is damaged (agent.pt is altered)" in line
