"""What a sweep survives and what it costs, with real games.

    python -m benchmarks.sweeps deaths   [--sweep configs/sweeps/small.yaml] [--directory runs/sweeps/deaths] [--json]
    python -m benchmarks.sweeps nodes    ...
    python -m benchmarks.sweeps overhead [--sweep configs/sweeps/overhead.yaml] ...

`deaths`: a local sweep, in which the worker of the first run is killed with SIGKILL in the middle, and after it has
gone on the driver as well; then `sweep.py --resume`. `nodes`: the sweep on two Ray nodes on this machine (`ray start`'s
processes, with half of the cores each), of which one is stopped when both have runs under way. Then all runs are made
once more by train.py, one by one, and compared by hash (`tracking.compare`).

`overhead`: an undisturbed local sweep. What it costs beside the bare runs is told in two shares of the time that the
runs' processes took: the time in which places for runs stood empty between the first start and the last end, and
the processor time of everything else of the sweep, Ray's own processes and the driver, in the same time.

The directory must not hold an earlier sweep. With --json the last line is one JSON object.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from configs.checks import ConfigError
from experiments.sweep_runs import place, read_attempts
from experiments.sweeps import Trial, read_sweep, trials
from tracking import command
from tracking.compare import run_hashes
from tracking.run_directory import BAD_INPUT, FAILED, FINISHED, RunDirectory

ROOT = Path(__file__).resolve().parent.parent
_DEFAULT = {
    "deaths": "configs/sweeps/small.yaml",
    "nodes": "configs/sweeps/small.yaml",
    "overhead": "configs/sweeps/overhead.yaml",
}
_PATIENCE = 3600.0  # seconds for anything to come about
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Sweeping:
    """A sweep in a directory, driven from here."""

    file: Path
    directory: Path

    @cached_property
    def runs(self) -> list[Trial]:
        """All of them; read and checked once, for this is asked twice a second."""
        return trials(read_sweep(self.file))

    def start(self, *more: str) -> subprocess.Popen[bytes]:
        """A driver of its own process."""
        what = ["--resume", str(self.directory)] if (self.directory / "sweep.yaml").is_file() else [str(self.file)]
        own = [] if what[0] == "--resume" else ["--dir", str(self.directory)]
        return subprocess.Popen([sys.executable, "sweep.py", *what, *own, "--unmeasured", *more], cwd=ROOT)

    def frames(self, name: str) -> int:
        """How far a run has come."""
        return place(self.directory, name).run.frames

    def attempts(self, name: str) -> list[dict[str, Any]]:
        """Its starts."""
        return read_attempts(place(self.directory, name).attempts)

    def busy(self) -> bool:
        """Whether any run has a process."""
        return any(place(self.directory, trial.name).run.busy() for trial in self.runs)


def deaths(sweep: Sweeping) -> dict[str, Any]:
    """Kill a worker, then the driver; go on and compare."""
    first = sweep.runs[0].name
    frames = sweep.runs[0].config().frames
    driver = sweep.start()
    until(lambda: sweep.frames(first) > frames / 4, driver)
    os.kill(_parent(sweep.attempts(first)[0]["pid"]), signal.SIGKILL)
    print(f"worker of {first} killed at {sweep.frames(first):,} frames", flush=True)
    until(lambda: len(sweep.attempts(first)) > 1 and sweep.frames(first) > frames / 2, driver)
    driver.kill()
    driver.wait()
    print(f"driver killed with {first} at {sweep.frames(first):,} frames", flush=True)
    until(lambda: not sweep.busy())
    code = sweep.start().wait()
    return {"code": code, **_starts(sweep), **compared(sweep)}


def nodes(sweep: Sweeping) -> dict[str, Any]:
    """Two Ray nodes, of which one is stopped; compare."""
    from ray.cluster_utils import Cluster

    cores = len(os.sched_getaffinity(0))
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    try:
        both = [cluster.add_node(num_cpus=max(1, cores // 2)) for _ in range(2)]
        driver = sweep.start("--address", cluster.address)
        begun: dict[str, str] = {}

        def spread() -> bool:
            begun.update({t.name: sweep.attempts(t.name)[0]["node"] for t in sweep.runs if sweep.frames(t.name)})
            return len(set(begun.values())) == len(both)

        until(spread, driver)
        moved = next(iter(begun))
        cluster.remove_node(next(node for node in both if node.node_id == begun[moved]), allow_graceful=False)
        print(f"node of {moved} stopped at {sweep.frames(moved):,} frames", flush=True)
        code = driver.wait()
    finally:
        cluster.shutdown()
    used = {node for trial in sweep.runs for node in (each["node"] for each in sweep.attempts(trial.name))}
    return {"code": code, "nodes_used": len(used), **_starts(sweep), **compared(sweep)}


def overhead(sweep: Sweeping) -> dict[str, Any]:
    """An undisturbed sweep: idle places and other processes' time as shares of the runs' time."""
    places = len(os.sched_getaffinity(0)) // read_sweep(sweep.file).cpus
    spans: dict[int, list[float]] = {}  # of a run's process: the first and the last moment it was seen
    others: dict[int, float] = {}  # processor seconds of everything else below the driver
    driver = sweep.start()
    start: dict[int, float] = {}
    while driver.poll() is None:
        now = time.monotonic()
        pids = {attempt["pid"] for trial in sweep.runs for attempt in sweep.attempts(trial.name)}
        for pid, seconds in _processes_below(driver.pid):
            if pid in pids:
                spans.setdefault(pid, [now, now])[1] = now
            elif spans:
                start.setdefault(pid, seconds)
                others[pid] = seconds - start[pid]
        time.sleep(0.5)
    busy = sum(last - first for first, last in spans.values())
    makespan = max(last for _, last in spans.values()) - min(first for first, _ in spans.values())
    return {
        "code": driver.returncode,
        "runs": len(spans),
        "seconds_per_run": busy / len(spans),
        "idle_share": (places * makespan - busy) / busy,
        "other_processes_share": sum(others.values()) / busy,
    }


def compared(sweep: Sweeping) -> dict[str, Any]:
    """The runs once more, one by one, and how many of them are equal by hash."""
    equal = []
    for trial in sweep.runs:
        bare = sweep.directory / "bare" / trial.name
        if not RunDirectory(bare).finished:
            command = [sys.executable, "train.py", *trial.arguments, "--run_dir", str(bare)]
            print(shlex.join(command[1:]), flush=True)
            bare.parent.mkdir(parents=True, exist_ok=True)
            with open(bare.with_name(f"{trial.name}.log"), "w") as log:
                subprocess.run(command, cwd=ROOT, stdout=log, stderr=log, check=True)
        one, other = run_hashes(place(sweep.directory, trial.name).run), run_hashes(RunDirectory(bare))
        equal.append(one == other)
    return {"runs": len(equal), "equal_to_bare_runs": sum(equal)}


def until(condition: Callable[[], object], driver: subprocess.Popen[bytes] | None = None) -> None:
    """Wait for it; RuntimeError if the driver ends before or it does not come about."""
    deadline = time.monotonic() + _PATIENCE
    while not condition():
        if (driver is not None and driver.poll() is not None) or time.monotonic() > deadline:
            raise RuntimeError("the sweep ended before it could be disturbed; take longer runs")
        time.sleep(0.2)


def _starts(sweep: Sweeping) -> dict[str, Any]:
    found = {trial.name: [attempt["frames"] for attempt in sweep.attempts(trial.name)] for trial in sweep.runs}
    return {"started_at_frames": found}


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])


def _processes_below(root: int) -> Iterator[tuple[int, float]]:
    """(pid, processor seconds) of a process and all that descend from it, as far as they live."""
    parents, seconds = {}, {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            parents[int(entry.name)] = int(fields[1])
            seconds[int(entry.name)] = (int(fields[11]) + int(fields[12])) / _TICKS
    for pid in parents:
        above = pid
        while above in parents and above != root:
            above = parents[above]
        if above == root:
            yield pid, seconds[pid]


MEASURES: dict[str, Callable[[Sweeping], dict[str, Any]]] = {"deaths": deaths, "nodes": nodes, "overhead": overhead}


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = command.Parser(prog="python -m benchmarks.sweeps", description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=MEASURES)
    parser.add_argument("--sweep", type=Path, help="its file (default: configs/sweeps/small.yaml or overhead.yaml)")
    parser.add_argument("--directory", type=Path, help="of the sweep (default: runs/sweeps/WHAT)")
    parser.add_argument("--json", action="store_true", help="print the result as JSON, on the last line")
    options = parser.parse_args(arguments)
    directory = (options.directory or Path("runs/sweeps") / options.what).absolute()
    if directory.exists():
        parser.error(f"{directory} is there already: choose another --directory")
    sweep = Sweeping(options.sweep or Path(_DEFAULT[options.what]), directory)
    try:
        found = MEASURES[options.what](sweep)
    except (ConfigError, RuntimeError) as error:
        print(f"benchmarks.sweeps: {error}", file=sys.stderr)
        return BAD_INPUT
    for name, value in found.items():
        print(f"{name}: {value}")
    if options.json:
        print(json.dumps(found))
    good = found["code"] == FINISHED and found.get("equal_to_bare_runs", found["runs"]) == found["runs"]
    return FINISHED if good else FAILED


if __name__ == "__main__":
    command.run(main)
