"""How a sweep stands: its plan, and one line per run, from what is in the runs' directories."""

from __future__ import annotations

import csv
import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from evaluation.play import clipped_total
from evaluation.table import evaluations, whole_moments
from sweeps.node import Place, gave_up, place, read_attempts
from sweeps.plan import Sweep, Trial
from sweeps.runs import WORKER_BYTES, Needs, SweepError
from tracking.durations import spoken
from tracking.tables import Column, table
from tracking.task_log import changes
from training.resources import Plan, free_disk, plan

_GIB = 2**30
_MARGIN = 1.15  # on the estimated memory of a run
_CUDA_BYTES = 3 * _GIB  # of main memory, for CUDA's libraries and context: assumed, not measured


@dataclass(frozen=True)
class SweepPlan:
    """What a whole sweep needs. `disk_bytes_left`: of what is not there yet. `run_seconds`: what is left of a
    run that is not finished, on average; None if the speed is not known. `note`: what is to be known about that."""

    runs: int
    finished: int
    frames: int
    needs: Needs
    disk_bytes: int
    disk_bytes_left: int
    run_seconds: float | None
    note: str = ""


@dataclass(frozen=True)
class Begun:
    """How far a run has come: frames of the checkpoint it would go on from and bytes on the disk, 0 where nothing is
    left to do."""

    frames: int = 0
    bytes: int = 0
    finished: bool = False


def begun(where: Place) -> Begun:
    """Of a run, as its directory tells."""
    if where.run.finished:
        return Begun(finished=True)
    sizes: dict[int, int] = {}
    for folder, _, files in os.walk(where.run.path):  # which passes over folders that are gone
        for file in files:
            with suppress(OSError):  # a run that is under way throws old checkpoints away
                found = os.stat(os.path.join(folder, file))
                sizes[found.st_ino] = found.st_size
    return Begun(where.kept_frames, sum(sizes.values()))


@dataclass(frozen=True)
class Speed:
    """Frames per second of a run, if they are given; else whether they are to be measured."""

    given: float | None = None
    measure: bool = True


def plan_sweep(sweep: Sweep, trials: Sequence[Trial], begun: Mapping[str, Begun], speed: Speed) -> SweepPlan:
    """The plan of all trials; `begun`: how far those are that have begun. The speed is measured for the first
    configuration and taken for all."""
    configs = {trial.name: trial.config() for trial in trials}
    estimates: dict[str, Plan] = {name: plan(config, measure=False) for name, config in configs.items()}
    memory = max(estimate.memory_bytes for estimate in estimates.values()) * _MARGIN
    memory += _CUDA_BYTES if sweep.gpus else 0
    at = {name: begun.get(name, Begun()) for name in configs}
    left = [config.frames - at[name].frames for name, config in configs.items() if not at[name].finished]
    rate, note = speed.given, "at the speed given"
    if rate is None and speed.measure and left:
        first = configs[trials[0].name]
        measured = plan(first, measure=True).seconds
        assert measured is not None
        rate = first.frames / measured
        note = f"at {rate:,.0f} frames/s, measured here for one run alone"
        if sweep.gpus and first.device == "cpu":
            note += ", without the GPU that the runs will have"
    return SweepPlan(
        len(trials),
        len(trials) - len(left),
        sum(config.frames for config in configs.values()),
        Needs(sweep.cpus, sweep.gpus, int(sweep.memory_gib * _GIB if sweep.memory_gib else memory) + WORKER_BYTES),
        sum(estimate.disk_bytes for estimate in estimates.values()),
        sum(max(0, e.disk_bytes - at[name].bytes) for name, e in estimates.items() if not at[name].finished),
        sum(left) / len(left) / rate if rate and left else None,
        note,
    )


def describe(planned: SweepPlan, at_once: int, directory: Path | None) -> str:
    """The plan as text; `at_once`: runs at a time; `directory`: where the sweep will lie, None if that is elsewhere."""
    needs = planned.needs
    lines = [
        f"runs: {planned.runs:,}, of which {planned.finished:,} are finished; {planned.frames:,} frames in all",
        f"each needs {needs.cpus:g} cores, {needs.gpus:g} GPUs and {needs.memory_bytes / _GIB:.1f} GiB of memory: "
        f"{at_once} at a time",
        f"storage: {planned.disk_bytes / _GIB:,.1f} GiB" + _free(directory),
    ]
    if planned.run_seconds is not None and at_once:
        left = planned.runs - planned.finished
        rounds = math.ceil(left / at_once)
        lines.append(
            f"duration: about {spoken(planned.run_seconds * rounds)}, {rounds} runs one after another in every place "
            f"({spoken(planned.run_seconds)} a run, {planned.note})"
        )
    return "\n".join(lines)


def check_storage(planned: SweepPlan, directory: Path) -> None:
    """SweepError if what is still to be run will not have room there."""
    existing, free = free_disk(directory)
    if planned.disk_bytes_left > free:
        raise SweepError(
            f"what is still to be run needs {planned.disk_bytes_left / _GIB:,.1f} GiB of storage and "
            f"{free / _GIB:,.1f} GiB are free in {existing}: free some, choose another --dir, or have fewer runs or a "
            "smaller replay.capacity"
        )


def _free(directory: Path | None) -> str:
    return f" ({free_disk(directory)[1] / _GIB:,.1f} GiB are free)" if directory else ""


def status_table(
    trials: Sequence[Trial],
    directory: Path,
    known: Mapping[str, str] | None = None,
    most: int | None = None,
    width: int | None = None,
) -> Table:
    """One line per run, at most `most` of them, those under way first, in so many columns (None: any number); `known`
    is what a driver that is under way knows (see `sweep_runs.run_all`)."""
    states = {trial.name: state(place(directory, trial.name), (known or {}).get(trial.name)) for trial in trials}
    names = [trial.name for trial in trials]
    if most is not None and len(names) > most:
        names = sorted(names, key=lambda name: _FIRST.index(states[name]))[: max(1, most - 1)]
    rows = []
    for name in names:
        where = place(directory, name)
        attempts = read_attempts(where.attempts)
        on = f"{attempts[-1]['host']}/{attempts[-1]['node'][:8]}" if attempts else ""
        rows.append((name, states[name], *progress(where), str(len(attempts)), on))
    if len(names) < len(trials):
        counts = Counter(states[trial.name] for trial in trials if trial.name not in names)
        more = ", ".join(f"{n} {what}" for what, n in counts.items())
        rows.append((f"and {len(trials) - len(names)} more", more, "", "", "", ""))
    titles = {"run": 0, "state": 0, "progress": 0, "last total": 1, "starts": 2, "on": 3}
    columns = [
        Column(title, [row[number] for row in rows], leaves, left=title in ("run", "state", "on"))
        for number, (title, leaves) in enumerate(titles.items())
    ]
    return table(columns, width, str(directory))


_FIRST = ("running", "failed", "stopped", "waiting", "finished")


def state(where: Place, known: str | None = None) -> str:
    """waiting, running, stopped, failed or finished; "running" of a dead process is what was lost: it waits."""
    if where.run.finished:
        return "finished"
    if where.run.busy():
        return "running"
    if known is not None:
        return known
    if gave_up(where):
        return "failed"
    status = where.run.read_status()
    if status is None:
        return "waiting"
    return "waiting" if status["state"] == "running" else str(status["state"])


def progress(where: Place) -> tuple[str, str]:
    """Share of the frames, and the clipped total of the last evaluation of every game; empty if there is none."""
    status = where.run.read_status()
    return f"{status['frames'] / status['total_frames']:.1%}" if status else "", _score(where)


def _score(where: Place) -> str:
    """That total; "?" if its file is damaged, which a resume mends. The games are those evaluated or met so far."""
    try:
        rows = evaluations(_lines(where.run.evaluations))
        met = changes(_lines(where.run.task_changes)) if where.run.task_changes.is_file() else []
        moments = whole_moments(rows, (change["game"] for change in met))
        last = [float(row["human_normalised"]) for row in rows if row["frames"] in moments[-1:]]
    except FileNotFoundError:
        return ""
    except (OSError, ValueError, KeyError, TypeError, AttributeError, csv.Error):
        return "?"
    return f"{clipped_total(last):.2f}" if last else ""


def _lines(path: Path) -> str:
    """The file's text without a line that is still being written."""
    return path.read_text().rpartition("\n")[0]
