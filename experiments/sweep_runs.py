"""The runs of a sweep on Ray (https://docs.ray.io): packed by what they need, resumed wherever they are lost.

Ray schedules, notices that a worker or a node has died, and starts what was lost elsewhere. A run itself is train.py in
a process of its own, in an ordinary run directory on storage that all nodes see. It dies with its worker, its lock with
it, and the next worker resumes it from its last checkpoint. What is known about a run is in its directory alone, so
that any driver can go on where another one has died.

All nodes must have the checkout, the environment and the sweep's directory under the same paths.
"""

from __future__ import annotations

import ctypes
import json
import logging
import os
import random
import re
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from experiments.sweeps import Trial
from tracking.checkpoints import Checkpoints
from tracking.run_directory import FAILED, FINISHED, STOPPED, RunDirectory

ROOT = Path(__file__).resolve().parent.parent
_LOCK_SECONDS = 600.0  # that a process which was killed, or whose node is gone, may still hold the lock
_SAVE_SECONDS = 300.0  # that a run may take to save when it is asked to stop
_STEP_SECONDS = 1.0
_PR_SET_PDEATHSIG = 1
_DEATHS = 5  # so many starts from one checkpoint, besides the retries, are enough, whatever has ended them
_LOCKED = 76  # somebody works in the run's directory, who resumed it by hand
_GIB = 2**30
WORKER_BYTES = int(0.3 * _GIB)  # of the process that a run is a child of
_OBJECT_STORE_BYTES = 100 * 2**20  # there are hardly any objects
# Ray's watch over memory sees its workers, which the runs are children of, and would end several for one. The others
# save some of what Ray's processes compute beside the runs: nobody reads the workers' logs, asks for more nodes or for
# statistics of events.
_LOCALLY = {
    "RAY_memory_monitor_refresh_ms": "0",
    "RAY_LOG_MONITOR_MANY_FILES_THRESHOLD": "0",
    "LOG_NAME_UPDATE_INTERVAL_S": "5",
    "AUTOSCALER_UPDATE_INTERVAL_S": "60",
    "RAY_event_stats": "0",
}
_QUIET: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}


class SweepError(Exception):
    """What keeps a sweep from running, in a sentence for the user."""


@dataclass(frozen=True)
class Needs:
    """What every run takes of a node while it runs."""

    cpus: float
    gpus: float
    memory_bytes: int


@dataclass(frozen=True)
class Retry:
    """How often in a row a run that fails by itself is started again, and after how long: the second time after twice
    as long, and so on."""

    times: int
    seconds: float


@dataclass(frozen=True)
class Place:
    """Where a run of a sweep and what belongs to it lie."""

    run: RunDirectory
    log: Path
    attempts: Path

    @property
    def kept_frames(self) -> int:
        """Frames of the newest checkpoint, which a start goes on from; 0 without one."""
        return max(Checkpoints(self.run.checkpoints).available(), default=0)


def place(directory: Path, name: str) -> Place:
    """Those of the run called `name` in a sweep's directory."""
    path = directory / "runs" / name
    return Place(RunDirectory(path), path.with_name(f"{name}.log"), path.with_name(f"{name}.attempts.jsonl"))


def read_attempts(path: Path) -> list[dict[str, Any]]:
    """Every start of a run, in order: time, host, node (Ray's name of it), pid, frames of the checkpoint it went on
    from. A line that a crash has cut short is left out."""
    return [line for line in _lines(path) if "pid" in line]


def gave_up(where: Place) -> bool:
    """Whether a driver has reported the run as failed, and nobody has worked on it since."""
    last, status = (_lines(where.attempts) or [{}])[-1], where.run.read_status()
    return "gave_up" in last and (status is None or status["updated"] <= last["time"])


def _lines(path: Path) -> list[dict[str, Any]]:
    found = []
    for line in path.read_text().splitlines() if path.is_file() else []:
        with suppress(ValueError):
            found.append(json.loads(line))
    return found


# -- on a node ------------------------------------------------------------------------------------------------------


def execute(directory: str, name: str, arguments: Sequence[str], known: int = 0, retries: int = 0) -> int:
    """Run or resume one run to its end in a process that dies with this one; train.py's exit code, or `_LOCKED`.

    A run that is finished is left alone. An interruption makes the run save and stop. One that has begun at the same
    checkpoint five times and `retries` more, not counting the `known` starts before the driver's time, has failed.
    """
    where = place(Path(directory), name)
    deadline = time.monotonic() + _LOCK_SECONDS
    while where.run.busy():
        if time.monotonic() > deadline:
            return _LOCKED
        time.sleep(0.2)
    if where.run.finished:
        return FINISHED
    frames = where.kept_frames
    before = [attempt["frames"] for attempt in read_attempts(where.attempts)[known:]]
    where.log.parent.mkdir(parents=True, exist_ok=True)
    most = _DEATHS + retries
    if before[-most:] == [frames] * most:
        with open(where.log, "a") as log:
            log.write(f"given up: started {most} times at {frames:,} frames without coming to the next checkpoint\n")
        return FAILED
    begun = where.run.config.is_file()
    own = ["--resume", str(where.run.path)] if begun else ["--run_dir", str(where.run.path), *arguments]
    with open(where.log, "a") as log:
        process = subprocess.Popen(
            [sys.executable, "train.py", *own],
            cwd=ROOT,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=_dies_with(os.getpid()),
        )
    try:
        _note(where.attempts, {"pid": process.pid, "frames": frames, "node": _ray_node()})
        return _wait(process)
    except KeyboardInterrupt:  # ray.cancel
        process.terminate()
        with suppress(subprocess.TimeoutExpired):  # it is killed then, and its last checkpoint stands
            process.wait(_SAVE_SECONDS)
        return FINISHED if where.run.finished else STOPPED
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def _dies_with(parent: int) -> Callable[[], None]:
    """To be called in a new process: it is killed when its parent dies, or at once if that is dead."""
    libc = ctypes.CDLL(None)

    def promise() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(FAILED)

    return promise


def _note(attempts: Path, what: Mapping[str, Any]) -> None:
    """Write a start down, or that there will be no more; nothing fails for that."""
    line = {"time": datetime.now(UTC).isoformat(timespec="seconds"), "host": socket.gethostname(), **what}
    with suppress(OSError), open(attempts, "a") as file:
        file.write(json.dumps(line) + "\n")


def _wait(process: subprocess.Popen[bytes]) -> int:
    """Its exit code; waits in short steps, for ray.cancel interrupts no system call, only what Python does between.
    (`Popen.wait` with a timeout would wake up twenty times a second, on a core that a run computes on.)"""
    ended = os.pidfd_open(process.pid)  # readable then
    try:
        while (code := process.poll()) is None:
            select.select([ended], [], [], _STEP_SECONDS)
        return code
    finally:
        os.close(ended)


def _ray_node() -> str:
    import ray

    return str(ray.get_runtime_context().get_node_id())


# -- the driver -----------------------------------------------------------------------------------------------------


def run_all(
    ray: Any,
    trials: Sequence[Trial],
    directory: Path,
    needs: Needs,
    retry: Retry,
    watch: Callable[[Mapping[str, str]], None],
) -> dict[str, int]:
    """Run all trials that are not finished; {name: train.py's last exit code}.

    `directory` is the sweep's, `needs` what every run takes. A run that fails by itself is started again as `retry`
    says, on another node if there is one; it counts anew where a newer checkpoint was left. One that something
    else has stopped or holds is asked for again, whatever the number. `watch` is called about once a second with {name:
    "waiting" or "failed"} of what is not finished, a run under way among those waiting (see
    `experiments.sweep_status.state`). Ctrl-C and SIGTERM have all runs save and stop; their code is STOPPED.
    """
    remote = ray.remote(execute)
    asked = {"num_cpus": needs.cpus, "num_gpus": needs.gpus, "memory": needs.memory_bytes, "max_retries": -1}

    def submit(trial: Trial, **more: Any) -> Any:
        options = remote.options(name=trial.name, **asked, **more)
        return options.remote(str(directory), trial.name, trial.arguments, starts[trial.name], retry.times)

    starts = {trial.name: len(read_attempts(place(directory, trial.name).attempts)) for trial in trials}
    codes = {trial.name: FINISHED for trial in trials if place(directory, trial.name).run.finished}
    under_way = {submit(trial): trial for trial in trials if trial.name not in codes}
    failures: dict[str, tuple[int, int]] = {}  # how often in a row, and from which checkpoint
    later: list[tuple[float, Trial]] = []  # failed by themselves; when to try them again
    stopping = False
    with _interrupts() as signals:
        while under_way or later:
            if signals and not stopping:
                stopping = True
                for reference in under_way:
                    ray.cancel(reference)
                codes |= {trial.name: STOPPED for _, trial in later}
                later.clear()
            for due, trial in [each for each in later if each[0] <= time.monotonic()]:
                later.remove((due, trial))
                under_way[submit(trial, **_elsewhere(ray, needs, _last_node(directory, trial)))] = trial
            ready: list[Any] = []
            if under_way:
                ready, _ = ray.wait(list(under_way), timeout=1.0)
            else:
                time.sleep(1.0)
            for reference in ready:
                trial = under_way.pop(reference)
                code = _code(ray, reference)
                if code == FINISHED and not _finished(place(directory, trial.name)):
                    code = FAILED  # somewhere else, on a node that does not see this directory
                if code in (STOPPED, _LOCKED) and not stopping:
                    under_way[submit(trial)] = trial
                    continue
                codes[trial.name] = STOPPED if code == _LOCKED else code
                if code in (STOPPED, _LOCKED, FINISHED) or stopping:
                    continue
                where = place(directory, trial.name)
                times, frames = failures.get(trial.name, (0, -1))
                now = frames
                with suppress(OSError):
                    now = where.kept_frames
                times = times + 1 if now == frames else 1
                failures[trial.name] = times, now
                if times <= retry.times:
                    del codes[trial.name]
                    later.append((time.monotonic() + times * retry.seconds, trial))
                else:
                    _note(where.attempts, {"gave_up": code})
            with suppress(OSError, ValueError):  # a file that another node is replacing; it is looked at again
                watch(_known([*under_way.values(), *(trial for _, trial in later)], codes))
    return codes


def _finished(where: Place) -> bool:
    """Whether the run has come to its end, as far as the storage answers; one asked for again is left alone if so."""
    with suppress(OSError):
        return where.run.finished
    return False


def _last_node(directory: Path, trial: Trial) -> str:
    """Where the run was last started; empty if that is not known."""
    with suppress(OSError):
        for attempt in reversed(read_attempts(place(directory, trial.name).attempts)):
            return str(attempt["node"])
    return ""


def _elsewhere(ray: Any, needs: Needs, node: str) -> dict[str, Any]:
    """Options that send a run to another node than this one, if any is large enough for it; wherever there is room,
    should that one be full or die."""
    others = []
    with suppress(ray.exceptions.RayError):
        others = [each for each in ray.nodes() if node and each["NodeID"] != node and _on_node(needs, each)]
    if not others:
        return {}
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    other = random.choice(others)["NodeID"]
    return {"scheduling_strategy": NodeAffinitySchedulingStrategy(other, soft=True, _spill_on_unavailable=True)}


def import_ray() -> Any:
    """The package; SweepError if it is not installed."""
    try:
        import ray
    except ImportError:
        raise SweepError("a sweep needs Ray, which is not installed: make sweep installs it") from None
    return ray


def start_ray(address: str | None) -> Any:
    """Ray, joined to the cluster at `address` or to a local one of this machine's resources; SweepError without it."""
    ray = import_ray()
    own: dict[str, Any] = {}
    if not address:
        for name, value in _LOCALLY.items():
            os.environ.setdefault(name, value)
        own = {"include_dashboard": False, "object_store_memory": _OBJECT_STORE_BYTES}
        if (cores := len(os.sched_getaffinity(0))) < (os.cpu_count() or 1):  # of which Ray knows nothing
            own["num_cpus"] = cores
    try:
        ray.init(address=address or "local", **own, **_QUIET)
    except Exception as error:  # a bare one where Ray's processes are not up within half a minute
        reason = (str(error).splitlines() or [repr(error)])[0]
        failure = f"no Ray cluster answers at {address}" if address else "Ray did not start on this machine"
        raise SweepError(f"{failure}: {reason}") from None
    return ray


def check_locks(ray: Any, directory: Path) -> None:
    """SweepError if a node cannot run this checkout, or does not see that the sweep's directory is locked by this
    process: two nodes could then work in one run."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    remote = ray.remote(_sees_lock)
    asked = []
    for node in ray.nodes():
        if node["Alive"]:
            here = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            there = remote.options(num_cpus=0, scheduling_strategy=here)
            asked.append((node["NodeManagerHostname"], there.remote(str(directory))))
    for host, reference in asked:
        try:
            sees = ray.get(reference)
        except ray.exceptions.RayError as error:
            reason = (str(error).splitlines() or [repr(error)])[-1]
            raise SweepError(
                f"{host} cannot run this checkout, which must lie there as it does here: {reason}"
            ) from None
        if not sees:
            raise SweepError(
                f"{host} does not see the lock in {directory}: the directory must lie on storage that all nodes share, "
                "with locks that hold between nodes"
            )


def _sees_lock(directory: str) -> bool:
    with suppress(OSError):  # a storage without locks
        return RunDirectory(Path(directory)).busy()
    return False


def runs_at_once(needs: Needs, nodes: Sequence[Mapping[str, Any]]) -> int:
    """How many runs the living nodes have room for at a time; SweepError if not for one."""
    count = sum(_on_node(needs, node) for node in nodes)
    if not count:
        offered = "; ".join(described(node["Resources"]) for node in nodes if node["Alive"]) or "none"
        raise SweepError(f"a run needs {described(_asked(needs))}, which no node has (nodes: {offered})")
    return count


def _on_node(needs: Needs, node: Mapping[str, Any]) -> int:
    """How many runs a node has room for at a time; none on a dead one."""
    asked = [(node["Resources"].get(name, 0), amount) for name, amount in _asked(needs).items() if amount]
    return min(_room(has, amount) for has, amount in asked) if node["Alive"] else 0


def _asked(needs: Needs) -> dict[str, float]:
    """By Ray's names."""
    return {"CPU": needs.cpus, "GPU": needs.gpus, "memory": needs.memory_bytes}


def _room(has: float, amount: float) -> int:
    """How often `amount` is there; a fraction is of one unit: 8 GPUs have 24 times 0.3."""
    return int(has) * int(1 / amount + 1e-9) if amount < 1 else int(has / amount + 1e-9)


def read_nodes(text: str) -> list[dict[str, Any]]:
    """Nodes as Ray would tell of them, from text such as 8x16,1,128: so many of so many cores, GPUs and GiB."""
    found = re.fullmatch(r"(\d+)x(\d+),(\d+),(\d+(?:\.\d+)?)", text)
    if not found:
        raise SweepError(f"--nodes {text}: write NODESxCORES,GPUS,GIB, such as 8x16,1,128")
    count, cores, gpus, gib = found.groups()
    resources = {"CPU": float(cores), "GPU": float(gpus), "memory": float(gib) * _GIB}
    return [{"Alive": True, "Resources": resources}] * int(count)


def described(resources: Mapping[str, float]) -> str:
    gpus = f"{resources['GPU']:g} GPUs, " if resources.get("GPU") else ""
    return f"{resources.get('CPU', 0):g} cores, {gpus}{resources.get('memory', 0) / _GIB:.1f} GiB"


def _code(ray: Any, reference: Any) -> int:
    try:
        return int(ray.get(reference))
    except (ray.exceptions.TaskCancelledError, KeyboardInterrupt):
        return STOPPED
    except ray.exceptions.RayError as error:
        print(f"sweep.py: {(str(error).splitlines() or [repr(error)])[-1]}", file=sys.stderr)
        return FAILED


def _known(under_way: Iterable[Trial], codes: Mapping[str, int]) -> dict[str, str]:
    found = {trial.name: "waiting" for trial in under_way}
    return found | {name: "failed" for name, code in codes.items() if code not in (FINISHED, STOPPED)}


@contextmanager
def _interrupts() -> Iterator[list[int]]:
    """A list that fills with the numbers of the signals that ask to stop; the second Ctrl-C interrupts at once."""
    asked: list[int] = []

    def ask(number: int, frame: Any) -> None:
        asked.append(number)
        if asked.count(signal.SIGINT) > 1:
            raise KeyboardInterrupt

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
