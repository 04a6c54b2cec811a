"""The snapshots of a run under way."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tracking.run_directory import RunDirectory
from training import snapshots as module
from training.snapshots import Snapshots


def test_a_moment_is_kept_under_the_game_that_was_played_until_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the end of a visit the stream shows the next game already."""
    kept: list[tuple[int, str]] = []
    monkeypatch.setattr(module, "write_snapshot", lambda folder, frames, label, *_: kept.append((frames, label)))
    stream = SimpleNamespace(frames=0, visit_start=0, label="toy_catch", left="toy_avoid")
    learner = SimpleNamespace(network=torch.nn.Linear(1, 1))
    parts: Any = SimpleNamespace(stream=stream, agent=SimpleNamespace(learner=learner, snapshot=dict))
    inference: Any = SimpleNamespace(own_tasks=dict)
    snapshots = Snapshots(RunDirectory(tmp_path), parts, inference)
    for stream.frames, stream.visit_start in ((0, 0), (20, 0), (40, 40)):
        assert snapshots.save() == snapshots.file(stream.frames)
    assert kept == [(0, "toy_catch"), (20, "toy_catch"), (40, "toy_avoid")]
