"""What a run will need before it starts: timetable, memory, disk, time; and a refusal of what cannot fit."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from configs.build import Parts, build, build_network, build_schedule, frames_per_step, planned_visits
from configs.checks import ConfigError
from configs.schema import Config, StreamConfig
from envs.timestep import FRAME_SKIP, SIZE
from tracking.durations import spoken
from tracking.files import existing_part
from tracking.metrics import PhaseTimer
from training.disk import ROW_BYTES, contexts, disk_bytes, frame_bytes, kept_bytes, model_bytes
from training.interact import interact
from training.machine import resolve
from training.memory import available_memory

_GIB = 2**30
_PROCESS_BYTES = int(0.7 * _GIB)  # Python, torch, emulators
_WORKER_BYTES = int(0.5 * _GIB)  # the same for evaluations in the background
_EVALUATION_EPISODE_FRAMES = 8_000  # a typical episode, for the estimate of time
_WARM_UP = 2_000  # agent steps before a measurement, so that minibatches are not drawn from a handful
_VISITS_SHOWN = 40  # in the timetable
_BLOCK_SLACK = 2 * 256  # rows per task by which the replay may exceed its budget


@dataclass(frozen=True, slots=True)
class Rates:
    """A short measurement of the training loop in steady state."""

    agent_steps_per_s: float
    updates_per_s: float
    ms_per_phase: dict[str, float]
    """Milliseconds per vector step in act, learn, emulate (what is left of it after learning), remember."""
    emulator_ms: float = 0.0
    """Milliseconds per vector step of the emulators while nothing is learned."""
    busy: float = 0.0
    """Processor time over what the cores had."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run needs, in bytes and seconds; `seconds` is None if nothing was measured."""

    memory_bytes: int
    replay_bytes: int
    disk_bytes: int
    seconds: float | None
    rates: Rates | None


def plan(config: Config, measure: bool) -> Plan:
    """Estimate the needs of a run; with `measure`, run its loop for some seconds to estimate the time."""
    schedule = build_schedule(config)
    tasks = 1 if config.task_source == "single" else len(schedule.games)
    slack = tasks * config.emulators.num_envs * _BLOCK_SLACK * SIZE * SIZE
    replay_bytes = min(
        int(tasks * config.replay.capacity * frame_bytes(config)),
        int(config.replay.budget_gib * _GIB) + slack,
    )
    replay_bytes += tasks * config.replay.capacity * ROW_BYTES  # whatever the budget
    weights = 4 * sum(p.numel() for p in build_network(config).parameters())
    anchors = 0 if config.consolidation.kind == "none" else tasks * 2 * weights  # mean and precision
    anchors += tasks * kept_bytes(config)
    # What plays is a network of its own in an agent of its own, beside the average itself.
    average = weights * (1 if config.evaluation.background else 6) if config.learner.average_rate else 0
    # Task models are there once more while a checkpoint of them is written.
    models = 2 * contexts(config, tasks, config.frames) * model_bytes(config)
    disk = disk_bytes(config)
    rates = measure_rates(config, seconds=10.0) if measure else None
    seconds = _duration(config, len(schedule.games), rates) if rates else None
    processes = _PROCESS_BYTES + (_WORKER_BYTES if config.evaluation.background else 0)
    return Plan(processes + replay_bytes + 8 * weights + average + anchors + models, replay_bytes, disk, seconds, rates)


def measure_rates(config: Config, seconds: float, prepare: Callable[[Parts], None] = lambda _: None) -> Rates:
    """Run act, emulate and learn for `seconds` in steady state, in one game; `prepare` is called before.

    What it leaves out: logging, evaluations, checkpoints, and what other tasks cost (`consolidation.recall_strength`,
    `learner.rehearsal`).
    """
    c = resolve(config)
    warm = max(_WARM_UP, 2 * c.emulators.num_envs * (c.learner.longest_n_step + 2))
    first = build_schedule(c).visit(0).game
    c = replace(
        c,
        stream=StreamConfig(games=[first], visit_frames=10**12, reseed_frames=10**12),
        replay=replace(c.replay, min_history=min(warm, c.replay.capacity)),
    )
    parts = build(c)
    prepare(parts)
    parts.stream.start()
    timer = PhaseTimer()
    steps = updates = 0
    start, used, emulator_ms = time.perf_counter(), 0.0, 0.0
    warming = True
    for _ in interact(parts.stream, parts.agent, timer):
        steps += 1
        if warming and (parts.agent.updates >= 5 or (c.learner.samples_per_step == 0 and steps > 20)):
            emulator_ms = timer.pop(steps)["time/emulate_ms"]
            warming, steps, updates = False, 0, parts.agent.updates
            start, used = time.perf_counter(), time.process_time()
        elif not warming and time.perf_counter() - start >= seconds:
            break
    elapsed = time.perf_counter() - start
    busy = (time.process_time() - used) / elapsed / len(os.sched_getaffinity(0))
    phases = {name.removeprefix("time/").removesuffix("_ms"): ms for name, ms in timer.pop(steps).items()}
    parts.stream.close()
    updates = parts.agent.updates - updates
    return Rates(steps * c.emulators.num_envs / elapsed, updates / elapsed, phases, emulator_ms, busy)


def _duration(config: Config, games: int, rates: Rates) -> float:
    learning = config.frames / FRAME_SKIP / rates.agent_steps_per_s
    e = config.evaluation
    act, emulate = rates.ms_per_phase["act"], rates.emulator_ms
    one = (act + emulate) / 1000 * min(e.emulators, e.episodes) / config.emulators.num_envs  # a step of a single game
    beside = games > 1 and len(os.sched_getaffinity(0)) > 1
    together = one * max(act / (act + emulate), 0.5) if beside else one  # one game acts while two emulate
    every, left = (0, 0) if e.background else _evaluations(config)
    rounds = _EVALUATION_EPISODE_FRAMES / FRAME_SKIP / min(e.emulators, e.episodes)
    evaluating = rounds * (games * (every * e.episodes + e.final_episodes) * together + left * e.episodes * one)
    return learning + evaluating


def _evaluations(config: Config) -> tuple[int, int]:
    """How many there are before the end of all games (at the start, if asked, at the period, and maybe where a visit
    ends between), and of the game just left."""
    e = config.evaluation
    period = e.period
    ends = [start + visit.frames for _, start, visit in planned_visits(config)[:-1]]
    between = sum(not period or end % period >= frames_per_step(config) for end in ends)
    every = e.at_start + ((config.frames - 1) // period if period else 0)
    return every + between * (e.at_visit_ends == "all"), between * (e.at_visit_ends == "left")


def describe(config: Config, estimate: Plan) -> str:
    """The plan as text: timetable, memory, disk, time."""
    rows = planned_visits(config)
    lines = ["visit  first frame      frames  game"]
    lines += [f"{i:5}  {start:11,}  {visit.frames:10,}  {visit.game}" for i, start, visit in rows[:_VISITS_SHOWN]]
    if (more := len(rows) - _VISITS_SHOWN) > 0:
        lines.append(f"... and {more:,} more visits")
    lines += [
        f"memory: {estimate.memory_bytes / _GIB:.1f} GiB, of which replay {estimate.replay_bytes / _GIB:.1f} GiB "
        f"({available_memory() / _GIB:.1f} GiB available)",
        f"disk: {estimate.disk_bytes / _GIB:.1f} GiB for checkpoints and snapshots",
    ]
    if estimate.rates is not None and estimate.seconds is not None:
        lines.append(
            f"duration: about {spoken(estimate.seconds)} "
            f"({estimate.rates.agent_steps_per_s:,.0f} agent steps/s, {estimate.rates.updates_per_s:,.0f} updates/s)"
        )
    return "\n".join(lines)


def refuse_if_too_large(estimate: Plan, directory: Path, resumed: bool = False) -> None:
    """Raise `ConfigError` if the run cannot fit in this machine's memory or on the disk of `directory`.

    A resumed run already has most of its files on the disk, which is not asked for again.
    """
    memory = available_memory()
    if estimate.memory_bytes > memory:
        raise ConfigError(
            f"the run needs {estimate.memory_bytes / _GIB:.1f} GiB of memory and {memory / _GIB:.1f} GiB are "
            "available: lower replay.capacity or replay.budget_gib, or set replay.compress true"
        )
    if resumed:
        return
    existing, free = free_disk(directory)
    if estimate.disk_bytes > free:
        raise ConfigError(
            f"the run needs {estimate.disk_bytes / _GIB:.3g} GiB of disk and {free / _GIB:.3g} GiB are free in "
            f"{existing}: free some space, lower replay.capacity, or choose another --run_dir"
        )


def free_disk(directory: Path) -> tuple[Path, int]:
    """The part of the path that is there already, and the bytes free on its disk."""
    existing = existing_part(directory)
    return existing, shutil.disk_usage(existing).free
