"""Checkpoints are complete or absent, and a damaged one is never loaded."""

import errno
import hashlib
import os
import shutil
import signal
import subprocess
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tracking import checkpoints as checkpoints_module
from tracking.checkpoints import CheckpointError, Checkpoints, DiskFullError, load_file, save_file
from tracking.files import HashedFile
from tracking.manifest import read_manifest, verify, write_manifest


class Part:
    """Holds a state and remembers whether it was loaded."""

    def __init__(self, state: Any = None) -> None:
        self.state = state
        self.loads = 0

    def state_dict(self) -> Any:
        return self.state

    def load_state_dict(self, state: Any) -> None:
        self.state = state
        self.loads += 1


def memory(segments: int, value: int = 0) -> Part:
    """A part whose segment i is full of i, whatever its other state."""
    return Part({"value": value, "segments": {f"game-{i}.a": {"rows": torch.full((50,), i)} for i in range(segments)}})


def saved(directory: Path, *frames: int, **kwargs: Any) -> Checkpoints:
    """Checkpoints with one part "agent" whose state is the frame, and a growing "memory"."""
    checkpoints = Checkpoints(directory, **kwargs)
    for i, frame in enumerate(frames):
        agent = Part({"frame": frame, "weights": torch.full((100,), float(frame))})
        checkpoints.save(frame, {"agent": agent, "memory": memory(i + 2, frame)})
    return checkpoints


def restored(directory: Path) -> tuple[int | None, Part, Part, list[str]]:
    agent, mem, lines = Part(), Part(), []
    frames = Checkpoints(directory, warn=lines.append).restore_latest({"agent": agent, "memory": mem})
    return frames, agent, mem, lines


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_round_trip_of_every_kind_of_leaf(tmp_path: Path) -> None:
    rng = np.random.default_rng(3).bit_generator.state["state"]
    base = torch.arange(1000)
    state = {
        "tensors": [
            torch.randn(3, 4),
            torch.zeros(0),
            torch.tensor(2.5, dtype=torch.bfloat16),
            torch.tensor(True),
        ],
        "view": base[10:20],
        "strided": base.reshape(10, 100).T[::3],
        "parameter": torch.nn.Parameter(torch.ones(2)),
        "numbers": (1, -(2**100), 0.1, float("inf"), True, None),
        "words": ["é", b"\x00\xff" * 99],
        "rng": rng,
        7: {"nested": OrderedDict(a={"b": []})},
        "segments": {"b": torch.ones(2), "a.1": {"x": b"x"}},
    }
    part = Part()
    checkpoints = Checkpoints(tmp_path / "c")
    path = checkpoints.save(400_000, {"agent": Part(state)}, meta={"seed": 1, "by": {2: [None]}})
    assert path == tmp_path / "c" / "000000400000"
    assert Checkpoints(tmp_path / "c").restore_latest({"agent": part}) == 400_000
    got = part.state
    for a, b in zip(got["tensors"], state["tensors"], strict=True):
        assert torch.equal(a, b) and a.dtype == b.dtype
    for name in ("view", "strided", "parameter"):
        assert torch.equal(got[name], state[name])
    for name in ("numbers", "words", "rng", 7):
        assert got[name] == state[name]
    assert list(got["segments"]) == ["b", "a.1"] and got["segments"]["a.1"] == {"x": b"x"}
    assert list(got) == list(state)
    assert checkpoints.meta(400_000) == {"seed": 1, "by": {"2": [None]}}
    assert checkpoints.available() == [400_000]


def test_a_view_is_stored_without_its_storage(tmp_path: Path) -> None:
    path = Checkpoints(tmp_path).save(1, {"agent": Part({"x": torch.zeros(1_000_000)[:5]})})
    assert (path / "agent.pt").stat().st_size < 10_000


def test_what_was_loaded_may_be_changed_without_changing_the_checkpoint(tmp_path: Path) -> None:
    saved(tmp_path, 100)
    _, agent, *_ = restored(tmp_path)
    agent.state["weights"].add_(1)
    assert restored(tmp_path)[1].state["weights"][0] == 100


@pytest.mark.parametrize("leaf", [np.float64(1), np.zeros(2), {1, 2}, object(), {(1, 2): 3}])
def test_a_leaf_that_could_not_be_loaded_is_named_when_saving(tmp_path: Path, leaf: Any) -> None:
    with pytest.raises(TypeError, match=r"agent\.pt/deep/0"):
        Checkpoints(tmp_path).save(1, {"agent": Part({"deep": [leaf]})})
    assert names(tmp_path) == []


def test_nothing_to_restore(tmp_path: Path) -> None:
    agent = Part()
    assert Checkpoints(tmp_path / "absent").restore_latest({"agent": agent}) is None
    assert agent.loads == 0


def inode(directory: Path, frames: int, name: str) -> int:
    return (directory / f"{frames:012d}" / name).stat().st_ino


def test_unchanged_segments_are_linked_from_the_one_before_the_last_also_after_a_restore(tmp_path: Path) -> None:
    saved(tmp_path, 100, 200, 300, keep=3)
    name = "memory.game-0.a.pt"
    assert inode(tmp_path, 100, name) == inode(tmp_path, 300, name) != inode(tmp_path, 200, name)
    assert inode(tmp_path, 100, "memory.pt") != inode(tmp_path, 300, "memory.pt")
    again = Checkpoints(tmp_path, keep=3)
    again.restore_latest({"agent": Part()})
    called: list[int] = []
    segments = {"game-0.a": lambda: called.append(0), "new": lambda: called.append(1) or torch.ones(3)}
    again.save(400, {"memory": Part({"segments": segments})})
    assert inode(tmp_path, 200, name) == inode(tmp_path, 400, name)
    assert called == [1]  # a linked segment's tree is not even asked for
    assert torch.equal(_restore_one(tmp_path, "memory")["segments"]["new"], torch.ones(3))


def shared(directory: Path) -> set[str]:
    """The files that the two newest checkpoints share."""
    one, other = sorted(path for path in directory.iterdir() if path.name.isdigit())[-2:]
    return {a.name for a in one.iterdir() for b in other.iterdir() if os.path.samefile(a, b)}


def test_neighbours_share_nothing_whatever_is_saved_restored_or_replaced(tmp_path: Path) -> None:
    saved(tmp_path, 100, 200, 300, 400, 500)
    assert shared(tmp_path) == set()
    flip(tmp_path / "000000000500" / "memory.pt")
    for moments in ((500, 600), (600,), (600, 600, 700), (800,)):
        checkpoints = Checkpoints(tmp_path, warn=lambda line: None)
        checkpoints.restore_latest({"agent": Part()})
        for frames in moments:
            checkpoints.save(frames, {"agent": Part({}), "memory": memory(3)})
            assert shared(tmp_path) == set()


def test_nothing_is_linked_any_more_that_an_older_program_let_two_share(tmp_path: Path) -> None:
    saved(tmp_path, 100, 200)
    for i in range(2):
        name = f"memory.game-{i}.a.pt"
        (tmp_path / "000000000200" / name).unlink()
        os.link(tmp_path / "000000000100" / name, tmp_path / "000000000200" / name)
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.restore_latest({"agent": Part()}) == 200
    for frames in (300, 400):
        checkpoints.save(frames, {"agent": Part({}), "memory": memory(2)})
        assert shared(tmp_path) == set()


@pytest.mark.parametrize("segment", [0, 1, 2])
def test_one_bit_in_a_segment_costs_one_checkpoint(tmp_path: Path, segment: int) -> None:
    saved(tmp_path, 100, 200, 300)
    flip(tmp_path / "000000000300" / f"memory.game-{segment}.a.pt")
    frames, agent, mem, lines = restored(tmp_path)
    assert (frames, agent.state["frame"], len(mem.state["segments"])) == (200, 200, 3) and len(lines) == 1
    assert all((tree["rows"] == i).all() for i, tree in enumerate(mem.state["segments"].values()))


def test_what_cannot_be_read_though_its_hash_is_right_is_passed_over(tmp_path: Path) -> None:
    """As a program wrote it that stores what torch does not load, or another torch."""
    saved(tmp_path, 100, 200)
    path = tmp_path / "000000000200"
    torch.save({"x": Path("anything")}, path / "agent.pt")
    content = read_manifest(path)
    data = (path / "agent.pt").read_bytes()
    entry = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    write_manifest(path, 200, {}, {**content["files"], "agent.pt": entry})
    frames, agent, _, lines = restored(tmp_path)
    assert (frames, agent.state["frame"]) == (100, 100)
    [line] = lines
    assert "agent.pt cannot be read" in line and "weights_only" not in line and len(line.splitlines()) == 1
    assert names(tmp_path) == ["000000000100", "000000000200.damaged"]


def _restore_one(directory: Path, name: str) -> Any:
    part = Part()
    Checkpoints(directory).restore_latest({name: part})
    return part.state


def test_segments_are_copied_where_links_do_not_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    saved(tmp_path, 100, 200, 300)
    frames, _, mem, lines = restored(tmp_path)
    assert (frames, len(mem.state["segments"]), lines) == (300, 4, [])
    assert (tmp_path / "000000000300" / "memory.game-0.a.pt").stat().st_nlink == 1


def test_segments_never_come_from_a_checkpoint_that_was_not_verified(tmp_path: Path) -> None:
    saved(tmp_path, 100)
    Checkpoints(tmp_path).save(200, {"memory": memory(2)})
    assert (tmp_path / "000000000200" / "memory.game-0.a.pt").stat().st_nlink == 1


def test_only_the_newest_are_kept(tmp_path: Path) -> None:
    saved(tmp_path, 100, 200, 300, 400, keep=3)
    assert names(tmp_path) == ["000000000200", "000000000300", "000000000400"]
    saved(tmp_path, 500, keep=0)
    assert names(tmp_path) == ["000000000400", "000000000500"]


def test_the_same_frame_twice_replaces_it(tmp_path: Path) -> None:
    checkpoints = saved(tmp_path, 100, 200)
    checkpoints.save(200, {"agent": Part({"frame": "again"}), "memory": memory(3)})
    assert names(tmp_path) == ["000000000100", "000000000200"]
    frames, agent, mem, _ = restored(tmp_path)
    assert (frames, agent.state["frame"]) == (200, "again")
    assert [int(tree["rows"][0]) for tree in mem.state["segments"].values()] == [0, 1, 2]


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """No file is written before it is set."""
    opened, write = threading.Event(), checkpoints_module.write_tree

    def waiting(path: Path, tree: Any) -> tuple[int, str]:
        assert opened.wait(60)
        return write(path, tree)

    monkeypatch.setattr(checkpoints_module, "write_tree", waiting)
    return opened


def test_what_is_begun_is_the_state_of_that_moment_and_written_while_the_caller_goes_on(
    tmp_path: Path, gate: threading.Event
) -> None:
    checkpoints, agent = Checkpoints(tmp_path), Part({"frame": 100})
    checkpoints.begin(100, {"agent": agent, "memory": memory(2)})
    agent.load_state_dict({"frame": 101})
    assert checkpoints.check() and checkpoints.available() == []
    gate.set()
    checkpoints.wait()
    assert not checkpoints.check()
    frames, restored_agent, mem, lines = restored(tmp_path)
    assert (frames, restored_agent.state, len(mem.state["segments"]), lines) == (100, {"frame": 100}, 2, [])


@pytest.mark.parametrize("verb", ["save", "begin"])
def test_a_checkpoint_waits_for_the_one_begun_before_and_links_from_it(tmp_path: Path, verb: str) -> None:
    checkpoints = Checkpoints(tmp_path)
    for i in range(8):
        checkpoints.begin(i, {"memory": memory(30)})
    first = [inode(tmp_path, 6, f"memory.game-{i}.a.pt") for i in range(30)]
    getattr(checkpoints, verb)(8, {"memory": memory(31)})
    checkpoints.wait()
    assert names(tmp_path) == ["000000000007", "000000000008"]
    assert [inode(tmp_path, 8, f"memory.game-{i}.a.pt") for i in range(30)] == first
    verify(tmp_path / "000000000008")


@pytest.mark.parametrize("verb", ["wait", "check", "save", "begin", "__exit__"])
def test_what_goes_wrong_with_one_begun_is_told_by_the_next_call_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    checkpoints, parts = saved(tmp_path, 100), {"agent": Part({"frame": 200}), "memory": memory(3)}

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "full")

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints_module, "write_tree", full)
        checkpoints.begin(200, parts)
        while checkpoints._writing is not None and not checkpoints._writing.done():
            time.sleep(0.001)
    arguments = {"save": (300, parts), "begin": (300, parts), "__exit__": (None, None, None)}
    with pytest.raises(DiskFullError, match="frame 200"):
        getattr(checkpoints, verb)(*arguments.get(verb, ()))
    assert names(tmp_path) == ["000000000100"] and not checkpoints.check()
    checkpoints.save(200, parts)
    assert restored(tmp_path)[0] == 200


def test_leaving_the_context_waits_and_keeps_the_first_error(tmp_path: Path, gate: threading.Event) -> None:
    timer = threading.Timer(0.1, gate.set)
    timer.start()
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.begin(100, {"agent": Part({"frame": 100})})
    assert names(tmp_path) == ["000000000100"]
    with pytest.raises(KeyError, match="mine"), Checkpoints(tmp_path) as checkpoints:
        checkpoints.begin(200, {"agent": Part({"leaf": object()})})
        raise KeyError("mine")
    assert names(tmp_path) == ["000000000100"]


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


DAMAGES = [
    (truncate, "agent.pt"),
    (flip, "agent.pt"),
    (flip, "memory.pt"),
    (flip, "memory.game-2.a.pt"),
    (Path.unlink, "memory.game-0.a.pt"),
    (Path.unlink, "manifest.json"),
    (truncate, "manifest.json"),
    (flip, "manifest.json"),
]


@pytest.mark.parametrize(("damage", "name"), DAMAGES)
def test_a_damaged_checkpoint_is_named_and_the_one_before_used(
    tmp_path: Path, damage: Callable[[Path], None], name: str
) -> None:
    saved(tmp_path, 100, 200)
    if name == "manifest.json" and damage is truncate:
        os.truncate(tmp_path / "000000000200" / name, 60)
    else:
        damage(tmp_path / "000000000200" / name)
    frames, agent, mem, lines = restored(tmp_path)
    assert (frames, agent.state["frame"], len(mem.state["segments"])) == (100, 100, 2)
    assert len(lines) == 1 and name in lines[0] and "000000000200" in lines[0]
    assert names(tmp_path) == ["000000000100", "000000000200.damaged"]


def test_damaged_ones_lend_nothing_and_leave_in_time(tmp_path: Path) -> None:
    saved(tmp_path, 100, 200)
    flip(tmp_path / "000000000200" / "memory.game-2.a.pt")
    checkpoints = Checkpoints(tmp_path, warn=lambda _: None)
    checkpoints.restore_latest({"agent": Part()})
    for frames in (200, 300):
        checkpoints.save(frames, {"agent": Part({}), "memory": memory(3)})
    assert names(tmp_path) == ["000000000200", "000000000300"]
    frames, _, mem, lines = restored(tmp_path)
    assert (frames, lines) == (300, [])
    assert all((tree["rows"] == i).all() for i, tree in enumerate(mem.state["segments"].values()))


def test_all_damaged_is_an_error_and_changes_nothing(tmp_path: Path) -> None:
    saved(tmp_path, 100, 200)
    for frames in (100, 200):
        flip(tmp_path / f"{frames:012d}" / "agent.pt")
    agent = Part()
    with pytest.raises(CheckpointError, match="none of the 2 checkpoints"):
        Checkpoints(tmp_path, warn=lambda _: None).restore_latest({"agent": agent})
    assert agent.loads == 0 and names(tmp_path) == ["000000000100", "000000000200"]


def test_no_part_is_changed_before_all_files_are_read(tmp_path: Path) -> None:
    saved(tmp_path, 100)
    agent, stranger = Part(), Part()
    with pytest.raises(CheckpointError, match="'stranger'"):
        Checkpoints(tmp_path).restore_latest({"agent": agent, "stranger": stranger})
    assert agent.loads == 0


def test_another_format_is_an_error_and_not_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved(tmp_path, 100)
    monkeypatch.setattr("tracking.manifest.FORMAT", 3)
    saved(tmp_path, 200)
    monkeypatch.undo()
    with pytest.raises(CheckpointError, match="has format 3"):
        restored(tmp_path)
    assert names(tmp_path) == ["000000000100", "000000000200"]


def test_a_checkpoint_executes_nothing(tmp_path: Path) -> None:
    save = torch.save
    path = tmp_path / "evil.pt"
    save({"x": Path("anything")}, path)
    with pytest.raises(CheckpointError):
        load_file(path)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("after", [0, 100, 2_000, 5_000])
def test_a_full_disk_leaves_the_older_intact(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, after: int
) -> None:
    checkpoints = saved(tmp_path, 100)
    before = names(tmp_path)
    written = 0

    class Full:
        def __init__(self, file: Any) -> None:
            self.file = file

        def write(self, data: bytes) -> int:
            nonlocal written
            written += len(data)
            if written > after:
                raise OSError(code, "full")
            return self.file.write(data)

        def __getattr__(self, name: str) -> Any:
            return getattr(self.file, name)

    start = HashedFile.__init__

    def init(self: HashedFile, path: Path) -> None:
        start(self, path)
        self._file = Full(self._file)  # type: ignore[assignment]

    with monkeypatch.context() as patch:
        patch.setattr(HashedFile, "__init__", init)
        parts = {"agent": Part({"weights": torch.zeros(1000)}), "memory": memory(3)}
        with pytest.raises(DiskFullError, match=r"frame 200 needs about 0\.0 MB .* frame 100 is intact"):
            checkpoints.save(200, parts)
    assert names(tmp_path) == before
    assert restored(tmp_path)[0] == 100
    checkpoints.save(200, parts)
    assert restored(tmp_path)[0] == 200


def test_a_really_full_disk(tmp_path: Path) -> None:
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(tmp_path)]
    if os.geteuid() != 0 or shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs the right to mount a small file system")
    try:
        checkpoints = saved(tmp_path / "c", 100)
        with pytest.raises(DiskFullError, match=r"needs about 8\.0 MB"):
            checkpoints.save(200, {"agent": Part({"weights": torch.zeros(2_000_000)})})
        with pytest.raises(DiskFullError):
            save_file(tmp_path / "s.pt", torch.randn(2_000_000))
        assert names(tmp_path) == ["c"] and names(tmp_path / "c") == ["000000000100"]
        assert restored(tmp_path / "c")[0] == 100
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def in_a_child(work: Callable[[], None]) -> int:
    """Run `work` in a forked child; returns the child's id."""
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        finally:
            os._exit(1)
    return child


def check_after_a_kill(directory: Path, frames_allowed: set[int]) -> int:
    """Whatever is there is whole; saving goes on and leaves nothing behind."""
    agent, mem, lines = Part(), Part(), []
    checkpoints = Checkpoints(directory, warn=lines.append)
    frames = checkpoints.restore_latest({"agent": agent, "memory": mem})
    assert frames in frames_allowed and lines == []
    for older in checkpoints.available():
        verify(directory / f"{older:012d}")
    assert agent.state["frame"] == frames == mem.state["value"]
    assert (agent.state["weights"] == frames).all()
    assert all((tree["rows"] == i).all() for i, tree in enumerate(mem.state["segments"].values()))
    checkpoints.save(frames, {"agent": agent, "memory": mem})
    assert all(len(name) == 12 for name in names(directory)), names(directory)
    assert frames in checkpoints.available()
    return frames


CALLS = [(os, name) for name in ("fsync", "rename", "replace", "link", "mkdir", "unlink", "rmdir")]


def test_a_kill_at_any_system_call_leaves_the_old_or_the_new(tmp_path: Path) -> None:
    """The child restores, replaces the checkpoint of its own frame and writes the next, killing itself at its
    nth system call, for every n until it comes through."""
    saved(tmp_path / "before", 100, 200)
    seen = set()
    for n in range(1, 1000):
        directory = tmp_path / str(n)
        shutil.copytree(tmp_path / "before", directory)

        def work(directory: Path = directory, n: int = n) -> None:
            count = 0

            def deadly(real: Callable[..., Any]) -> Callable[..., Any]:
                def call(*args: Any, **kwargs: Any) -> Any:
                    nonlocal count
                    count += 1
                    if count == n:
                        os.kill(os.getpid(), signal.SIGKILL)
                    return real(*args, **kwargs)

                return call

            for module, name in CALLS:
                setattr(module, name, deadly(getattr(module, name)))
            write, deadly_write = HashedFile.write, deadly(HashedFile.write)
            # of the many writes of a file, the second
            HashedFile.write = lambda self, data: (  # type: ignore[method-assign]
                deadly_write if 0 < self.size < 100 else write
            )(self, data)
            checkpoints = Checkpoints(directory)
            agent, mem = Part(), Part()
            checkpoints.restore_latest({"agent": agent, "memory": mem})
            checkpoints.save(200, {"agent": agent, "memory": mem})
            three = {"frame": 300, "weights": torch.full((100,), 300.0)}
            checkpoints.save(300, {"agent": Part(three), "memory": memory(4, 300)})

        _, status = os.waitpid(in_a_child(work), 0)
        seen.add(check_after_a_kill(directory, {200, 300}))
        if os.WIFEXITED(status):
            assert os.WEXITSTATUS(status) == 0
            break
        shutil.rmtree(directory)
    assert n > 40 and seen == {200, 300}


def test_a_kill_at_a_random_moment(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    newest = 100
    saved(tmp_path, newest)
    for _ in range(12):

        def work() -> None:
            checkpoints, agent, mem = Checkpoints(tmp_path), Part(), Part()
            frames = checkpoints.restore_latest({"agent": agent, "memory": mem}) or 0
            while True:
                frames += 100
                state = {"frame": frames, "weights": torch.full((100,), float(frames))}
                checkpoints.save(frames, {"agent": Part(state), "memory": memory(frames // 100 % 9, frames)})

        child = in_a_child(work)
        time.sleep(rng.uniform(0, 0.15))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        newest = check_after_a_kill(tmp_path, set(range(newest, 10**6, 100)))


def test_weights_only_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "snapshots" / "000000000100.pt"
    save_file(path, {"weights": torch.arange(5)})
    assert torch.equal(load_file(path)["weights"], torch.arange(5))
    with monkeypatch.context() as patch:
        patch.setattr(checkpoints_module, "write_packed", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            save_file(path, {"weights": torch.arange(6)})
    assert names(path.parent) == [path.name] and len(load_file(path)["weights"]) == 5
    with pytest.raises(CheckpointError, match="no file"):
        load_file(tmp_path / "absent.pt")
    os.truncate(path, 300)
    with pytest.raises(CheckpointError, match="is damaged"):
        load_file(path)


def test_a_stop_in_the_middle_of_a_save_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoints = saved(tmp_path, 100)

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints_module, "write_manifest", interrupt)
        with pytest.raises(KeyboardInterrupt):
            checkpoints.save(100, {"agent": Part({})})
    assert names(tmp_path) == ["000000000100"] and restored(tmp_path)[0] == 100
