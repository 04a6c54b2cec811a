"""What a run of ten games with 500,000 transitions each holds in memory, and for how long a checkpoint stops it.

    python -m benchmarks.long_run [--games figure3] [--tasks 10] [--transitions 500000] [--network paper] [--json]

Real play of every game under a random policy (8 emulators, --recorded transitions) is added to its task's replay as
new rows again and again until the task holds --transitions, so that frames are compressed as they are. Emulators,
networks, optimizer, replay and consolidation are those that train.py builds; the learner makes some updates in every
task, and every task leaves an anchor. Then a checkpoint is begun as train.py does, and --checkpoints more, each after
the rows of a checkpoint period in one task and a new anchor of that task. Updates go on while they are written.

Resident memory is that of the whole process, without what evaluations would add; per transition, what the process has
grown by. A checkpoint's bytes are those of the files that it did not link from the one before. The plain file has as
many bytes, written and fsynced in one go after the last one: what the disk allows. With --json the last line is one
JSON object, in which `checkpoint_s` is the longest time that a checkpoint after the first stopped training,
`resident_gib` is before the first and `peak_gib` the most during any.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch

import train  # noqa: F401 (what it imports is resident in a run)
from agent.fisher import fisher_information
from benchmarks.recordings import Filler, load, record
from configs.build import Parts, build
from configs.checks import ConfigError, check
from configs.ranges import argument
from configs.schema import Config, ConsolidationConfig, EmulatorConfig, LearnerConfig, ReplayConfig, StreamConfig
from envs.game_sets import games_of
from envs.timestep import FRAME_SKIP
from tracking import command
from tracking.checkpoints import CHECKPOINTS_KEPT, Checkpoints, Stateful
from tracking.console import print_json
from tracking.numbers import whole
from tracking.run_directory import BAD_INPUT
from tracking.trees import tree_bytes
from training.machine import resolve
from training.resources import plan, refuse_if_too_large

EMULATORS = 8
BATCH = 32
UPDATES = 10  # in every task
FISHER_BATCHES = 2  # fewer than a run's 100, which changes no size
_GIB = 2**30
_UNBOUNDED = 1e6  # GiB; nothing is dropped, whatever the frames take


def measure(config: Config, options: argparse.Namespace, directory: Path) -> dict[str, Any]:
    """The report; what is known of each game is printed at once."""
    games = config.stream.games
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        paths = {game: directory / f"{game}.npz" for game in games}
        recorded = {game: pool.submit(record, config, game, options.recorded, path) for game, path in paths.items()}
        parts = build(config)
        parts.stream.start()
        program = resident_bytes()
        filler = Filler(parts.memory)
        per_game = _fill(parts, filler, paths, recorded, options.transitions)
    memory = parts.memory
    anchors = parts.agent.consolidator.state_dict()["segments"]
    report = {
        "transitions": sum(memory.size(task) for task in memory.task_ids),
        "bytes_per_transition": float(np.mean([found["bytes_per_transition"] for found in per_game.values()])),
        "replay_gib": memory.nbytes / _GIB,
        "anchors_gib": tree_bytes(anchors) / _GIB,
        "program_gib": program / _GIB,
        "resident_gib": resident_bytes() / _GIB,
        **_minibatches(parts, options.minibatches),
        **_checkpoints(config, parts, filler, list(paths.values()), directory, options.checkpoints),
        "per_game": per_game,
    }
    parts.stream.close()
    return report


def _fill(
    parts: Parts, filler: Filler, paths: dict[str, Path], recorded: dict[str, Future[None]], transitions: int
) -> dict[str, dict[str, float]]:
    """Fill every game's ring, learn a little in it, and leave it."""
    memory, per_game = parts.memory, {}
    print(f"{'game':<16}{'transitions':>12}{'B/transition':>14}{'resident':>10}{'us/added':>10}")
    for task, game in enumerate(paths):
        recorded[game].result()
        before, resident = memory.nbytes, resident_bytes()
        seconds = filler.add(task, load(paths[game]), transitions)
        size = memory.size(task)
        found = {
            "transitions": size,
            "bytes_per_transition": (memory.nbytes - before) / size,
            "resident_bytes_per_transition": (resident_bytes() - resident) / size,
            "us_per_added_transition": 1e6 * seconds / size,
        }
        count, held, resident_each, added = found.values()
        print(f"{game:<16}{count:>12,}{held:>14,.0f}{resident_each:>10,.0f}{added:>10.1f}", flush=True)
        per_game[game] = found
        parts.agent.learner.add_task()
        _learn_and_leave(parts, task)
    return per_game


def _learn_and_leave(parts: Parts, task: int) -> list[float]:
    """Some updates in `task`, whose seconds are returned, and an anchor."""
    agent, rng = parts.agent, np.random.default_rng(task)
    agent.consolidator.enter(task)
    seconds = [_update(parts, task, rng) for _ in range(UPDATES)]
    batches = (parts.memory.sample(task, BATCH, rng) for _ in range(FISHER_BATCHES))
    network, target = agent.learner.network, agent.learner.target
    fisher = partial(fisher_information, network, target, batches, task, "q", torch.Generator())
    units = partial(network.active_units, task)
    agent.consolidator.leave(task, agent.learner.weights, fisher, units)
    agent.consolidator.enter(task + 1)
    return seconds


def _update(parts: Parts, task: int, rng: np.random.Generator) -> float:
    """The seconds of one update, its minibatch included."""
    begin = perf_counter()
    parts.agent.learner.learn(parts.memory.sample(task, BATCH, rng), task, parts.agent.consolidator)
    return perf_counter() - begin


def _minibatches(parts: Parts, count: int) -> dict[str, float]:
    """Times of samples from all tasks in turn."""
    rng, seconds = np.random.default_rng(0), []
    for turn in range(count + 20):
        task = turn % len(parts.memory.task_ids)
        begin = perf_counter()
        parts.memory.sample(task, BATCH, rng)
        seconds.append(perf_counter() - begin)
    median, late = np.quantile(seconds[20:], [0.5, 0.99])
    return {"us_per_minibatch": 1e6 * float(median), "us_per_minibatch_p99": 1e6 * float(late)}


def _checkpoints(
    config: Config, parts: Parts, filler: Filler, recordings: list[Path], directory: Path, count: int
) -> dict[str, Any]:
    """The first checkpoint, and `count` that follow it; the learner goes on while they are written."""
    stateful: dict[str, Stateful] = {
        "stream": parts.stream,
        "agent": parts.agent,
        "memory": parts.memory,
        "consolidation": parts.agent.consolidator,
    }
    period, rng = config.log.checkpoint_period, np.random.default_rng(0)
    alone, meanwhile = [], []  # seconds of updates
    stopped, written, sizes, resident, peak = [], [], [], [], []
    with Checkpoints(directory / "checkpoints", keep=CHECKPOINTS_KEPT) as checkpoints:
        for number in range(count + 1):
            task = max(number - 1, 0) % len(recordings)
            if number:
                filler.add(task, load(recordings[task]), period // FRAME_SKIP)
                alone += _learn_and_leave(parts, task)
            os.sync()  # as after the long time between two checkpoints
            forget_peak()
            before = inodes(checkpoints.directory)
            begin = perf_counter()
            checkpoints.begin(number * period, stateful)
            stopped.append(perf_counter() - begin)
            meanwhile.append(_update(parts, task, rng))
            while checkpoints.check():
                meanwhile.append(_update(parts, task, rng))
            written.append(perf_counter() - begin)
            newest = checkpoints.directory / f"{number * period:012d}"
            sizes.append(written_bytes(newest, before))
            resident.append(resident_bytes() / _GIB)
            peak.append(resident_bytes("VmHWM") / _GIB)
        files = sum(1 for _ in newest.iterdir())
    return {
        "first_checkpoint_s": stopped[0],
        "first_checkpoint_written_s": written[0],
        "first_checkpoint_bytes": sizes[0],
        "checkpoint_s": max(stopped[1:]),
        "checkpoints_s": stopped[1:],
        "checkpoints_written_s": written[1:],
        "checkpoint_bytes": max(sizes[2:] or sizes[1:]),  # the second is whole, too: neighbours share no file
        "checkpoint_files": files,
        "plain_write_s": plain_write(directory / "plain", max(sizes[1:])),
        "ms_per_update": 1e3 * float(np.median(alone)),
        "ms_per_update_while_writing": 1e3 * float(np.median(meanwhile)),
        "ms_longest_update_while_writing": 1e3 * max(meanwhile),
        "resident_at_end_gib": resident[-1],
        "peak_gib": max(peak),
    }


def resident_bytes(field: str = "VmRSS") -> int:
    """The memory of this process: VmRSS now, VmHWM at its highest."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))


def forget_peak() -> None:
    """VmHWM begins anew, where the system lets it: the recordings are no part of a run."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def inodes(checkpoints: Path) -> set[int]:
    """Of all files of all checkpoints."""
    return {file.stat().st_ino for file in checkpoints.glob("*/*")}


def written_bytes(checkpoint: Path, before: set[int]) -> int:
    """Of the files that were not there `before`, by their inodes."""
    found = [file.stat() for file in checkpoint.iterdir()]
    return sum(each.st_size for each in found if each.st_ino not in before)


def plain_write(path: Path, size: int) -> float:
    """Seconds to write so many bytes to one new file, with fsync."""
    piece = os.urandom(1 << 20)
    begin = perf_counter()
    with open(path, "wb") as file:
        for _ in range(-(-size // len(piece))):
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
    return perf_counter() - begin


def _table(report: dict[str, Any]) -> list[str]:
    rest = report["resident_gib"] - sum(report[name] for name in ("program_gib", "replay_gib", "anchors_gib"))
    stopped, written = (
        ", ".join(f"{seconds:.2f}" for seconds in report[name]) for name in ("checkpoints_s", "checkpoints_written_s")
    )
    return [
        f"replay       {report['replay_gib']:.2f} GiB in {report['transitions']:,} transitions",
        f"resident     {report['resident_gib']:.2f} GiB: replay, {report['anchors_gib']:.2f} anchors,"
        f" {report['program_gib']:.2f} before anything was stored, {rest:.2f} others",
        f"             {report['resident_at_end_gib']:.2f} GiB at the end, {report['peak_gib']:.2f} within checkpoints",
        f"minibatch    {report['us_per_minibatch']:,.0f} us (median), {report['us_per_minibatch_p99']:,.0f} (99 %)",
        f"checkpoint   the first stops training for {report['first_checkpoint_s']:.2f} s, is written after"
        f" {report['first_checkpoint_written_s']:.2f} s: {report['first_checkpoint_bytes'] / 1e6:,.0f} MB",
        f"             those after it stop it for {stopped} s, are written after {written} s:"
        f" {report['checkpoint_bytes'] / 1e6:,.0f} MB of {report['checkpoint_files']:,} files",
        f"             as many bytes in one plain file: {report['plain_write_s']:.2f} s",
        f"update       {report['ms_per_update']:.1f} ms (median), {report['ms_per_update_while_writing']:.1f} while a"
        f" checkpoint is written, {report['ms_longest_update_while_writing']:.1f} the longest of these",
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        config = _config(options)
        options.directory.mkdir(parents=True, exist_ok=True)
        refuse_if_too_large(plan(config, measure=False), options.directory)
    except (ConfigError, ValueError, OSError) as error:
        print(f"long_run: {error}", file=sys.stderr)
        return BAD_INPUT
    config = resolve(config)
    with tempfile.TemporaryDirectory(prefix="long_run-", dir=options.directory) as directory:
        report = measure(config, options, Path(directory))
    print(*_table(report), sep="\n")
    if options.json:
        del options.directory
        decided = {
            "games": config.stream.games,
            "threads": config.threads,
            "precision": config.learner.precision,
            "optimizer_code": config.learner.optimizer_code,
        }
        print_json({**report, "settings": {**vars(options), **decided}})
    return 0


def _config(options: argparse.Namespace) -> Config:
    """The run's; ValueError or ConfigError names what cannot work."""
    if not Path("/proc/self/status").is_file():
        raise ValueError("resident memory is read from /proc/self/status, which this system does not have")
    games = games_of(options.games)
    if len(games) < options.tasks:
        raise ValueError(f"--tasks {options.tasks} needs as many games; --games has {len(games)}")
    config = Config(
        seed=options.seed,
        threads=options.threads,
        task_source="inferred",
        stream=StreamConfig(games=list(games[: options.tasks])),
        emulators=EmulatorConfig(num_envs=EMULATORS),
        learner=LearnerConfig(network=options.network),
        consolidation=ConsolidationConfig(start_frames=0),
        replay=ReplayConfig(
            capacity=options.transitions, min_history=min(50_000, options.transitions), budget_gib=_UNBOUNDED
        ),
    )
    check(config)
    return config


def _parser() -> command.Parser:
    parser = command.Parser(prog="long_run", description=__doc__.split("\n")[0])
    parser.add_argument(
        "--games", default="figure3", help="ROM ids, separated by commas, or a group (default: figure3)"
    )
    parser.add_argument("--tasks", type=whole(1, 57), default=10, help="the first so many of them (default: 10)")
    parser.add_argument(
        "--transitions", type=whole(64, 10**9), default=500_000, help="stored per task (default: 500,000)"
    )
    parser.add_argument("--network", default="paper", choices=("paper", "nature", "small", "tiled"))
    parser.add_argument(
        "--recorded", type=whole(64, 10**7), default=20_000, help="transitions played per game (default: 20,000)"
    )
    parser.add_argument("--minibatches", type=whole(1, 10**7), default=2_000, help="timed (default: 2,000)")
    parser.add_argument("--checkpoints", type=whole(1, 1000), default=3, help="after the first one (default: 3)")
    parser.add_argument(
        "--threads", type=argument("threads"), default=0, help="that compute (default: 0, one per core)"
    )
    parser.add_argument("--seed", type=argument("seed"), default=0)
    parser.add_argument(
        "--directory", type=Path, default=Path("runs"), help="where files go for a while (default: runs)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    return parser


if __name__ == "__main__":
    command.run(main)
