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
from tracking.run_directory import BAD_INPUT, FINISHED, STOPPED, RunDirectory

ROOT = Path(__file__).resolve().parent.parent
_LOCK_SECONDS = 60.0  # that a process which is being killed may still hold the lock
_SAVE_SECONDS = 300.0  # that a run may take to save when it is asked to stop
_STEP_SECONDS = 1.0
_PR_SET_PDEATHSIG = 1
_GIB = 2**30
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
class Place:
    """Where a run of a sweep and what belongs to it lie."""

    run: RunDirectory
    log: Path
    attempts: Path


def place(directory: Path, name: str) -> Place:
    """Those of the run called `name` in a sweep's directory."""
    path = directory / "runs" / name
    return Place(RunDirectory(path), path.with_name(f"{name}.log"), path.with_name(f"{name}.attempts.jsonl"))


def read_attempts(path: Path) -> list[dict[str, Any]]:
    """Every start of a run, in order: time, host, node (Ray's name of it), pid, frames it went on from."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


# -- on a node ------------------------------------------------------------------------------------------------------


def execute(directory: str, name: str, arguments: Sequence[str], node: str = "") -> int:
    """Run or resume one run to its end in a process that dies with this one; train.py's exit code.

    A run that is finished is left alone. An interruption makes the run save and stop.
    """
    where = place(Path(directory), name)
    deadline = time.monotonic() + _LOCK_SECONDS
    while where.run.busy():
        if time.monotonic() > deadline:
            return BAD_INPUT  # somebody resumed it by hand
        time.sleep(0.2)
    if where.run.finished:
        return FINISHED
    status = where.run.read_status()
    begun = where.run.config.is_file()
    where.log.parent.mkdir(parents=True, exist_ok=True)
    own = ["--resume", str(where.run.path)] if begun else ["--run_dir", str(where.run.path), *arguments]
    libc = ctypes.CDLL(None)
    with open(where.log, "a") as log:
        process = subprocess.Popen(
            [sys.executable, "train.py", *own],
            cwd=ROOT,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=lambda: libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL),
        )
        attempt = {
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            "host": socket.gethostname(),
            "node": node or _ray_node(),
            "pid": process.pid,
            "frames": status["frames"] if status else 0,
        }
        with open(where.attempts, "a") as attempts:
            attempts.write(json.dumps(attempt) + "\n")
        try:
            return _wait(process)
        except KeyboardInterrupt:  # ray.cancel
            process.terminate()
            return process.wait(_SAVE_SECONDS)


def _wait(process: subprocess.Popen[bytes]) -> int:
    """Its exit code; waits in short steps, for ray.cancel interrupts no system call, only what Python does between."""
    while True:
        with suppress(subprocess.TimeoutExpired):
            return process.wait(_STEP_SECONDS)


def _ray_node() -> str:
    import ray

    return str(ray.get_runtime_context().get_node_id())


# -- the driver -----------------------------------------------------------------------------------------------------


def run_all(
    ray: Any,
    trials: Sequence[Trial],
    directory: Path,
    needs: Needs,
    retries: int,
    watch: Callable[[Mapping[str, str]], None],
) -> dict[str, int]:
    """Run all trials that are not finished; {name: train.py's last exit code}.

    A run that fails by itself is started again up to `retries` times. `watch` is called about once a second with
    {name: "waiting" or "failed"} of what is not finished, a run under way among those waiting (see
    `experiments.sweep_status.state`). Ctrl-C and SIGTERM have all runs save and stop;
    their code is STOPPED.
    """
    remote = ray.remote(execute)
    asked = {"num_cpus": needs.cpus, "num_gpus": needs.gpus, "memory": needs.memory_bytes, "max_retries": -1}

    def submit(trial: Trial) -> Any:
        return remote.options(name=trial.name, **asked).remote(str(directory), trial.name, trial.arguments)

    codes = {trial.name: FINISHED for trial in trials if place(directory, trial.name).run.finished}
    under_way = {submit(trial): trial for trial in trials if trial.name not in codes}
    left = {trial.name: retries for trial in trials}
    stopping = False
    with _interrupts() as signals:
        while under_way:
            if signals and not stopping:
                stopping = True
                for reference in under_way:
                    ray.cancel(reference)
            ready, _ = ray.wait(list(under_way), timeout=1.0)
            for reference in ready:
                trial = under_way.pop(reference)
                code = _code(ray, reference)
                if code not in (FINISHED, BAD_INPUT) and left[trial.name] > 0 and not stopping:
                    left[trial.name] -= 1
                    under_way[submit(trial)] = trial
                else:
                    codes[trial.name] = code
            watch(_known(under_way.values(), codes))
    return codes


def start_ray(address: str | None) -> Any:
    """Ray, joined to the cluster at `address` or to a local one of this machine's resources; SweepError without it."""
    try:
        import ray
    except ImportError:
        raise SweepError("a sweep needs Ray, which is not installed: make sweep installs it") from None
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        ray.init(address=address or "local", include_dashboard=None if address else False, **_QUIET)
    except ConnectionError as error:
        raise SweepError(f"no Ray cluster answers at {address}: {str(error).splitlines()[0]}") from None
    return ray


def places(needs: Needs, nodes: Sequence[Mapping[str, Any]]) -> int:
    """How many runs the living nodes have room for at a time; SweepError if not for one."""
    alive = [node["Resources"] for node in nodes if node["Alive"]]
    asked = {"CPU": needs.cpus, "GPU": needs.gpus, "memory": needs.memory_bytes}
    count = sum(min(int(has.get(name, 0) / amount + 1e-9) for name, amount in asked.items() if amount) for has in alive)
    if not count:
        offered = "; ".join(described(has) for has in alive) or "none"
        raise SweepError(f"a run needs {described(asked)}, which no node has (nodes: {offered})")
    return count


def described(resources: Mapping[str, float]) -> str:
    gpus = f"{resources['GPU']:g} GPUs, " if resources.get("GPU") else ""
    return f"{resources.get('CPU', 0):g} cores, {gpus}{resources.get('memory', 0) / _GIB:.1f} GiB"


def _code(ray: Any, reference: Any) -> int:
    try:
        return int(ray.get(reference))
    except (ray.exceptions.TaskCancelledError, KeyboardInterrupt):
        return STOPPED
    except ray.exceptions.RayTaskError as error:
        print(f"sweep.py: {str(error).splitlines()[-1]}", file=sys.stderr)
        return 1


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
