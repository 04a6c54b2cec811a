"""A refactor changes no bit: every number that a short run logs is kept in toy_run.jsonl.

If the numbers were meant to change, store the new ones with

    python -m tests.golden.test_toy_run

and say why in the commit. Torch computes the same bits only with the same version on the same kind of
processor; elsewhere the beginning is compared loosely.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.conformance.alike import assert_alike
from tests.integration.runs import TOY, launch, metrics, write_config
from tracking.versions import versions

GOLDEN = Path(__file__).with_name("toy_run.jsonl")
LOOSELY = 310  # frames that are compared where torch rounds differently: some 20 updates


def fingerprint() -> dict[str, Any]:
    """What the bits depend on beside this repository."""
    known = versions()
    return {
        "torch": torch.__version__,
        "numpy": known["numpy"],
        "capability": torch.backends.cpu.get_cpu_capability(),
        "cpu": known["cpu"],
    }


def play(directory: Path) -> list[dict[str, Any]]:
    """The logged numbers of a run of some 270 updates, without clock readings and words."""
    learner = {**TOY["learner"], "samples_per_step": 4, "optimizer": "rmsprop", "learning_rate": 0.00025}
    config = write_config(directory / "toy.yaml", TOY, learner=learner)
    outcome = launch("--config", config, "--run_dir", directory / "run")
    assert outcome.code == 0, outcome.err
    return [line for line in metrics(directory / "run") if not any(isinstance(v, str) for v in line.values())]


def test_the_toy_run_logs_the_same_numbers(tmp_path: Path) -> None:
    head, *stored = [json.loads(line) for line in GOLDEN.read_text().splitlines()]
    lines = play(tmp_path)
    assert max(line.get("learning/updates", 0) for line in lines) > 200
    if head == fingerprint():
        assert_alike(lines, stored)
        return
    assert [line["frame"] for line in lines] == [line["frame"] for line in stored]
    early = [(a, b) for a, b in zip(lines, stored, strict=True) if b["frame"] <= LOOSELY]
    assert any("learning/loss" in b for _, b in early)
    for a, b in early:
        assert a == pytest.approx(b, rel=0.01, abs=1e-3)
    pytest.skip(f"compared loosely, up to frame {LOOSELY}: the golden file was made on {head}")


def store() -> None:
    """Replace the golden file."""
    with tempfile.TemporaryDirectory() as directory:
        lines = [fingerprint(), *play(Path(directory))]
    GOLDEN.write_text("".join(json.dumps(line) + "\n" for line in lines))
    print(f"written: {GOLDEN}")


if __name__ == "__main__":
    store()
