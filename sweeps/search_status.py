"""How a search stands: what it will need, and one line per trial, from its study and its runs' directories."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from configs.build import build_schedule
from configs.layers import as_text
from configs.schema import Config
from sweeps.node import place, read_attempts
from sweeps.objective import evaluations
from sweeps.runs import SweepError
from sweeps.search_plan import Search, trial_name
from sweeps.span import corners
from sweeps.status import Speed, begun, progress
from sweeps.study import Study, settings_of
from tracking.durations import spoken
from tracking.tables import Column, table
from training.resources import free_disk, plan

_GIB = 2**30
_CORNERS = 8  # combinations of the ranges' ends, of which one needs most
_STATES = {"COMPLETE": "finished", "PRUNED": "pruned", "FAIL": "failed"}
_FIRST = ("running", "stopping", "waiting", "finished", "pruned", "failed")


@dataclass(frozen=True)
class Row:
    """A trial: its settings in the order of the file, its value so far (None before its first evaluation) and those at
    its evaluations."""

    number: int
    name: str
    state: str
    progress: str
    value: float | None
    settings: dict[str, Any]
    values: tuple[float, ...]
    frames: tuple[int, ...]
    starts: int


def rows(search: Search, study: Study, directory: Path) -> list[Row]:
    """One for every trial that was begun, by number."""
    games = len(build_schedule(search.alike).games)
    found = []
    for trial in study.trials:
        settings = settings_of(trial, search)
        name = trial_name(trial.number)
        where = place(directory, name)
        state = _STATES.get(trial.state.name)
        if state is None:
            going = "stopping" if study.steps(trial.number) else "running"
            state = going if where.run.busy() else "waiting"
        made = evaluations(where.run.evaluations, search.goal, games)[: study.steps(trial.number)]
        seen = [value for _, value in made]
        value = trial.value if trial.value is not None else seen[-1] if seen and state != "failed" else None
        starts = len(read_attempts(where.attempts))
        frames = tuple(frames for frames, _ in made)
        found.append(Row(trial.number, name, state, progress(where)[0], value, settings, tuple(seen), frames, starts))
    return found


def search_table(
    search: Search, study: Study, directory: Path, most: int | None = None, width: int | None = None
) -> Table:
    """One line per trial that was begun, at most `most` of them, those under way first, in so many columns (None: any
    number); what is best so far stands below."""
    every = rows(search, study, directory)
    shown = every
    if most is not None and len(every) > most:
        best = study.best.number if study.best else -1
        order = sorted(every, key=lambda row: (_FIRST.index(row.state), row.number != best, -row.number))
        shown = sorted(order[: max(1, most)], key=lambda row: row.number)
    columns = [
        Column("trial", [row.name.removeprefix("trial") for row in shown], left=True),
        Column("state", [row.state for row in shown], left=True),
        Column("progress", [row.progress for row in shown], 2),
        Column("value", ["" if row.value is None else f"{row.value:.3f}" for row in shown]),
        *(
            Column(name.rsplit(".", 1)[-1].replace("_", "\n"), [short(row.settings[name]) for row in shown], 3 + place)
            for place, name in enumerate(search.ranges)
        ),
        Column("starts", [str(row.starts) for row in shown], 1),
    ]
    left = search.trials - len(every)
    caption = f"{len(every)} of {search.trials} trials begun{best_so_far(study)}" if left else best_so_far(study, "")
    return table(columns, width, str(directory), caption.strip() or None)


def best_so_far(study: Study, begin: str = "; ") -> str:
    """The best trial and its value in words; nothing before one has finished."""
    best = study.best
    return f"{begin}best: {trial_name(best.number)}, {best.value:.3f}" if best else ""


def short(value: Any) -> str:
    """A setting in a table: a number with four digits."""
    return f"{value:.4g}" if isinstance(value, float) else as_text(value)


def describe(search: Search, study: Study, directory: Path, speed: Speed) -> str:
    """What the search needs and takes at most."""
    configs = [search.checked(point) for point in corners(search.ranges, _CORNERS)]
    ended = sum(trial.state.is_finished() for trial in study.trials)
    memory = search.parallel * max(plan(config, measure=False).memory_bytes for config in configs)
    lines = [
        f"trials: {search.trials:,}{f', {ended:,} of which have ended' if ended else ''}; sampler {search.sampler}, "
        f"prune {search.prune}, {search.parallel} at a time on this machine",
        *(f"  {name}: {_words(search, name)}" for name in search.ranges),
        f"memory: {memory / _GIB:.1f} GiB; storage: {_storage(search, study, directory) / _GIB:,.1f} GiB "
        f"({free_disk(directory)[1] / _GIB:,.1f} GiB are free)",
    ]
    if seconds := _seconds(configs[0], speed):
        rounds = math.ceil((search.trials - ended) / search.parallel)
        lines.append(
            f"duration: at most about {spoken(seconds * rounds)} ({spoken(seconds)} a trial with {_low(search)})"
        )
    return "\n".join(lines)


def check_storage(search: Search, study: Study, directory: Path) -> None:
    """SweepError if what is still to be run will not have room there."""
    needed, (existing, free) = _storage(search, study, directory), free_disk(directory)
    if needed > free:
        raise SweepError(
            f"what is still to be run needs {needed / _GIB:,.1f} GiB of storage and {free / _GIB:,.1f} GiB are free in "
            f"{existing}: free some, choose another --dir, or have fewer trials or a smaller replay.capacity"
        )


def _storage(search: Search, study: Study, directory: Path) -> int:
    """Bytes of the trials that have not ended and are not there yet."""
    left = search.trials - sum(trial.state.is_finished() for trial in study.trials)
    each = max(plan(search.checked(point), measure=False).disk_bytes for point in corners(search.ranges, _CORNERS))
    held = sum(begun(place(directory, trial_name(number))).bytes for number in study.running)
    return max(0, left * each - held)


def _low(search: Search) -> str:
    return ", ".join(f"{name.rsplit('.', 1)[-1]} {short(span.ends[0])}" for name, span in search.ranges.items())


def _seconds(config: Config, speed: Speed) -> float | None:
    """Of a trial that is not pruned."""
    if speed.given:
        return config.frames / speed.given
    return plan(config, measure=True).seconds if speed.measure else None


def _words(search: Search, name: str) -> str:
    span = search.ranges[name]
    if span.choices:
        return ", ".join(as_text(value) for value in span.choices)
    how = ", logarithmic" if span.log else f", in steps of {span.step:g}" if span.step else ""
    return f"{span.low:g} to {span.high:g}{how}"


def states(every: Sequence[Row]) -> dict[str, tuple[str, str]]:
    """{trial: (state, words on it)}, for a driver without a terminal to tell what has changed."""
    found = {}
    for row in every:
        if row.state in ("waiting", "stopping"):  # for seconds
            continue
        words = [row.progress, *(f"{name.rsplit('.', 1)[-1]} {short(value)}" for name, value in row.settings.items())]
        if row.value is not None:
            words.insert(0, f"value {row.value:.3f}")
        found[row.name] = (row.state, ", ".join(word for word in words if word))
    return found
