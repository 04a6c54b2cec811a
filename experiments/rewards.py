"""What runs have earned while they learned: the sum of rewards of every visit, beside a random agent's.

    python -m experiments.rewards runs/upper_bound-seed0 [runs/plain_dqn-seed0 ...] [--random]

The number of a stream that is never evaluated apart from learning, as in John Carmack's challenge (2025): games come in
cycles, and what counts is earned in the last one. Sums are of raw rewards, of all emulators, from metrics.jsonl, where
every log event holds the mean of a step in each game: no two visits of one game may lie in between. With `--random` a
random agent plays every game for as many frames as its longest visit.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from configs.build import emulator_maker, frames_per_step, numpy_generator, planned_visits
from configs.checks import ConfigError
from configs.schema import Config
from envs.timestep import ACTIONS, FRAME_SKIP
from evaluation.playable import load_run
from tracking import command
from tracking.run_directory import RunDirectory, RunDirectoryError
from tracking.tables import Column, table, terminal_width, text
from training.machine import resolve
from training.scalars import REWARD

Sums = dict[str, list[float]]
"""By game, of its visits in order; a visit under way counts as far as it has come."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = command.Parser(prog="python -m experiments.rewards", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("runs", type=Path, nargs="+", help="directories of runs")
    parser.add_argument("--random", action="store_true", help="play with a random agent as well")
    options = parser.parse_args(arguments)
    try:
        for path in options.runs:
            run = RunDirectory(path)
            if not run.config.is_file():
                raise ValueError(f"there is no run in {path}: it has no {run.config.name}")
            config = load_run(run)
            found, frames = rewards(run, config)
            chance = {game: random_rewards(config, game) for game in found} if options.random else {}
            width = terminal_width(sys.stdout)
            print(f"{path}: {frames:,} of {config.frames:,} frames")
            print(text(table(_columns(found, chance), width, "rewards by visit", total=True), width))
    except (ConfigError, RunDirectoryError, ValueError) as error:
        parser.error(str(error))
    return 0


def rewards(run: RunDirectory, config: Config) -> tuple[Sums, int]:
    """Those of a run, and until which frame: its last log event's. ValueError with a sentence if these do not tell."""
    events = list(_events(run))
    if not events:
        raise ValueError(f"{run.path} has no log event yet (log.period: every {config.log.period:,} frames)")
    between = max(at - before for before, at, _ in events)
    if not run.checkpoints.is_dir() and between > config.log.period + frames_per_step(config):
        raise ValueError(
            f"{run.path} holds the small files of a run, its log thinned out: give the directory in which it was made"
        )
    if untold := [at for _, at, means in events if not means]:
        raise ValueError(f"{run.path} logged no rewards until frame {max(untold):,}, as version 0.3.0 and before")
    sums: dict[str, list[float]] = defaultdict(list)
    for _, first, visit in planned_visits(config):
        within = [each for each in events if each[0] < first + visit.frames and first < each[1]]
        if any(before < first and visit.game in _played(config, before, first) for before, _, _ in within):
            raise ValueError(f"{run.path}: no log event between two visits of {visit.game}, before frame {first:,}")
        if within:
            steps = [(min(at, first + visit.frames) - max(before, first)) / FRAME_SKIP for before, at, _ in within]
            sums[visit.game].append(sum(n * means[visit.game] for n, (_, _, means) in zip(steps, within, strict=True)))
    return dict(sums), events[-1][1]


def _played(config: Config, after: int, until: int) -> set[str]:
    """The games of the visits that are played between these frames."""
    visits = planned_visits(config)
    return {visit.game for _, first, visit in visits if first < until and after < first + visit.frames}


def _events(run: RunDirectory) -> Iterator[tuple[int, int, dict[str, float]]]:
    """(frames of the log event before, its own frames, mean rewards of a step by game) of every log event."""
    before = 0
    if not run.metrics.is_file():
        return
    with open(run.metrics) as file:
        for written in file:
            line: dict[str, Any] = json.loads(written) if written.endswith("\n") else {}
            names = [name for name in line if name.startswith("score/") and name.endswith(f"/{REWARD}")]
            if "learning/updates" in line:
                yield before, line["frame"], {name.split("/")[1]: line[name] for name in names}
                before = line["frame"]


def random_rewards(config: Config, game: str) -> float:
    """What uniformly random actions earn in as many frames as the game's longest visit."""
    frames = max(visit.frames for _, _, visit in planned_visits(config) if visit.game == game)
    batch = config.emulators.num_envs
    settings = resolve(replace(config, emulators=replace(config.emulators, threads=config.emulators.threads or 1)))
    emulators = emulator_maker(settings)(game, config.seed)
    rng, earned = numpy_generator(config.seed, f"random agent in {game}"), 0.0
    emulators.reset()
    for _ in range(frames // (FRAME_SKIP * batch)):
        earned += float(emulators.step(rng.integers(ACTIONS, size=batch)).reward.sum())
    emulators.close()
    return earned


def _columns(sums: Sums, chance: Mapping[str, float]) -> list[Column]:
    """A row for every game, and one for all that all visits have."""
    whole = min(map(len, sums.values()))
    most = max(map(len, sums.values()))
    lines = [[f"{each[i]:,.0f}" if i < len(each) else "-" for each in sums.values()] for i in range(most)]
    totals = [f"{sum(each[i] for each in sums.values()):,.0f}" if i < whole else "-" for i in range(most)]
    columns = [Column("game", [*sums, "all"], left=True)]
    columns += [Column(f"visit {i + 1}", [*lines[i], totals[i]], leaves=most - i) for i in range(most)]
    if chance:
        cells = [f"{chance[game]:,.0f}" for game in sums]
        columns.append(Column("random", [*cells, f"{sum(chance.values()):,.0f}"]))
    return columns


if __name__ == "__main__":
    command.run(main)
