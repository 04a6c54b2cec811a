"""A snapshot is whole, or it is named and nothing is computed from it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.conformance.alike import assert_alike
from tracking.checkpoints import CheckpointError, load_file, save_file
from tracking.snapshots import (
    intact_snapshots,
    kept_snapshots,
    newest_intact,
    read_snapshot,
    snapshot_file,
    write_snapshot,
)
from tracking.trees import write_tree


def agent(value: float = 1.0) -> dict[str, Any]:
    return {
        "network": {"weights.0": torch.full((40,), value), "count": torch.arange(3)},
        "network_tasks": 2,
        "task_source": {
            "models": torch.zeros(2000, dtype=torch.float64),
            "log_posterior": torch.tensor([-float("inf")]),
        },
    }


def written(folder: Path, *moments: int) -> list[Path]:
    for frames in moments:
        write_snapshot(folder, frames, "krull", agent(float(frames)), {"krull": 0})
    return [snapshot_file(folder, frames) for frames in moments]


def test_what_was_kept_comes_back(tmp_path: Path) -> None:
    [path] = written(tmp_path, 400)
    expected = {"frames": 400, "label": "krull", "agent": agent(400.0), "own_tasks": {"krull": 0}, "config": ""}
    assert_alike(read_snapshot(path), expected)


@pytest.mark.parametrize("write", [save_file, write_tree])
def test_no_flipped_bit_and_no_cut_changes_what_is_read(tmp_path: Path, write: Callable[..., object]) -> None:
    """Every byte of a packed file, and of one of older programs, which has the checksums of a zip file only."""
    tree = {"weights": torch.arange(30.0), "counts": torch.zeros(100, dtype=torch.float64), "frames": 7}
    write(tmp_path / "whole.pt", tree)
    whole, path = (tmp_path / "whole.pt").read_bytes(), tmp_path / "damaged.pt"
    named = 0
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ (1 << place % 8)]) + whole[place + 1 :])
        try:
            read = load_file(path)
        except CheckpointError as error:
            assert str(path) in str(error)
            named += 1
        else:
            assert_alike(read, tree)  # a date or the filling between two tensors
    assert named > len(whole) / 2
    for length in range(0, len(whole), 13):
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match="damaged"):
            load_file(path)


def zeroed(path: Path) -> None:
    size = path.stat().st_size
    with open(path, "r+b") as file:
        file.seek(size // 4)
        file.write(bytes(size // 2))


DAMAGES: dict[str, Callable[[Path], object]] = {
    "cut": lambda path: os.truncate(path, path.stat().st_size - 30),
    "empty": lambda path: os.truncate(path, 0),
    "zeroed": zeroed,
    "garbage": lambda path: path.write_bytes(os.urandom(3000)),
    "more": lambda path: path.write_bytes(path.read_bytes() + b"more"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_the_newest_that_is_intact_is_chosen_and_the_damaged_are_named(tmp_path: Path, damage: str) -> None:
    paths, said = written(tmp_path, 100, 200, 1000), []
    (tmp_path / ".tmp-000000002000.pt").touch()
    (tmp_path / "1 copy.pt").touch()
    DAMAGES[damage](paths[2])
    with pytest.raises(CheckpointError, match=f"{paths[2]} is damaged"):
        read_snapshot(paths[2])
    assert newest_intact(tmp_path, said.append) == paths[1]
    assert len(said) == 1 and str(paths[2]) in said[0] and "the one before" in said[0]
    assert kept_snapshots(tmp_path) == paths and intact_snapshots(paths, said.append) == paths[:2]
    for path in paths:
        DAMAGES[damage](path)
    assert newest_intact(tmp_path, said.append) is None
    assert newest_intact(tmp_path / "nowhere", said.append) is None


@pytest.mark.parametrize("part", ["frames", "label", "agent", "network", "network_tasks", "task_source"])
def test_a_part_that_is_not_there_is_named(tmp_path: Path, part: str) -> None:
    content = {"frames": 400, "label": "krull", "agent": agent()}
    (content if part in content else content["agent"]).pop(part)  # type: ignore[attr-defined]
    save_file(tmp_path / "x.pt", content)
    with pytest.raises(CheckpointError, match=f"x.pt is not a whole snapshot: it lacks its part '{part}'"):
        read_snapshot(tmp_path / "x.pt")


@pytest.mark.parametrize("tree", [3, [], {"frames": "x", "label": "krull", "agent": {}}, {"agent": 1}])
def test_something_else_is_told_apart(tmp_path: Path, tree: Any) -> None:
    save_file(tmp_path / "x.pt", tree)
    with pytest.raises(CheckpointError, match=r"x\.pt is not a whole snapshot"):
        read_snapshot(tmp_path / "x.pt")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_of_no_use(tmp_path: Path, value: float) -> None:
    write_snapshot(tmp_path, 100, "krull", agent(value), {})
    with pytest.raises(CheckpointError, match=r"weights\.0 is not finite"):
        read_snapshot(snapshot_file(tmp_path, 100))


def test_tables_of_counts_take_little_room(tmp_path: Path) -> None:
    counts = torch.zeros(1764, 16, dtype=torch.float64)
    counts[:, 3] = 32.0
    write_snapshot(tmp_path, 1, "krull", {**agent(), "task_source": {"counts": counts}}, {})
    assert snapshot_file(tmp_path, 1).stat().st_size < counts.numel() * 8 / 20
