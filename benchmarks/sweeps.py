"""What a sweep survives and what it costs, with real games.

    python -m benchmarks.sweeps deaths   [--sweep configs/sweeps/small.yaml] [--directory runs/sweeps/deaths] [--json]
    python -m benchmarks.sweeps nodes    ...
    python -m benchmarks.sweeps overhead [--sweep configs/sweeps/overhead.yaml] ...
    python -m benchmarks.sweeps packed   [--sweep configs/sweeps/packed.yaml] ...

`deaths`: a local sweep, in which the worker of the first run is killed with SIGKILL in the middle, and after it has
gone on the driver as well; then `sweep.py --resume`. `nodes`: the sweep on two Ray nodes on this machine (`ray start`'s
processes, with half of the cores each), of which one is stopped when both have runs in the middle. Then all runs are
made once more by train.py, one by one, and compared by hash (`tracking.compare`).

`overhead`: two cores, on one of them a local sweep of runs one after the other with all that belongs to it, Ray's
processes and the driver, and at the same time on the other core the same runs, started one after the other by hand;
then the cores change sides. `packed`: the sweep as it is by default, as many runs at a time as there are cores, then
the same runs by hand, twice, and the sweep once more. Both tell how much longer the sweeps took, from the start of the
first run to the end of the last; since cores are not equally fast, what share of its core each run had, its start
apart; and what the sweep's other processes computed meanwhile, in cores: 0.03 are 3 % of one.

The directory must not hold an earlier sweep. With --json the last line is one JSON object.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence, Set
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from configs.checks import ConfigError
from sweeps.node import place, read_attempts
from sweeps.plan import Trial, read_sweep, trials
from sweeps.runs import SweepError, import_ray
from tracking import command
from tracking.compare import run_hashes
from tracking.console import print_json
from tracking.run_directory import BAD_INPUT, FAILED, FINISHED, RunDirectory

ROOT = Path(__file__).resolve().parent.parent
_DEFAULT = {
    "deaths": "configs/sweeps/small.yaml",
    "nodes": "configs/sweeps/small.yaml",
    "overhead": "configs/sweeps/overhead.yaml",
    "packed": "configs/sweeps/packed.yaml",
}
_PATIENCE = 3600.0  # seconds for anything to come about
_LOOK_SECONDS = 0.5
_START_SECONDS = 30.0  # of a run, which are left out of its share of a core; also between looks at other processes


@dataclass(frozen=True)
class Sweeping:
    """A sweep in a directory, driven from here."""

    file: Path
    directory: Path

    @cached_property
    def runs(self) -> list[Trial]:
        """All of them; read and checked once, for this is asked twice a second."""
        return trials(read_sweep(self.file))

    def start(self, *more: str, core: int | None = None) -> subprocess.Popen[bytes]:
        """A driver of its own process, on one core if that is given."""
        what = ["--resume", str(self.directory)] if (self.directory / "sweep.yaml").is_file() else [str(self.file)]
        own = [] if what[0] == "--resume" else ["--dir", str(self.directory)]
        call = [sys.executable, "sweep.py", *what, *own, "--unmeasured", *more]
        return subprocess.Popen(call, cwd=ROOT, preexec_fn=_on(core))

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
        under_way: dict[str, str] = {}  # {run: node} of those that have a checkpoint to go on from

        def spread() -> bool:
            under_way.clear()
            for trial in sweep.runs:
                where = place(sweep.directory, trial.name)
                if where.run.busy() and where.run.frames > where.kept_frames > 0:
                    under_way[trial.name] = read_attempts(where.attempts)[0]["node"]
            return len(set(under_way.values())) == len(both)

        until(spread, driver)
        lost, stopped = next(iter(under_way.items()))
        on_it = sorted(name for name, node in under_way.items() if node == stopped)
        cluster.remove_node(next(node for node in both if node.node_id == stopped), allow_graceful=False)
        print(f"node of {lost} stopped at {sweep.frames(lost):,} frames", flush=True)
        code = driver.wait()
    finally:
        cluster.shutdown()
    moved = [
        name
        for name in on_it
        if any(each["frames"] > 0 and each["node"] != stopped for each in sweep.attempts(name)[1:])
    ]
    if moved != on_it:
        raise RuntimeError(f"{', '.join(set(on_it) - set(moved))} did not go on from a checkpoint on the other node")
    return {"code": code, "moved": moved, **_starts(sweep), **compared(sweep)}


def overhead(sweep: Sweeping) -> dict[str, Any]:
    """The same runs in a sweep and by hand, at the same time on a core each, and then the other way round."""
    cores = sorted(os.sched_getaffinity(0))[:2]
    if len(cores) < 2:
        raise RuntimeError("two cores are needed")
    swept, bare = [], []
    for turn, (its, other) in enumerate((cores, cores[::-1])):
        mine = Sweeping(sweep.file, sweep.directory / f"turn{turn}")
        driver = mine.start(core=its)
        until(partial(mine.attempts, mine.runs[0].name), driver)
        with ThreadPoolExecutor(1) as pool:
            by_hand = [pool.submit(_by_hand, mine, trial, other) for trial in mine.runs]
            here, there = Turn.swept(mine, driver), Turn.by_hand(mine)
            _look([here, there], by_hand, driver)
        _check(driver, mine)
        swept.append(here)
        bare.append(there)
    return {"code": FINISHED, "runs": len(sweep.runs), **_costs(swept, bare)}


def packed(sweep: Sweeping) -> dict[str, Any]:
    """The same runs in a sweep and by hand, as many at a time as there are cores, in turns."""
    swept, bare = [], []
    for number, in_sweep in enumerate((True, False, False, True)):
        mine = Sweeping(sweep.file, sweep.directory / f"turn{number}")
        if in_sweep:
            driver = mine.start()
            turn = Turn.swept(mine, driver)
            _look([turn], [], driver)
            _check(driver, mine)
            swept.append(turn)
        else:
            turn = Turn.by_hand(mine)
            with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
                runs = [pool.submit(_by_hand, mine, trial) for trial in mine.runs]
                _look([turn], runs)
            bare.append(turn)
    return {"code": FINISHED, "runs": len(sweep.runs), **_costs(swept, bare)}


def _look(
    turns: Sequence[Turn], by_hand: Sequence[Future[RunDirectory]], driver: subprocess.Popen[bytes] | None = None
) -> None:
    """Look at the turns until the driver and the runs by hand are over; RuntimeError if one of these failed."""
    while (driver is not None and driver.poll() is None) or not all(run.done() for run in by_hand):
        for turn in turns:
            turn.look()
        time.sleep(_LOOK_SECONDS)
    for run in by_hand:
        run.result()


def _check(driver: subprocess.Popen[bytes], sweep: Sweeping) -> None:
    if driver.returncode != FINISHED:
        raise RuntimeError(f"the sweep in {sweep.directory} ended with {driver.returncode}")


def _costs(swept: Sequence[Turn], bare: Sequence[Turn]) -> dict[str, Any]:
    seconds_swept, seconds_bare = ([turn.seconds for turn in turns] for turns in (swept, bare))
    share_swept, share_bare = ([run.share for turn in turns for run in turn.runs] for turns in (swept, bare))
    return {
        "seconds_swept": seconds_swept,
        "seconds_bare": seconds_bare,
        "overhead": sum(seconds_swept) / sum(seconds_bare) - 1,
        "core_share_swept": share_swept,
        "core_share_bare": share_bare,
        "overhead_by_share": sum(share_bare) / sum(share_swept) - 1,
        "cores_beside_runs": [turn.cores_beside for turn in swept],
    }


class Turn:
    """All runs of a sweep, or the same by hand, while they are looked at."""

    def __init__(self, runs: Sequence[RunDirectory], driver: int = 0) -> None:
        self.runs = [CoreShare(run) for run in runs]
        self._driver = driver
        self._span = 0.0, 0.0  # the first and the last moment of a run
        self._beside: list[tuple[float, dict[int, float]]] = []  # moment, {pid: seconds}: the first and the last

    @classmethod
    def swept(cls, sweep: Sweeping, driver: subprocess.Popen[bytes]) -> Turn:
        """By a driver."""
        return cls([place(sweep.directory, trial.name).run for trial in sweep.runs], driver.pid)

    @classmethod
    def by_hand(cls, sweep: Sweeping) -> Turn:
        """The bare runs."""
        return cls([_bare(sweep, trial) for trial in sweep.runs])

    def look(self) -> None:
        """Look at every run and, seldom, for that takes time, at the sweep's other processes while any is under way."""
        alive = [run.look() for run in self.runs]
        if not any(alive):
            return
        now = time.monotonic()
        began = self._span[0] or now
        self._span = began, now
        last = self._beside[-1][0] if self._beside else began
        if self._driver and now - last > _START_SECONDS:
            others = _family(self._driver, {run.pid for run in self.runs})
            self._beside = [*self._beside[:1], (now, others)]

    @property
    def seconds(self) -> float:
        """From the first moment of a run to the last one's end."""
        return self._span[1] - self._span[0]

    @property
    def cores_beside(self) -> float:
        """What the sweep's processes other than its runs computed; RuntimeError if not seen for long enough."""
        if len(self._beside) < 2:
            raise RuntimeError("the runs were over too soon; take longer ones")
        (began, before), (ended, after) = self._beside
        return sum(after[pid] - before[pid] for pid in before.keys() & after) / (ended - began)


def _all_processes() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _family(pid: int, apart: Set[int]) -> dict[int, float]:
    """{pid: processor seconds so far} of a process and its descendants, without those in `apart` and theirs."""
    children: dict[int, list[int]] = {}
    for each in _all_processes():
        with suppress(OSError):
            children.setdefault(_parent(each), []).append(each)
    found, left = {}, [pid]
    while left:
        each = left.pop()
        with suppress(OSError):
            found[each] = _processor_seconds(each)
        left += [child for child in children.get(each, []) if child not in apart]
    return found


class CoreShare:
    """What share of one core a run's process had while it was looked at, its start apart."""

    def __init__(self, run: RunDirectory) -> None:
        self.run, self.pid, self.begin = run, 0, 0.0
        self.seen: list[tuple[float, float]] = []  # moment, processor seconds until then: the first and the last

    def look(self) -> bool:
        """Look at the process; whether there is one."""
        if not self.pid:
            self.pid = (self.run.read_status() or {}).get("pid", 0)
            self.begin = time.monotonic()
        try:
            used = _processor_seconds(self.pid)
        except OSError:
            return False
        if time.monotonic() - self.begin > _START_SECONDS:
            self.seen = [*self.seen[:1], (time.monotonic(), used)]
        return True

    @property
    def share(self) -> float:
        """RuntimeError if it was not seen for long enough."""
        if len(self.seen) < 2:
            raise RuntimeError(f"{self.run.path} was over too soon; take longer runs")
        (began, before), (ended, after) = self.seen
        return (after - before) / (ended - began)


def _processor_seconds(pid: int) -> float:
    """Of a process and all its threads; OSError if there is none."""
    user, system = _stat(pid)[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def _by_hand(sweep: Sweeping, trial: Trial, core: int | None = None) -> RunDirectory:
    """The finished run of a trial that train.py has made, on one core if that is given."""
    bare = _bare(sweep, trial)
    if not bare.finished:
        arguments = [sys.executable, "train.py", *trial.arguments, "--run_dir", str(bare.path)]
        print(f"{shlex.join(arguments[1:])}\n", end="", flush=True)  # in one piece: others print at the same time
        bare.path.parent.mkdir(parents=True, exist_ok=True)
        with open(bare.path.with_name(f"{trial.name}.log"), "w") as log:
            code = subprocess.run(arguments, cwd=ROOT, stdout=log, stderr=log, preexec_fn=_on(core)).returncode
        if code != FINISHED:
            raise RuntimeError(f"the bare run ended with {code}, see {log.name}")
    return bare


def _bare(sweep: Sweeping, trial: Trial) -> RunDirectory:
    return RunDirectory(sweep.directory / "bare" / trial.name)


def _on(core: int | None) -> Callable[[], None]:
    return lambda: None if core is None else os.sched_setaffinity(0, {core})


def compared(sweep: Sweeping) -> dict[str, Any]:
    """The runs once more, one by one, and how many of them are equal by hash."""
    equal = [
        run_hashes(place(sweep.directory, trial.name).run) == run_hashes(_by_hand(sweep, trial)) for trial in sweep.runs
    ]
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
    return int(_stat(pid)[1])


def _stat(pid: int) -> list[str]:
    """What the kernel tells of a process, from its state on (proc(5)); OSError if there is none."""
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()


MEASURES: dict[str, Callable[[Sweeping], dict[str, Any]]] = {
    "deaths": deaths,
    "nodes": nodes,
    "overhead": overhead,
    "packed": packed,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = command.Parser(prog="python -m benchmarks.sweeps", description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=MEASURES)
    parser.add_argument("--sweep", type=Path, help="its file (default: one in configs/sweeps)")
    parser.add_argument("--directory", type=Path, help="of the sweep (default: runs/sweeps/WHAT)")
    parser.add_argument("--json", action="store_true", help="print the result as JSON, on the last line")
    options = parser.parse_args(arguments)
    directory = (options.directory or Path("runs/sweeps") / options.what).absolute()
    if directory.exists():
        parser.error(f"{directory} is there already: choose another --directory")
    command.check_writable(directory)
    sweep = Sweeping(options.sweep or Path(_DEFAULT[options.what]), directory)
    try:
        import_ray()
        found = MEASURES[options.what](sweep)
    except (ConfigError, RuntimeError, SweepError) as error:
        print(f"benchmarks.sweeps: {error}", file=sys.stderr)
        return BAD_INPUT
    for name, value in found.items():
        print(f"{name}: {value}")
    if options.json:
        print_json(found)
    good = found["code"] == FINISHED and found.get("equal_to_bare_runs", found["runs"]) == found["runs"]
    return FINISHED if good else FAILED


if __name__ == "__main__":
    command.run(main)
