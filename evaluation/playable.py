"""What a user names, as something that can be played: a run, one of its snapshots, or a snapshot that stands alone.

A snapshot stands alone if it holds its run's settings as well (see `export`): it is a whole agent in one file.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from agent.own_network import without_unused
from configs.build import build_schedule
from configs.checks import ConfigError
from configs.parse import dump, load
from configs.schema import Config
from configs.settings import ON_CPU
from tracking.checkpoints import CheckpointError
from tracking.run_directory import RunDirectory, made_by, run_of
from tracking.snapshots import UNTOLD, intact_snapshots, kept_snapshots, newest_intact, read_snapshot, write_alone
from tracking.task_log import known_tasks


@dataclass(frozen=True, slots=True)
class Playable:
    """config     of the run, for this machine
    run_dir    its directory; None for a snapshot that stands alone
    snapshots  files, oldest first; at least one
    """

    config: Config
    run_dir: Path | None
    snapshots: list[Path]

    def games(self) -> list[str]:
        """The games that it was trained on. ValueError with one sentence if nobody told the agent which they are."""
        if read_snapshot(self.snapshots[-1])["label"] == UNTOLD:
            raise ValueError("nobody told this agent which games it played; name some, as in --games krull,boxing")
        return list(build_schedule(self.config).games)


def find(path: Path, at: str) -> Playable:
    """What `path` names: a file alone, or of a run the snapshot at so many frames, the latest one or all. Those that
    are damaged are named on stderr and left out. ValueError or CheckpointError with one sentence for what cannot be."""
    if path.is_file():
        if at != "latest":
            raise ValueError(f"--at {at}: {path} is one moment; give the run's directory")
        if settings := read_snapshot(path)["config"]:
            return Playable(_parsed(settings, path), None, [path])
        run_dir, chosen = run_of(path), [path]
    else:
        run_dir, chosen = path, _chosen(path, at)
    if not (run_dir / "config.yaml").is_file():
        alone = "; a file made by evaluate.py RUN --export FILE can be played anywhere" if path.is_file() else ""
        raise ValueError(f"{run_dir} has no config.yaml; a snapshot belongs in the snapshots folder of its run{alone}")
    return Playable(load_run(RunDirectory(run_dir)), run_dir, chosen)


def export(playable: Playable, file: Path) -> None:
    """Write the latest of its snapshots as one that stands alone, in which weights that no task uses are 0, since those
    take no room. ValueError if there is a file already."""
    if file.exists():
        raise ValueError(f"--export: {file} exists already; name another file")
    snapshot, config = read_snapshot(playable.snapshots[-1]), playable.config
    anywhere = replace(config, emulators=replace(config.emulators, rom_dir=None, threads=0))
    own = own_tasks(snapshot, playable.run_dir)
    agent = {**snapshot["agent"], "network": without_unused(snapshot["agent"]["network"])}
    write_alone(file, {**snapshot, "agent": agent, "own_tasks": own}, dump(anywhere))


def load_run(run: RunDirectory) -> Config:
    """The configuration of a run, to evaluate it: for the CPU where there is no GPU. ConfigError with one sentence."""
    try:
        return load(run.config, _here())
    except ConfigError as error:
        if "unknown field" not in str(error):
            raise
        raise ConfigError(f"{error}; {made_by(run)} wrote it, and can evaluate the run") from None


def own_tasks(snapshot: Mapping[str, Any], run_dir: Path | None) -> dict[str, int]:
    """{game: the task in which the run played it}, as the snapshot says, or of an older run its other files; empty if
    neither does."""
    own: dict[str, int] = dict(snapshot["own_tasks"])
    if not own and run_dir is not None:
        with suppress(OSError, KeyError, ValueError, TypeError):
            own = known_tasks(RunDirectory(run_dir), snapshot["frames"])
    return own


def _chosen(path: Path, at: str) -> list[Path]:
    if not path.exists():
        raise ValueError(f"there is no {path}; give a run directory or a snapshot")
    available = kept_snapshots(path / "snapshots")
    if not available:
        raise ValueError(f"{path} holds no snapshots; give a run directory or a file of its snapshots folder")
    if at in ("all", "latest"):
        newest = newest_intact(path / "snapshots", _warn) if at == "latest" else None
        found = intact_snapshots(available, _warn) if at == "all" else [newest] if newest else []
        if not found:
            raise ValueError(f"none of the {len(available)} snapshots in {path} is intact")
        return found
    moments = {int(p.stem): p for p in available}
    digits = at.replace("_", "")
    if not digits.isdecimal() or int(digits) not in moments:
        kept = ", ".join(f"{m}" for m in moments)
        raise ValueError(f"--at {at}: this run kept snapshots at frames {kept}; give one of them, latest or all")
    return [moments[int(digits)]]


def _parsed(settings: str, path: Path) -> Config:
    """The configuration in a snapshot."""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(settings)
        file.flush()
        try:
            return load(file.name, _here())
        except ConfigError as error:
            said = str(error).removeprefix(f"{file.name}: ")
            raise CheckpointError(f"the settings in {path} are none of this version: {said}") from None


def _here() -> list[str]:
    return [] if torch.cuda.is_available() else ON_CPU


def _warn(line: str) -> None:
    print(f"warning: {line}", file=sys.stderr)
