"""The plan of the disk counts what a run really writes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from configs.build import build_network
from configs.parse import load
from configs.schema import Config, ConsolidationConfig, LogConfig, StreamConfig
from taskid.sources.inferred import Settings
from tests.integration.runs import TOY, write_config
from tracking.checkpoints import Checkpoints
from train import main
from training.disk import contexts, disk_bytes, frame_bytes, kept_bytes, model_bytes

RUN: dict[str, Any] = {
    **TOY,
    "frames": 12_000,
    "task_source": "inferred",
    "stream": {"games": ["toy_catch", "toy_avoid", "toy_rise"], "visit_frames": 2000, "reseed_frames": 2000},
    "learner": {"network": "small", "precision": "float32", "samples_per_step": 0.2},
    "replay": {"capacity": 1500, "min_history": 200, "compress": False},
    "consolidation": {"start_frames": 1000, "min_visit_frames": 0, "fisher_batches": 1},
    "evaluation": {"period": 3000, "episodes": 1, "final_episodes": 1, "emulators": 1},
    "log": {"period": 1000, "image_period": 0, "checkpoint_period": 1000},
}


def on_disk(directory: Path) -> int:
    """Bytes of all files, each counted once, whatever names it has."""
    found = (path.stat() for path in directory.rglob("*") if path.is_file())
    return sum({status.st_ino: status.st_size for status in found}.values())


@pytest.mark.parametrize(
    "changes",
    [
        {},
        pytest.param({"inferred": {"model": "paper", "max_contexts": 4}}, marks=pytest.mark.slow),
        {
            "task_source": "single",
            "consolidation": {"kind": "none"},
            "replay": {"capacity": 100_000, "compress": False},
        },
    ],
    ids=["inferred", "the paper's inference", "one task"],
)
def test_the_plan_is_what_a_run_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    """Within 15 %, at the moment when there is most: while a checkpoint stands beside all that are kept."""
    most, prune = 0, Checkpoints._prune

    def measuring(self: Checkpoints, newest: Path) -> None:
        nonlocal most
        most = max(most, on_disk(tmp_path / "run"))
        prune(self, newest)

    monkeypatch.setattr(Checkpoints, "_prune", measuring)
    config = write_config(tmp_path / "config.yaml", RUN, **changes)
    assert main(["--config", str(config), "--run_dir", str(tmp_path / "run")]) == 0
    planned = load(config)
    assert disk_bytes(planned) == pytest.approx(most, rel=0.15)


def test_a_running_average_of_the_weights_is_in_every_checkpoint() -> None:
    config = Config(frames=6400, stream=StreamConfig(visit_frames=3200), task_source="single")
    averaged = replace(config, learner=replace(config.learner, average_rate=0.01))
    network = build_network(config)
    network.add_task()
    one = 4 * sum(p.numel() for p in network.parameters())
    assert disk_bytes(averaged) - disk_bytes(config) == 2 * one  # the first checkpoint, and the last


def test_every_snapshot_counts_the_models_of_the_games_met_by_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """By hand: four visits of four games, two evaluations within each, of which one is at its end."""
    games = ["pong", "boxing", "krull", "assault"]
    config = Config(frames=6400, stream=StreamConfig(games=games, visit_frames=1600), log=LogConfig(period=10_000))
    config = replace(config, evaluation=replace(config.evaluation, period=800), task_source="inferred")

    monkeypatch.setattr("training.disk.contexts", lambda config, games, frames: games)

    def disk(model: Any) -> int:
        return disk_bytes(replace(config, inferred=Settings(model=model)))

    in_checkpoints = 2 * (4 + 1) * 8 * 42 * 42 * (256 - 16)  # the first, and one at the end
    in_snapshots = 2 * (1 + 2 + 3 + 4) * 42 * 42 * (256 // 12 - 16 // 12)
    assert disk("paper") - disk("default") == in_checkpoints + in_snapshots


@pytest.mark.parametrize(
    ("tasks", "settings", "frames", "expected"),
    [
        ("single", Settings(), 10**9, 1),
        ("true_labels", Settings(), 10**9, 57),
        ("inferred", Settings(), 10**9, 57),
        ("inferred", Settings(max_contexts=20), 10**9, 20),
        ("inferred", Settings(model="paper"), 10**9, 100),
        ("inferred", Settings(model="paper"), 4 * 4 * 4 * 4 * 5, 6),  # windows of 4 x 4 steps of 4 emulators
        ("inferred", Settings(model="paper", max_contexts=0), 4 * 4 * 4 * 4 * 500, 501),
    ],
)
def test_tasks_are_at_most_as_many_as_the_source_tells_apart(
    tasks: Any, settings: Settings, frames: int, expected: int
) -> None:
    config = replace(Config(task_source=tasks), inferred=settings)
    assert contexts(config, 57, frames) == expected
    assert (model_bytes(config) > 0) == (tasks == "inferred")


@pytest.mark.parametrize(("period", "there"), [(500, 3), (10_000, 2)])
def test_anchors_are_on_the_disk_twice_and_once_more_for_each_that_is_replaced_meanwhile(
    period: int, there: int
) -> None:
    """By hand: three games left at once, visits of 400 frames; two lines of checkpoints, of which the newest two hold
    all anchors and the older ones those that their next did without."""
    config = Config(frames=4000, stream=StreamConfig(visit_frames=400))
    config = replace(config, log=LogConfig(checkpoint_period=period))
    anchor = 2 * 4 * sum(p.numel() for p in build_network(config).parameters())

    def disk(kind: Any, start_frames: int = 0) -> int:
        consolidation = ConsolidationConfig(kind=kind, start_frames=start_frames, min_visit_frames=0)
        changed = replace(config, consolidation=consolidation)
        return disk_bytes(changed)

    replaced = min(3, -(-2 * period // 400))
    assert disk("ewc") - disk("none") == (2 * 3 + (there - 2) * replaced) * anchor
    assert disk("online_ewc") - disk("none") == (2 * 1 + (there - 2) * 1) * anchor
    assert disk("ewc", start_frames=10**6) == disk("none")


def test_states_to_be_recalled_are_on_the_disk_for_every_task_whatever_the_anchors() -> None:
    """Online EWC has one anchor for all tasks, but each task has states of its own."""
    config = Config(frames=4000, stream=StreamConfig(visit_frames=400))

    def disk(kind: Any, states: int) -> int:
        left = ConsolidationConfig(kind=kind, start_frames=0, min_visit_frames=0, recall_states=states)
        return disk_bytes(replace(config, consolidation=left))

    kept = disk("ewc", 1000) - disk("ewc", 0)
    assert kept == 2 * 3 * int(1000 * 4 * frame_bytes(config))
    raw = replace(config, replay=replace(config.replay, compress=False))
    assert kept_bytes(raw) == kept_bytes(config)  # these are compressed in any case
    assert disk("none", 1000) - disk("none", 0) == kept == disk("online_ewc", 1000) - disk("online_ewc", 0)
