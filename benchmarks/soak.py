"""A stream of 57 games for hours, stopped and resumed in between: what grows, and is it what must?

    python -m benchmarks.soak --hours 6 --run_dir runs/soak --results runs/soak_results [--restarts 17]

A real run of train.py, as fast as it goes: a small network, inferred tasks, EWC with anchors from the first visits on,
short visits, little replay, rare evaluations, and the usual logs, snapshots and checkpoints. A process of its own, this
one, looks at it from outside every minute: frames, speed, resident memory and open files of the process and its
children, and sizes in the run directory (a file with several links counts once). --restarts times, at equal intervals
(by default every 20 minutes), the run gets SIGTERM and is resumed.

Every sample is appended to samples.csv in --results at once, and every stop to stops.csv. The same command goes on
where an interrupted soak ended; the hours are those that were watched. When all are over, a table has a row per half
hour and the slope of each quantity over the second half; table.md holds it. train.log is what the run printed.
"""

from __future__ import annotations

import csv
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from benchmarks.soak_table import table
from configs.checks import ConfigError, check
from configs.parse import dump
from configs.schema import (
    Config,
    ConsolidationConfig,
    EmulatorConfig,
    EvaluationConfig,
    ExplorationConfig,
    LearnerConfig,
    LogConfig,
    ReplayConfig,
    StreamConfig,
)
from envs.games import all_games
from tracking import command
from tracking.files import write_text
from tracking.manifest import available
from tracking.run_directory import BAD_INPUT, FAILED, STOPPED, RunDirectory
from tracking.tensorboard import event_files

ROOT = Path(__file__).resolve().parent.parent
MIB = 2**20
_LEAST_FREE_MIB = 4096  # below which the soak ends: it must not fill a disk that others use
_PATIENCE = 600.0  # seconds for a stop
_MORE_FRAMES = 20_000_000  # that a launch is given: more than it can play before the next stop

CONFIG = Config(
    seed=1,
    frames=_MORE_FRAMES,
    threads=1,
    task_source="inferred",
    stream=StreamConfig(
        games=[name for name, game in all_games().items() if not game.is_toy], visit_frames=10_000, reseed_frames=5_000
    ),
    emulators=EmulatorConfig(num_envs=4),
    learner=LearnerConfig(network="small", optimizer="adam", samples_per_step=1.0),
    consolidation=ConsolidationConfig(
        ewc_lambda=1e5,
        fisher_damping=0.3,
        prune_inactive=True,
        fisher_batches=10,
        start_frames=3_000,
        min_visit_frames=1_000,
    ),
    exploration=ExplorationConfig(hold_frames=2_000, decay_frames=20_000),
    replay=ReplayConfig(capacity=2_000, min_history=200, budget_gib=0.25),
    evaluation=EvaluationConfig(period=2_000_000, episodes=1, final_episodes=1, max_episode_frames=2_000),
    log=LogConfig(period=5_000, image_period=500_000, checkpoint_period=250_000),
)


@dataclass(frozen=True)
class Sample:
    """What was seen at one moment; sizes in MiB. `launch` counts starts of train.py from 1."""

    minutes: float
    launch: int
    frames: int
    frames_per_s: float
    resident_mib: float
    open_files: int
    processes: int
    run_mib: float
    event_mib: float
    metrics_mib: float
    checkpoint_mib: float
    snapshots: int
    snapshots_mib: float
    newest_snapshot_mib: float
    files: int


def process_tree(pid: int) -> list[int]:
    """The process and all its descendants that are there."""
    found = [pid]
    for each in found:
        with suppress(OSError):
            for children in Path(f"/proc/{each}/task").glob("*/children"):
                with suppress(OSError):
                    found += [int(child) for child in children.read_text().split()]
    return found


def held(pid: int) -> dict[str, Any]:
    """Resident memory and open files of a process and its descendants."""
    resident, opened, processes = 0, 0, process_tree(pid)
    for each in processes:
        with suppress(OSError, StopIteration):
            lines = Path(f"/proc/{each}/status").read_text().splitlines()
            resident += next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:"))
            opened += len(os.listdir(f"/proc/{each}/fd"))
    return {"resident_mib": resident / MIB, "open_files": opened, "processes": len(processes)}


def sizes(run: RunDirectory) -> dict[str, Any]:
    """Of the run directory and its parts, files that vanish meanwhile left out."""
    found: dict[Path, os.stat_result] = {}
    for folder, _, names in os.walk(run.path):
        for name in names:
            with suppress(OSError):
                found[Path(folder, name)] = os.stat(Path(folder, name))
    once = {(each.st_dev, each.st_ino): each.st_size for each in found.values()}

    def under(folder: Path) -> float:
        return sum(each.st_size for path, each in found.items() if path.is_relative_to(folder)) / MIB

    kept = available(run.checkpoints)
    snapshots = sorted(path for path in found if path.parent == run.snapshots)
    return {
        "run_mib": sum(once.values()) / MIB,
        "event_mib": sum(map(under, event_files(run.tensorboard))),
        "metrics_mib": under(run.metrics),
        "checkpoint_mib": under(run.checkpoints / f"{kept[-1]:012d}") if kept else 0.0,
        "snapshots": len(snapshots),
        "snapshots_mib": under(run.snapshots),
        "newest_snapshot_mib": found[snapshots[-1]].st_size / MIB if snapshots else 0.0,
        "files": len(once),
    }


def read_samples(path: Path) -> list[Sample]:
    """All samples that were written whole."""
    if not path.is_file():
        return []
    found = []
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            with suppress(TypeError, ValueError, KeyError):
                found.append(Sample(**{field.name: _number(field.type, row[field.name]) for field in fields(Sample)}))
    return found


def _number(kind: object, text: str) -> Any:
    return int(text) if kind == "int" else float(text)


def append(path: Path, row: Mapping[str, object]) -> None:
    """One more line of a CSV, on the disk at once; after a line that was cut short, on a line of its own."""
    begun = path.is_file() and path.stat().st_size > 0
    whole = not begun or path.read_bytes().endswith(b"\n")
    with path.open("a", newline="") as file:
        if not whole:
            file.write("\n")
        writer = csv.DictWriter(file, list(row))
        if not begun:
            writer.writeheader()
        writer.writerow(row)
        file.flush()
        os.fsync(file.fileno())


class Soak:
    """The run, its launches so far, and how long it has been watched."""

    def __init__(self, run: RunDirectory, results: Path) -> None:
        self.run, self.results = run, results.absolute()
        samples = read_samples(results / "samples.csv")
        self.minutes = samples[-1].minutes if samples else 0.0
        self.launch = samples[-1].launch if samples else 0

    def part(self, until: float, every: float) -> bool:
        """Launch or resume the run, watch it until `until` [minutes], and stop it; False if it ended otherwise."""
        self.launch += 1
        began = time.monotonic()
        with (self.results / "train.log").open("a") as log:
            process = subprocess.Popen(self._command(), cwd=ROOT, stdout=log, stderr=log)
            try:
                ready = self._wait_until_running(process, began)
                self._watch(process, until, every)
            finally:
                begun = time.monotonic()
                code = _stop(process)
        stop = {
            "minutes": round(self.minutes, 2),
            "launch": self.launch,
            "frames": self.run.frames,
            "exit_code": code,
            "started_s": round(ready, 1),
            "stopped_s": round(time.monotonic() - begun, 1),
        }
        append(self.results / "stops.csv", stop)
        print(", ".join(f"{name} {value}" for name, value in stop.items()), flush=True)
        return code == STOPPED

    def _command(self) -> list[str]:
        frames = ["--frames", str(self.run.frames + _MORE_FRAMES)]
        if self.run.config.is_file():
            return [sys.executable, "train.py", "--resume", str(self.run.path), *frames]
        config = self.results / "soak.yaml"
        write_text(config, dump(CONFIG))
        return [sys.executable, "train.py", "--config", str(config), "--run_dir", str(self.run.path)]

    def _wait_until_running(self, process: subprocess.Popen[bytes], began: float) -> float:
        """Seconds until the run itself said so."""
        while process.poll() is None:
            status = self.run.read_status() or {}
            if status.get("state") == "running" and status.get("pid") == process.pid:
                break
            time.sleep(0.1)
        return time.monotonic() - began

    def _watch(self, process: subprocess.Popen[bytes], until: float, every: float) -> None:
        moment, frames = time.monotonic(), self.run.frames
        while process.poll() is None and self.minutes < until:
            with suppress(subprocess.TimeoutExpired):
                process.wait(min(every, 60.0 * (until - self.minutes)))
            if process.poll() is not None:
                return
            before, moment = moment, time.monotonic()
            frames_before, frames = frames, self.run.frames
            self.minutes += (moment - before) / 60.0
            found = {**held(process.pid), **sizes(self.run)}
            sample = Sample(
                minutes=self.minutes,
                launch=self.launch,
                frames=frames,
                frames_per_s=(frames - frames_before) / (moment - before),
                **found,
            )
            row = {name: round(value, 3) for name, value in asdict(sample).items()}
            append(self.results / "samples.csv", row)
            if shutil.disk_usage(self.run.path).free < _LEAST_FREE_MIB * MIB:
                raise command.UserError(f"the disk of {self.run.path} is nearly full; free some space and go on")


def _stop(process: subprocess.Popen[bytes]) -> int:
    """SIGTERM, and the exit code; killed if it does not heed."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        return process.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    options = _parser().parse_args(arguments)
    run = RunDirectory(options.run_dir)
    try:
        positive = (options.hours, options.every)
        if not all(0 < each < 10_000 for each in positive) or not 0 <= (options.restarts or 0) < 10_000:
            raise ConfigError("--hours and --every must be above 0, --restarts at least 0, all of them below 10,000")
        check(CONFIG)
        if run.busy():
            raise ConfigError(f"a process works in {run.path}: stop it, or choose another --run_dir")
    except ConfigError as error:
        print(f"soak: {error}", file=sys.stderr)
        return BAD_INPUT
    options.results.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGINT))  # either stops the run and keeps what there is
    soak = Soak(run, options.results)
    minutes = 60.0 * options.hours
    restarts = max(0, round(minutes / 20) - 1) if options.restarts is None else options.restarts
    ends = [minutes * (part + 1) / (restarts + 1) for part in range(restarts + 1)]
    good = all(soak.part(end, options.every) for end in ends if end > soak.minutes + 0.01)
    if not good:
        print(f"soak: the run did not go on; {options.results / 'train.log'} says why", file=sys.stderr)
    lines = table([asdict(sample) for sample in read_samples(options.results / "samples.csv")])
    write_text(options.results / "table.md", "\n".join(lines) + "\n")
    print(*lines, sep="\n")
    return 0 if good else FAILED


def _parser() -> command.Parser:
    parser = command.Parser(prog="soak", description=__doc__.split("\n")[0])
    parser.add_argument("--hours", type=float, default=6.0, help="watched in all (default: 6)")
    parser.add_argument("--run_dir", type=Path, default=Path("runs/soak"), help="of the run (default: runs/soak)")
    parser.add_argument("--results", type=Path, default=Path("runs/soak_results"), help="where the samples go")
    parser.add_argument("--restarts", type=int, default=None, help="in between (default: one every 20 minutes)")
    parser.add_argument("--every", type=float, default=60.0, help="seconds between samples (default: 60)")
    return parser


if __name__ == "__main__":
    command.run(main)
