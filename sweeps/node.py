"""What a node does for a sweep: one run in a process of its own, and what is written down beside it.

Ray's workers import this module only, so it imports neither torch nor what does: a worker stands beside every run.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tracking.manifest import available
from tracking.run_directory import FAILED, FINISHED, STOPPED, RunDirectory

ROOT = Path(__file__).resolve().parent.parent
LOCKED = 76  # somebody works in the run's directory, who resumed it by hand
_LOCK_SECONDS = 600.0  # that a process which was killed, or whose node is gone, may still hold the lock
SAVE_SECONDS = 300.0  # that a run may take to save when it is asked to stop
_STEP_SECONDS = 1.0
_PR_SET_PDEATHSIG = 1
_DEATHS = 5  # so many starts from one checkpoint, besides the retries, are enough, whatever has ended them


@dataclass(frozen=True)
class Place:
    """Where a run of a sweep and what belongs to it lie."""

    run: RunDirectory
    log: Path
    attempts: Path

    @property
    def kept_frames(self) -> int:
        """Frames of the newest checkpoint, which a start goes on from; 0 without one."""
        return max(available(self.run.checkpoints), default=0)


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


def execute(directory: str, name: str, arguments: Sequence[str], known: int = 0, retries: int = 0) -> int:
    """Run or resume one run to its end in a process that dies with this one; train.py's exit code, or `LOCKED`.

    A run that is finished is left alone. An interruption makes the run save and stop. One that has begun at the same
    checkpoint five times and `retries` more, not counting the `known` starts before the driver's time, has failed.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in a shell's background job; ray.cancel would do nothing
        signal.signal(signal.SIGINT, signal.default_int_handler)
    where = place(Path(directory), name)
    deadline = time.monotonic() + _LOCK_SECONDS
    while where.run.busy():
        if time.monotonic() > deadline:
            return LOCKED
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
    process = launch(where, arguments)
    try:
        note(where.attempts, {"pid": process.pid, "frames": frames, "node": _ray_node()})
        return _wait(process)
    except KeyboardInterrupt:  # ray.cancel
        process.terminate()
        with suppress(subprocess.TimeoutExpired):  # it is killed then, and its last checkpoint stands
            process.wait(SAVE_SECONDS)
        return FINISHED if where.run.finished else STOPPED
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def launch(where: Place, arguments: Sequence[str]) -> subprocess.Popen[bytes]:
    """Begin a run with these arguments, or resume it if it has begun, in a process that dies with this one."""
    begun = where.run.config.is_file()
    own = ["--resume", str(where.run.path)] if begun else ["--run_dir", str(where.run.path), *arguments]
    with open(where.log, "a") as log:
        return subprocess.Popen(
            [sys.executable, "train.py", *own],
            cwd=ROOT,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=_dies_with(os.getpid()),
        )


def _dies_with(parent: int) -> Callable[[], None]:
    """To be called in a new process: it is killed when its parent dies, or at once if that is dead."""
    libc = ctypes.CDLL(None)

    def promise() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(FAILED)

    return promise


def note(attempts: Path, what: Mapping[str, Any]) -> None:
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


def sees_lock(directory: str) -> bool:
    """Whether the driver's lock on the sweep's directory is seen from here."""
    with suppress(OSError):  # a storage without locks
        return RunDirectory(Path(directory)).busy()
    return False
