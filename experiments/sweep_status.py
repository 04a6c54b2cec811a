"""How a sweep stands: its plan, and one line per run, from what is in the runs' directories."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from configs.plan import Plan, plan
from evaluation.play import clipped_total
from experiments.sweep_runs import Needs, Place, place, read_attempts
from experiments.sweeps import Sweep, Trial

_GIB = 2**30
_MARGIN = 1.15  # on the estimated memory of a run


@dataclass(frozen=True)
class SweepPlan:
    """What a whole sweep needs; `seconds` of all runs one after another, None if nothing was measured."""

    runs: int
    finished: int
    frames: int
    needs: Needs
    disk_bytes: int
    seconds: float | None


def plan_sweep(sweep: Sweep, trials: Sequence[Trial], finished: Sequence[str], measure: bool) -> SweepPlan:
    """The plan of all trials; those that are `finished` cost no time any more. The speed is measured for the first
    configuration and taken for all."""
    configs = {trial.name: trial.config() for trial in trials}
    estimates: dict[str, Plan] = {name: plan(config, measure=False) for name, config in configs.items()}
    memory = max(estimate.memory_bytes for estimate in estimates.values()) * _MARGIN
    seconds = None
    if measure:
        measured = plan(configs[trials[0].name], measure=True).seconds
        assert measured is not None
        speed = measured / configs[trials[0].name].frames
        seconds = sum(speed * config.frames for name, config in configs.items() if name not in finished)
    return SweepPlan(
        len(trials),
        len(finished),
        sum(config.frames for config in configs.values()),
        Needs(sweep.cpus, sweep.gpus, int(sweep.memory_gib * _GIB if sweep.memory_gib else memory)),
        sum(estimate.disk_bytes for estimate in estimates.values()),
        seconds,
    )


def describe(planned: SweepPlan, places: int) -> str:
    """The plan as text; `places`: runs at a time."""
    needs = planned.needs
    lines = [
        f"runs: {planned.runs:,}, of which {planned.finished:,} are finished; {planned.frames:,} frames in all",
        f"each needs {needs.cpus:g} cores, {needs.gpus:g} GPUs and {needs.memory_bytes / _GIB:.1f} GiB of memory: "
        f"{places} at a time here",
        f"storage: {planned.disk_bytes / _GIB:.1f} GiB",
    ]
    if planned.seconds is not None:
        at_once = max(1, min(places, planned.runs - planned.finished))
        hours = planned.seconds / 3600
        lines.append(f"duration: about {hours / at_once:.1f} hours ({hours:.1f} one after another)")
    return "\n".join(lines)


def status_table(trials: Sequence[Trial], directory: Path, known: Mapping[str, str] | None = None) -> Table:
    """One line per run; `known` is what a driver that is under way knows (see `sweep_runs.run_all`)."""
    table = Table(title=str(directory))
    for column in ("run", "state", "progress", "score", "starts", "on"):
        table.add_column(column, justify="right" if column in ("progress", "score", "starts") else "left")
    for trial in trials:
        where = place(directory, trial.name)
        attempts = read_attempts(where.attempts)
        table.add_row(
            trial.name,
            state(where, (known or {}).get(trial.name)),
            _progress(where),
            _score(where),
            str(len(attempts)),
            f"{attempts[-1]['host']} {attempts[-1]['node'][:8]}" if attempts else "",
        )
    return table


def state(where: Place, known: str | None = None) -> str:
    """waiting, running, stopped, failed or finished; "running" of a dead process is what was lost: it waits."""
    if where.run.finished:
        return "finished"
    if where.run.busy():
        return "running"
    if known is not None:
        return known
    status = where.run.read_status()
    if status is None:
        return "waiting"
    return "waiting" if status["state"] == "running" else str(status["state"])


def _progress(where: Place) -> str:
    status = where.run.read_status()
    return f"{status['frames'] / status['total_frames']:.1%}" if status else ""


def _score(where: Place) -> str:
    """The clipped total of the last evaluation."""
    if not where.run.evaluations.is_file():
        return ""
    with open(where.run.evaluations, newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["human_normalised"]]
    if not rows:
        return ""
    last = [float(row["human_normalised"]) for row in rows if row["frames"] == rows[-1]["frames"]]
    return f"{clipped_total(last):.2f}"
