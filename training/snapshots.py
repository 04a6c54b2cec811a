"""The snapshots of a run under way: weights and task models of its single moments, and the one that it begins with."""

from __future__ import annotations

from pathlib import Path

from agent.continual import ContinualAgent
from configs.build import Parts
from evaluation.inference_score import InferenceScore
from tracking import task_log
from tracking.checkpoints import CheckpointError
from tracking.run_directory import RunDirectory, run_of
from tracking.snapshots import read_snapshot, snapshot_file, write_snapshot
from training.failures import check_weights


class Snapshots:
    """Keeps snapshots in the run's directory, each with the tasks in which its games were played so far."""

    def __init__(self, run: RunDirectory, parts: Parts, inference: InferenceScore) -> None:
        self.run = run
        self.parts = parts
        self.inference = inference

    def save(self) -> Path:
        """Keep the present moment, under the game that was played until now; its file. Raises `Diverged` instead if a
        weight is not finite."""
        agent, stream = self.parts.agent, self.parts.stream
        frames, label = stream.frames, stream.left if 0 < stream.frames == stream.visit_start else stream.label
        check_weights(agent.learner.network)
        own_tasks = {**task_log.tasks_before(self.run), **self.inference.own_tasks()}
        write_snapshot(self.run.snapshots, frames, label, agent.snapshot(), own_tasks)
        return self.file(frames)

    def problem(self, frames: int) -> str | None:
        """What is wrong with the snapshot of this moment, as a sentence; None if it is intact."""
        try:
            read_snapshot(self.file(frames))
        except CheckpointError as error:
            return str(error)
        return None

    def file(self, frames: int) -> Path:
        """Where the snapshot of this moment lies, or would."""
        return snapshot_file(self.run.snapshots, frames)


def begin_with(run: RunDirectory, agent: ContinualAgent, path: Path) -> None:
    """Load the snapshot of another run; what is known of its games' tasks is written down, for evaluate.py."""
    snapshot = read_snapshot(path)
    agent.load_snapshot(snapshot["agent"])
    try:
        known = snapshot["own_tasks"] or task_log.known_tasks(RunDirectory(run_of(path)), snapshot["frames"])
    except (OSError, KeyError, ValueError, TypeError):
        return  # the snapshot is of an older run and lies alone
    run.write_json(run.tasks_before, known)
