"""Snapshots: the weights and task models of single moments of a run, a file each, from which any moment can be played.

    snapshots/000000400000.pt        the number of frames

A file of another place may hold the settings of its run too, and then needs no other file (`write_alone`).

Each is written whole or not at all, packed (see `tracking.trees`), and has a checksum over all of it: what is damaged
is named and never computed from.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tracking.checkpoints import load_file, save_file
from tracking.manifest import CheckpointError
from tracking.trees import not_finite

_NAME = re.compile(r"\d{12,}\.pt")
_CONTENT: dict[str, Any] = {
    "frames": int,
    "label": str,
    "agent": {"network": dict, "network_tasks": int, "task_source": dict},
    "own_tasks": dict,
    "config": str,
}
UNTOLD = ""
"""The label of an agent to which nobody tells the game on screen (see `training.online`)."""


def snapshot_file(folder: Path, frames: int) -> Path:
    """Where the snapshot of this moment lies."""
    return folder / f"{frames:012d}.pt"


def kept_snapshots(folder: Path) -> list[Path]:
    """All snapshots in a folder, intact or not, oldest first."""
    if not folder.is_dir():
        return []
    return sorted((path for path in folder.iterdir() if _NAME.fullmatch(path.name)), key=lambda path: int(path.stem))


def write_snapshot(
    folder: Path, frames: int, label: str, agent: Mapping[str, Any], own_tasks: Mapping[str, int]
) -> None:
    """Keep what the agent's `snapshot` returned while it played the game `label`, and {game: the task that it has been
    played in}, so that it can be evaluated without the run's other files; DiskFullError without room for it."""
    snapshot = {"frames": frames, "label": label, "agent": agent, "own_tasks": dict(own_tasks)}
    save_file(snapshot_file(folder, frames), snapshot)


def write_alone(file: Path, snapshot: Mapping[str, Any], config: str) -> None:
    """Write what `read_snapshot` returned with the settings of its run, as YAML text, into a file anywhere."""
    save_file(file, {**snapshot, "config": config})


def read_snapshot(path: Path) -> dict[str, Any]:
    """{"frames", "label", "agent", "own_tasks", "config"} of one file; `own_tasks` is empty in files of older runs, and
    `config` where the file does not stand alone. CheckpointError with one sentence if it is missing or damaged, lacks a
    part, or holds weights that are not finite."""
    snapshot = load_file(path)
    if isinstance(snapshot, dict):
        snapshot.setdefault("own_tasks", {})
        snapshot.setdefault("config", "")
    if wrong := _differs(snapshot, _CONTENT):
        raise CheckpointError(f"{path} is not a whole snapshot: {wrong}")
    if name := not_finite(snapshot["agent"]["network"]):
        raise CheckpointError(f"the weights in {path} are of no use: {name} is not finite")
    return snapshot


def intact_snapshots(paths: list[Path], warn: Callable[[str], None]) -> list[Path]:
    """Those of these files that can be used, in the same order; every other is named to `warn`."""
    return [path for path in paths if _intact(path, warn)]


def newest_intact(folder: Path, warn: Callable[[str], None]) -> Path | None:
    """The newest snapshot that can be used, or None; newer ones that cannot be are named to `warn`."""
    newest_first = reversed(kept_snapshots(folder))
    return next((path for path in newest_first if _intact(path, warn, "; trying the one before")), None)


def _intact(path: Path, warn: Callable[[str], None], then: str = "; it is left out") -> bool:
    try:
        read_snapshot(path)
    except CheckpointError as error:
        warn(f"{error}{then}")
        return False
    return True


def _differs(tree: Any, content: Mapping[str, Any]) -> str:
    """What is wrong with a tree that should have this content; "" if nothing is."""
    if not isinstance(tree, dict):
        return "it holds something else"
    for name, kind in content.items():
        if name not in tree:
            return f"it lacks its part {name!r}"
        if isinstance(kind, dict):
            if wrong := _differs(tree[name], kind):
                return wrong
        elif not isinstance(tree[name], kind):
            return f"its part {name!r} is something else"
    return ""
