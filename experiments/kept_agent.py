"""An agent as its run kept it: from a run directory, one of its checkpoints or one of its snapshots; only reads."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from agent.continual import ContinualAgent
from configs.build import build_agent, build_memory
from configs.schema import Config
from evaluation.playable import load_run
from replay.per_task import PerTaskReplay, segment_prefix
from tracking.checkpoints import CheckpointError, Checkpoints, load_file, load_part
from tracking.manifest import DamageError, verify
from tracking.run_directory import RunDirectory, run_of
from tracking.snapshots import kept_snapshots, newest_intact, read_snapshot
from tracking.task_log import frames_by_task, read_changes


@dataclass(frozen=True)
class KeptAgent:
    """The agent without its memory; `path`: the checkpoint or snapshot it is from, `frames`: of its run by then."""

    config: Config
    agent: ContinualAgent
    path: Path
    frames: int

    def share_of(self, game: str, task: int) -> float:
        """The share of the frames of `task` of this game, by the run's task_changes.csv; 0 if it does not tell."""
        try:
            table = frames_by_task(read_changes(RunDirectory(run_of(self.path)).task_changes), self.frames)
        except (OSError, KeyError, ValueError, TypeError):
            return 0.0
        whole = sum(frames.get(task, 0) for frames in table.values())
        return table.get(game, {}).get(task, 0) / whole if whole else 0.0

    def recollect(self) -> None:
        """Load what the agent's consolidator and `Recall` keep of its tasks, too; CheckpointError if that is nowhere,
        as in a snapshot."""
        if self.path.is_file():
            raise CheckpointError(f"{self.path} is a snapshot, which has no anchors; give a run with checkpoints")
        self.agent.consolidator.load_state_dict(load_part(self.path, "consolidation"))
        self.agent.recall.load_state_dict(load_part(self.path, "recall"))

    def replay(self, task: int) -> PerTaskReplay | None:
        """The memory with what the checkpoint holds of `task`; None if that is nothing, as in a snapshot."""
        if self.path.is_file():
            return None
        state = load_file(self.path / "memory.pt")
        number = str(task)
        if number not in state["tasks"]:
            return None
        own = [name for name in state["segments"] if name.startswith(segment_prefix(task))]
        segments = {name: load_file(self.path / f"memory.{name}.pt") for name in own}
        memory = build_memory(self.config)
        memory.load_state_dict({**state, "tasks": {number: state["tasks"][number]}, "segments": segments})
        return memory if memory.size(task) else None


def find(path: Path) -> tuple[Path, Path]:
    """The run directory and the checkpoint or snapshot that `path` names: of a run its newest intact checkpoint, which
    has a replay, else its newest snapshot. ValueError or CheckpointError with one sentence if there is none intact."""
    if not path.exists():
        raise ValueError(f"there is no {path}")
    if path.is_file() or (path / "manifest.json").is_file():
        run, kept = run_of(path), path
    else:
        run, kept = path, _newest(path)
    if not (run / "config.yaml").is_file():
        raise ValueError(f"{run} has no config.yaml; checkpoints and snapshots belong in folders of their run")
    if kept is path and path.is_dir() and (damage := _damage(path)):
        raise CheckpointError(f"the checkpoint {path} is damaged: {damage}")
    return run, kept


def _newest(run: Path) -> Path:
    checkpoints = run / "checkpoints"
    kept = [checkpoints / f"{frames:012d}" for frames in Checkpoints(checkpoints).available()]
    found = next((path for path in reversed(kept) if not _damage(path)), None)
    found = found or newest_intact(run / "snapshots", lambda line: print(f"warning: {line}", file=sys.stderr))
    if found is None:
        damaged = kept or kept_snapshots(run / "snapshots")
        what = "no checkpoint and no snapshot that is intact" if damaged else "neither checkpoints nor snapshots"
        raise ValueError(f"{run} holds {what}")
    return found


def _damage(checkpoint: Path) -> DamageError | None:
    try:
        verify(checkpoint)
    except DamageError as damage:
        return damage
    return None


def load_kept(path: Path, game: str) -> KeptAgent:
    """The agent that `path` names, to play `game`; computes in float32, whatever its run did, since bfloat16 would
    round small changes of the weights away. Sets torch's number of threads.

    Raises ValueError or CheckpointError with one sentence.
    """
    run, kept = find(path)
    config = load_run(RunDirectory(run))
    config = replace(config, learner=replace(config.learner, precision="float32"))
    torch.set_num_threads(config.threads or torch.get_num_threads())
    agent = build_agent(config, build_memory(config), label=lambda: game)
    try:
        if kept.is_file():
            snapshot = read_snapshot(kept)
            agent.load_snapshot(snapshot["agent"])
            frames = snapshot["frames"]
        else:
            agent.load_state_dict(load_file(kept / "agent.pt"))
            agent.task_source.restart()
            frames = int(kept.name)
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError):
        raise ValueError(f"{kept} is not of the run in {run}") from None
    if not agent.learner.num_tasks:
        raise ValueError(f"{kept} is from before the first step of its run")
    return KeptAgent(config, agent, kept, frames)
