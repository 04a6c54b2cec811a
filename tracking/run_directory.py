"""The directory of a run: one process at a time, and anyone can read how it stands."""

import fcntl
import hashlib
import json
import os
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any

from tracking.files import quoted, set_aside, write_text
from tracking.versions import versions

FINISHED, FAILED, BAD_INPUT, STOPPED = 0, 1, 2, 75  # exit codes; 75 (EX_TEMPFAIL): stopped, --resume goes on
STATES = ("running", "stopped", "finished", "failed")

# What a status holds.
_STATUS: dict[str, type] = {
    "state": str,
    "frames": int,
    "total_frames": int,
    "message": str,
    "pid": int,
    "updated": str,
}


class RunDirectoryError(Exception):
    """What is wrong, in a sentence for the user."""


def run_of(kept: Path) -> Path:
    """The directory of the run in whose folder of checkpoints or snapshots `kept` lies."""
    return kept.absolute().parent.parent


class RunDirectory:
    """Names of everything in a run directory; `create` or `resume` also takes its lock, until `close` or
    death.

    Reading the names and the status needs no lock. A child that is forked without exec shares the lock.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path).absolute()
        self.config = self.path / "config.yaml"
        self.status = self.path / "status.json"
        self.versions = self.path / "versions.json"
        self.origin = self.path / "origin.json"  # what the run began with; written before all others
        self.checkpoints = self.path / "checkpoints"
        self.snapshots = self.path / "snapshots"
        self.tensorboard = _events(self.path)
        self.metrics = self.path / "metrics.jsonl"
        self.evaluations = self.path / "evaluations.csv"
        self.task_changes = self.path / "task_changes.csv"
        self.tasks_before = self.path / "tasks_before.json"  # of a run that began with a snapshot of another
        self.confusion = self.path / "confusion.csv"
        self.report = self.path / "report"
        self.worker_log = self.path / "worker.log"
        self._lock: int | None = None

    def create(self) -> None:
        """Make a new run's directory and lock it; RunDirectoryError if there is something in it already."""
        if self.path.exists() and not self.path.is_dir():
            raise RunDirectoryError(f"{self.path} is a file, not a directory for a run")
        self._refuse_contents()
        self.path.mkdir(parents=True, exist_ok=True)
        self._acquire()
        try:
            self._refuse_contents()  # another process may have been faster
        except RunDirectoryError:
            self.close()
            raise

    def resume(self) -> None:
        """Lock an existing run; RunDirectoryError if there is none or another process works in it."""
        if not self.config.is_file():
            raise RunDirectoryError(f"there is no run to resume in {self.path}: it has no {self.config.name}")
        self._acquire()

    def busy(self) -> bool:
        """Whether a process works in it."""
        try:
            descriptor = os.open(self.path / "lock", os.O_RDWR)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    def close(self) -> None:
        """Give the lock back."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> "RunDirectory":
        return self

    def __exit__(self, _: type[BaseException] | None, __: object, ___: TracebackType | None) -> None:
        self.close()

    def write_status(self, state: str, frames: int, total_frames: int, message: str = "") -> None:
        """Say how the run stands; `state` is one of STATES. "running" is what a killed process leaves
        behind."""
        if state not in STATES:
            raise ValueError(f"a run is one of {', '.join(STATES)}, not {state!r}")
        self.write_json(
            self.status,
            {
                "state": state,
                "frames": frames,
                "total_frames": total_frames,
                "message": message,
                "pid": os.getpid(),
                "updated": _now(),
            },
        )

    def read_status(self) -> dict[str, Any] | None:
        """The last status written, or None; also if the file is damaged, as nothing but words depends on it."""
        status = read_json(self.status)
        whole = isinstance(status, dict) and all(type(status.get(name)) is kind for name, kind in _STATUS.items())
        return status if whole and status["state"] in STATES else None

    def begin_with(self, snapshot: Path | None) -> None:
        """Write down whether the run begins with a snapshot of another, and which."""
        origin = {"init_from": str(snapshot.absolute()), "sha256": _sha256(snapshot)} if snapshot else {}
        self.write_json(self.origin, {"init_from": None, "sha256": None, **origin})

    def began_with(self) -> Path | None:
        """The snapshot that `begin_with` was given; RunDirectoryError if that cannot be known any more, or it is not
        what it was."""
        origin = read_json(self.origin)
        if not isinstance(origin, dict) or "init_from" not in origin:
            state = "damaged" if self.origin.exists() else "missing"
            raise RunDirectoryError(f"{self.origin} is {state}, which says what the run began with")
        if origin["init_from"] is None:
            return None
        path = Path(origin["init_from"])
        if not path.is_file() or _sha256(path) != origin["sha256"]:
            state = "altered since" if path.is_file() else "gone"
            raise RunDirectoryError(f"{path}, the snapshot that the run in {self.path} began with, is {state}")
        return path

    @property
    def frames(self) -> int:
        """The frame at which its run last said that it stands; 0 before it has said anything."""
        status = self.read_status()
        return int(status["frames"]) if status else 0

    @property
    def finished(self) -> bool:
        """Whether its run has come to its end."""
        status = self.read_status()
        return status is not None and status["state"] == "finished"

    def write_json(self, path: Path, content: object) -> None:
        """Replace a file (its name in this directory, or a whole path) by JSON, atomically and durably."""
        path = self.path / path
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(content, indent=1) + "\n")

    def append_versions(self, more: Mapping[str, Any] | None = None) -> str | None:
        """Add an entry to versions.json: a list, one entry for each time the run was launched or resumed.

        A damaged list is kept beside a new one; the sentence that says so is returned.
        """
        entries, told = read_json(self.versions), None
        if not isinstance(entries, list):
            entries = []
            if self.versions.exists():
                told = f"{self.versions} was damaged: it is kept as {set_aside(self.versions).name}, and begun anew"
        self.write_json(self.versions, [*entries, {**versions(), **(more or {})}])
        return told

    def _refuse_contents(self) -> None:
        if self.path.is_dir() and any(
            entry.name not in ("lock", self.origin.name) and not entry.name.startswith(".tmp-")
            for entry in self.path.iterdir()
        ):
            advice = f"go on with --resume {quoted(self.path)}, or choose" if self.config.is_file() else "choose"
            held = "a run" if self.config.is_file() else "something"
            raise RunDirectoryError(f"there is already {held} in {self.path}: {advice} another directory")

    def _acquire(self) -> None:
        """Take the lock, which the kernel gives back when the process ends, however it ends."""
        descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            self._take(descriptor)
        except BlockingIOError:
            pid = os.read(descriptor, 32).decode(errors="replace").strip() or "unknown"
            os.close(descriptor)
            raise RunDirectoryError(f"another process (pid {pid}) is working in {self.path}") from None
        except OSError as error:
            os.close(descriptor)
            raise RunDirectoryError(f"{self.path} cannot be locked ({error.strerror})") from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._lock = descriptor

    @staticmethod
    def _take(descriptor: int) -> None:
        """Lock it, or raise BlockingIOError after a second: whoever asks whether the run is `busy` holds it shortly."""
        deadline = time.monotonic() + 1.0
        while True:
            try:
                return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.02)


def _events(path: Path) -> Path:
    """The folder of TensorBoard's files: the run's own, so that it is called by the run's name there; or the one that
    former versions made."""
    former = path / "tensorboard"
    return former if former.is_dir() else path


def read_json(path: Path) -> Any:
    """What is in a file of JSON, or None if it is missing or damaged."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError, RecursionError):
        return None


def made_by(run: RunDirectory, found: Mapping[str, Any] = MappingProxyType({})) -> str:
    """The version that wrote a checkpoint, as far as its meta or versions.json tell."""
    entries = read_json(run.versions)
    last = entries[-1] if isinstance(entries, list) and entries and isinstance(entries[-1], dict) else {}
    wrote = found.get("program") or last
    version = f"version {wrote['version']}" if wrote.get("version") else "an earlier version"
    commit = wrote.get("git_commit")
    return f"{version} of this program{f' (commit {commit})' if commit else ''}"


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
