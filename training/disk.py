"""How many bytes a run writes into its directory: replay, anchors, weights and task models, in checkpoints, snapshots.

The schedule is walked through once, for what the agent has met by when. A test holds the sum against a run.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from configs.build import build_network, build_schedule, frames_per_step, planned_visits
from configs.choices import own_settings
from configs.schema import Config
from envs.timestep import FRAME_SKIP, SIZE, STACK
from taskid.forget_me_not_settings import ForgetMeNotSettings
from taskid.pixels import PIXELS
from taskid.sources import inferred
from tracking.checkpoints import CHECKPOINTS_KEPT

LZ4_RATIO = 3.8  # of frames: the least compressible game measured (ms_pacman)
ROW_BYTES = 24  # of a transition beside its frame: action, reward, discount, addresses, times
_BLOCK_ROWS = 256  # rows that are written as one segment
_LINES = 2  # of checkpoints that share nothing (see tracking.checkpoints)
_LOG_BYTES = 4000  # of one point in metrics.jsonl and for TensorBoard
_LOG_BYTES_PER_TASK = 300
_PICTURE_BYTES = 50_000, 10_000  # of the pictures of one evaluation, and more for each game
_FIXED_BYTES = 500_000  # configuration, pictures of the report


@dataclass
class _Met:
    """What the agent has met of the stream by some moment."""

    frames: Counter[str] = field(default_factory=Counter)
    anchors: set[str] = field(default_factory=set)


def frame_bytes(config: Config) -> float:
    """Of one frame in the replay."""
    return SIZE * SIZE / (LZ4_RATIO if config.replay.compress else 1.0)


def kept_bytes(config: Config) -> int:
    """Of the states that a task keeps to be recalled, in memory and in a checkpoint: at most."""
    return int(config.consolidation.recall_states * STACK * SIZE * SIZE / LZ4_RATIO)  # always compressed


def model_bytes(config: Config) -> int:
    """Of the model of one task, in memory and in a checkpoint."""
    model = _forget_me_not(config)
    return 8 * PIXELS * model.levels if model else 0


def contexts(config: Config, games: int, frames: int) -> int:
    """At most how many tasks the agent tells apart after `frames` frames of so many games."""
    s = _forget_me_not(config)
    if s is None:
        return 1 if config.task_source == "single" else games
    windows = frames // (frames_per_step(config) * s.period * s.window) + 1
    found = games if s.episode_start_only else windows  # where every window may find another, in the end they do
    return min(found, s.max_contexts or found)


def disk_bytes(config: Config) -> int:
    """At the moment when there is most: while the last checkpoint is written."""
    network = build_network(config)
    shared = 4 * sum(p.numel() for p in network.parameters())
    own = 4 * sum(p.numel() for p in network.add_task().parameters())
    period, before = config.evaluation.period, 0
    evaluations = int(config.evaluation.at_start)
    met, snapshots = _Met(), evaluations * (shared + own + _packed_model(config))
    for _, start, visit in planned_visits(config):
        met.frames[visit.game] += visit.frames
        end = start + visit.frames
        moments = (end // period - before // period if period else 0) + (
            not period or end % period >= frames_per_step(config)
        )
        tasks = contexts(config, len(met.frames), end)
        evaluations += moments
        snapshots += moments * (shared + tasks * (own + _packed_model(config)))
        c = config.consolidation
        left = end < config.frames and met.frames[visit.game] >= c.start_frames and visit.frames >= c.min_visit_frames
        if (c.kind != "none" or c.recall_states) and left:
            met.anchors.add(visit.game)
        before = end
    tasks = contexts(config, len(met.frames), config.frames)
    models = (tasks + 1) * model_bytes(config)  # and the open window
    copies = 5 if config.learner.average_rate else 4  # both networks, the optimizer's two averages, that of the weights
    checkpoint = copies * (shared + tasks * own) + models
    logs = config.frames // config.log.period * (_LOG_BYTES + _LOG_BYTES_PER_TASK * tasks)
    pictures = evaluations * (_PICTURE_BYTES[0] + _PICTURE_BYTES[1] * len(build_schedule(config).games))
    return snapshots + _checkpoints(config, met, shared, checkpoint) + logs + pictures + _FIXED_BYTES


def _packed_model(config: Config) -> int:
    """Of the model of one task in a snapshot, where its zeros take no room: measured on ten games."""
    model = _forget_me_not(config)
    return PIXELS * (4 + model.levels // 12) if model else 0


def _forget_me_not(config: Config) -> ForgetMeNotSettings | None:
    """Those of the inference; None: tasks come from another source, of which no size is known."""
    own = own_settings(config, "task_source")
    return own.of_model if isinstance(own, inferred.Settings) else None


def _checkpoints(config: Config, met: _Met, shared: int, alone: int) -> int:
    """All that are there while another is written; `alone`: what none shares with another, but the growing blocks."""
    period = config.log.checkpoint_period
    written = 1 + config.frames // period + (config.frames % period > 0) if period else 2
    there = min(CHECKPOINTS_KEPT + 1, written)
    older = max(0, there - _LINES)  # which keep what the newest of their line does without
    transition = frame_bytes(config) + ROW_BYTES
    batch = config.emulators.num_envs
    seen = [sum(met.frames.values())] if config.task_source == "single" else list(met.frames.values())
    sealed = growing = 0.0
    for frames in seen:
        half = batch * _BLOCK_ROWS / 2
        full = frames / FRAME_SKIP > config.replay.capacity
        sealed += config.replay.capacity if full else max(0.0, frames / FRAME_SKIP - half)
        growing += min(frames / FRAME_SKIP, half)
    replay = min(sealed * transition, config.replay.budget_gib * 2**30)
    evicted = min(_LINES * period / FRAME_SKIP, sealed) if sealed < sum(seen) / FRAME_SKIP - growing else 0.0
    growing = growing * transition + len(seen) * batch * STACK * SIZE * SIZE
    shortest = min(visit.frames for _, _, visit in planned_visits(config))
    anchors, replaced = (
        _anchor_bytes(config, tasks, shared)
        for tasks in (len(met.anchors), min(len(met.anchors), -(-_LINES * period // shortest)))
    )
    lines = min(_LINES, there)
    common = lines * (replay + anchors) + older * (evicted * transition + replaced)
    return int(common + there * (alone + growing))


def _anchor_bytes(config: Config, tasks: int, shared: int) -> int:
    """Of what so many tasks leave: means and precisions of the shared weights, and states to be recalled."""
    gaussians = {"none": 0, "online_ewc": min(1, tasks)}.get(config.consolidation.kind, tasks)
    return gaussians * 2 * shared + tasks * kept_bytes(config)
