"""Checkpoints: directories that are complete or absent, whatever moment the power fails.

    checkpoints/000000400000/            the number of frames
        agent.pt                         one file per part
        memory.pt, memory.game0-17.pt    a part's "segments" lie in files of their own
        manifest.json                    written last: sizes and hashes of all the others

A part may keep bulk data that never changes once written under the top-level key "segments" of its state:
{name: tree, or a function without arguments that returns the tree}. **A segment's name promises its
content**: a segment that an earlier checkpoint holds is linked from there, neither written, read nor hashed again.

**Neighbours share nothing.** A checkpoint links from the one before its neighbour, so that there are two lines of
them, and every segment is written twice in all, once for each. Whatever is damaged in the newest checkpoint, a single
bit in a part of the replay, the one before is whole, and a resume from there is exact. That costs the room of a second
replay and second anchors on the disk, and no time of training, since checkpoints are written beside it. (To do without
a damaged part of the replay would cost no room, but the resume would not be exact, and an anchor, all that is known of
a task, cannot be done without.)

`begin` takes the states and leaves the writing to a thread. So a state must be a snapshot that its part does not alter
afterwards, segments included.

Only the process that holds the run's lock may use these verbs; they tidy up.
"""

import contextlib
import errno
import os
import re
import shutil
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from tracking.files import fsync_directory, write_atomically
from tracking.manifest import CheckpointError, DamageError, Files, available, read_manifest, verify, write_manifest
from tracking.shortage import passing
from tracking.trees import Tree, check_tree, read_tree, tree_bytes, write_packed, write_tree

CHECKPOINTS_KEPT = 2  # of a run: the newest, and one should it be damaged
_PART = re.compile(r"[\w-]+")
_SEGMENT = re.compile(r"[\w.-]+")
_FULL = (errno.ENOSPC, errno.EDQUOT)


class Stateful(Protocol):
    """A part of a run: after `b.load_state_dict(a.state_dict())`, b behaves like a, for ever."""

    def state_dict(self) -> Mapping[str, Any]:
        """All that decides the future: tensors, numbers, strings, bytes, None, in dictionaries and lists."""

    def load_state_dict(self, state: Any, /) -> Any:
        """Restore what `state_dict` returned."""


class NoneIntactError(CheckpointError):
    """There are checkpoints, and all of them are damaged."""


class DiskFullError(CheckpointError):
    """There was no room for a checkpoint; those before are untouched."""


def _to_stderr(line: str) -> None:
    print(f"warning: {line}", file=sys.stderr, flush=True)


class Checkpoints:
    """The checkpoints of one run, of which the newest `keep` (at least two) are kept.

    `warn` receives a line for every damaged checkpoint that is passed over. Leaving the context waits for what was
    begun.
    """

    def __init__(self, directory: Path, keep: int = CHECKPOINTS_KEPT, warn: Callable[[str], None] = _to_stderr) -> None:
        self.directory = Path(directory)
        self.keep = max(2, keep)
        self.warn = warn
        # Links come from these only: they were saved or verified by this object. {frames: its files}
        self._intact: dict[int, Files] = {}
        self._unverified: int | None = None  # the one before that restored, until the next is written
        self._writing: Future[Path] | None = None

    def save(self, frames: int, parts: Mapping[str, Stateful], meta: Mapping[str, Any] | None = None) -> Path:
        """Store the state of every part; returns the new checkpoint's directory, durable.

        `meta` is anything JSON can hold. A checkpoint of the same frame is replaced. On any error nothing has
        changed; with a full disk it is DiskFullError.
        """
        self.wait()
        return self._write(frames, _plan(parts), meta)

    def begin(self, frames: int, parts: Mapping[str, Stateful], meta: Mapping[str, Any] | None = None) -> None:
        """`save`, but return as soon as the states are taken; they are written while the caller goes on.

        Waits for the checkpoint begun before this one. What goes wrong is raised by the next call of `check`, `wait`,
        `begin` or `save`.
        """
        self.wait()
        thread = ThreadPoolExecutor(1)
        self._writing = thread.submit(self._write, frames, _plan(parts), meta)
        thread.shutdown(wait=False)

    def check(self) -> bool:
        """Whether a checkpoint is still being written; raises what went wrong with one that was begun."""
        if self._writing is not None and self._writing.done():
            self.wait()
        return self._writing is not None

    def wait(self) -> None:
        """Return when what was begun is durable; raises what went wrong with it, once."""
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, kind: type[BaseException] | None, _: object, __: TracebackType | None) -> None:
        try:
            self.wait()
        except Exception:
            if kind is None:  # else the first error is the one to tell
                raise

    def _write(self, frames: int, plan: Mapping[str, Tree], meta: Mapping[str, Any] | None) -> Path:
        target = self.directory / f"{frames:012d}"
        temporary = self.directory / f".tmp-{target.name}"
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            self._tidy()
            temporary.mkdir()
            lenders = self._lenders(frames)
            files = {name: self._store(temporary / name, tree, lenders) for name, tree in plan.items()}
            write_manifest(temporary, frames, dict(meta or {}), files)
            self._publish(temporary, target)
        except BaseException as error:
            shutil.rmtree(temporary, ignore_errors=True)
            with contextlib.suppress(OSError):
                self._recover()
            if isinstance(error, OSError) and error.errno in _FULL:
                raise DiskFullError(self._disk_full(frames, plan)) from error
            raise
        self._prune(target)
        self._intact = {
            kept: known for kept, known in {**self._intact, frames: files}.items() if kept in self.available()
        }
        return target

    def restore_latest(self, parts: Mapping[str, Stateful]) -> int | None:
        """Load every part from the newest intact checkpoint; returns its frames, or None if there is none at
        all.

        A damaged one is named to `warn` and passed over, and renamed `….damaged` once an older one is loaded; so is one
        that cannot be read though its hashes agree. All files are read before the first part is changed. Raises
        NoneIntactError if none is intact.
        """
        self._recover()
        damaged: list[Path] = []
        for frames in reversed(self.available()):
            path = self.directory / f"{frames:012d}"
            try:
                files: Files = verify(path)["files"]
                states = {part: _load_part(path, part, files) for part in parts}
                break
            except DamageError as damage:
                self.warn(f"the checkpoint {path} is damaged ({damage}); trying the one before")
                damaged.append(path)
        else:
            if damaged:
                raise NoneIntactError(f"none of the {len(damaged)} checkpoints in {self.directory} is intact")
            return None
        for part, stateful in parts.items():
            stateful.load_state_dict(states.pop(part))
        for wreck in damaged:
            aside = wreck.with_name(f"{wreck.name}.damaged")
            shutil.rmtree(aside, ignore_errors=True)
            os.rename(wreck, aside)
        self._intact = {frames: files}
        self._unverified = max((older for older in self.available() if older < frames), default=None)
        return frames

    def available(self) -> list[int]:
        """The frames of all checkpoints, intact or not, oldest first."""
        return available(self.directory)

    def meta(self, frames: int) -> dict[str, Any]:
        """What was given to `save` as `meta`; CheckpointError if there is no such checkpoint."""
        try:
            return read_manifest(self.directory / f"{frames:012d}")["meta"]
        except DamageError as damage:
            raise CheckpointError(f"the checkpoint of frame {frames} in {self.directory}: {damage}") from None

    def _lenders(self, frames: int) -> dict[str, tuple[Path, dict[str, Any]]]:
        """{name: a file to link from, and its entry}: the segments of the newest intact checkpoint that is no neighbour
        of the one to be written (it may be the one that is replaced), but those that it shares with the neighbour, as
        older programs let it."""
        older, self._unverified = self._unverified, None
        if older is not None:
            with contextlib.suppress(DamageError, CheckpointError):
                self._intact[older] = verify(self.directory / f"{older:012d}")["files"]
        neighbour = max((other for other in self.available() if other != frames), default=None)
        lender = max((other for other in self._intact if other != neighbour), default=None)
        if lender is None:
            return {}
        folder, beside = (self.directory / f"{moment:012d}" for moment in (lender, neighbour or 0))
        found = {name: (folder / name, entry) for name, entry in self._intact[lender].items() if _is_segment(name)}
        return {name: own for name, own in found.items() if not _same_file(own[0], beside / name)}

    def _store(self, path: Path, tree: Tree, lenders: Mapping[str, tuple[Path, dict[str, Any]]]) -> dict[str, Any]:
        """Link or write one file; returns its entry in the manifest."""
        if path.name in lenders:
            source, entry = lenders[path.name]
            if _link(source, path, entry["size"]):
                return entry
        size, sha256 = write_tree(path, tree() if callable(tree) else tree)
        return {"size": size, "sha256": sha256}

    def _publish(self, temporary: Path, target: Path) -> None:
        """Give a finished directory its name. A directory cannot replace another at once, hence `.old-…`,
        which `_recover` puts back if the process dies between the two renames."""
        fsync_directory(temporary)
        old = self.directory / f".old-{target.name}"
        if target.exists():
            os.rename(target, old)
        os.rename(temporary, target)
        fsync_directory(self.directory)
        shutil.rmtree(old, ignore_errors=True)

    def _recover(self) -> None:
        """Finish or undo a replacement that was cut short."""
        for old in self.directory.glob(".old-*"):
            target = self.directory / old.name.removeprefix(".old-")
            if target.exists():
                shutil.rmtree(old, ignore_errors=True)
            else:
                os.rename(old, target)

    def _tidy(self) -> None:
        self._recover()
        for leftover in self.directory.glob(".tmp-*"):
            shutil.rmtree(leftover, ignore_errors=True)

    def _prune(self, newest: Path) -> None:
        """Drop all but the newest checkpoints, and wrecks older than the one just saved."""
        complete = [self.directory / f"{frames:012d}" for frames in self.available()]
        doomed = [path for path in complete[: -self.keep] if path != newest]
        doomed += [wreck for wreck in self.directory.glob("*.damaged") if wreck.stem < newest.name]
        for path in doomed:
            leaving = path.with_name(f".tmp-{path.name}")  # half a directory must not look like a checkpoint
            os.rename(path, leaving)
            shutil.rmtree(leaving, ignore_errors=True)

    def _disk_full(self, frames: int, plan: Mapping[str, Tree]) -> str:
        held = self._lenders(frames)
        needed = sum(tree_bytes(tree) for name, tree in plan.items() if name not in held)
        free = shutil.disk_usage(self.directory if self.directory.is_dir() else "/").free
        older = self.available()
        intact = f"the one of frame {older[-1]} is intact" if older else "there is no older one"
        return (
            f"the disk is full: the checkpoint of frame {frames} needs about {needed / 1e6:.1f} MB more in "
            f"{self.directory}, where {free / 1e6:.1f} MB are free; {intact}"
        )


def save_file(path: Path, tree: Tree) -> None:
    """Store one tree, packed, atomically; DiskFullError if there is no room for it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, lambda temporary: write_packed(temporary, tree))
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise DiskFullError(f"the disk is full: {path} needs about {tree_bytes(tree) / 1e6:.1f} MB") from error


def load_file(path: Path) -> Tree:
    """The tree in a file of `save_file` or of a checkpoint, in host memory; CheckpointError if it is missing or not
    what its checksum says."""
    if not path.is_file():
        raise CheckpointError(f"there is no file {path}")
    try:
        check_tree(path)
        return read_tree(path)
    except PermissionError:
        raise CheckpointError(f"{path} may not be read") from None
    except Exception as error:
        if passing(error):
            raise
        raise CheckpointError(f"{path} is damaged, or was not written by this program") from error


def _is_segment(name: str) -> bool:
    return name.count(".") > 1


def _plan(parts: Mapping[str, Stateful]) -> dict[str, Tree]:
    """What a checkpoint of these parts consists of: {file name: tree}."""
    plan: dict[str, Tree] = {}
    for part, stateful in parts.items():
        plan.update(_split(part, stateful.state_dict()))
    return plan


def _split(part: str, state: Mapping[str, Any]) -> dict[str, Tree]:
    """The files of a part: {file name: tree}; the part's own file lists its segments in their order."""
    if not _PART.fullmatch(part):
        raise ValueError(f"a part's name may have letters, digits, - and _ only, not {part!r}")
    segments = state.get("segments", {})
    for name in segments:
        if not _SEGMENT.fullmatch(name):
            raise ValueError(f"a segment's name may have letters, digits, -, _ and . only, not {name!r}")
    own = {**state, "segments": list(segments)} if "segments" in state else state
    return {f"{part}.pt": own, **{f"{part}.{name}.pt": tree for name, tree in segments.items()}}


def load_part(checkpoint: Path, part: str) -> dict[str, Any]:
    """The state of one part of a checkpoint, segments and all; DamageError or CheckpointError if it cannot be read."""
    return _load_part(checkpoint, part, read_manifest(checkpoint)["files"])


def _load_part(path: Path, part: str, files: Files) -> dict[str, Any]:
    """The state of one part; DamageError names a file that cannot be read though its hash is right."""
    if f"{part}.pt" not in files:
        raise CheckpointError(f"the checkpoint {path} holds no {part!r}: it is of another kind of run")
    state = _readable(path / f"{part}.pt")
    if not isinstance(state, dict):
        raise DamageError(f"{part}.pt holds no state")
    if "segments" in state:
        state["segments"] = {name: _readable(path / f"{part}.{name}.pt") for name in state["segments"]}
    return state


def _readable(path: Path) -> Tree:
    try:
        return read_tree(path)
    except Exception as error:  # whatever torch makes of it
        if passing(error):
            raise
        raise DamageError(f"{path.name} cannot be read") from error


def _same_file(one: Path, other: Path) -> bool:
    try:
        return os.path.samefile(one, other)
    except FileNotFoundError:
        return False


def _link(source: Path, target: Path, size: int) -> bool:
    """Link, or copy where links do not work; False if the source is not as it was."""
    try:
        if source.stat().st_size != size:
            return False
        os.link(source, target)
    except FileNotFoundError:
        return False
    except OSError as error:
        if error.errno in _FULL:
            raise
        shutil.copyfile(source, target)
        with open(target, "rb") as copy:
            os.fsync(copy.fileno())
    return True
