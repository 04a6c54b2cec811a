"""Running out of something is told in a sentence, however it shows."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pytest

from tracking.checkpoints import load_file, save_file
from tracking.shortage import passing, shortage


def caused(error: BaseException, cause: BaseException) -> BaseException:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/a/file"), "the disk is full: free some space (/a/file)"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "the disk's quota"),
        (OSError(errno.EFBIG, "File too large"), "ulimit -f"),
        (OSError(errno.EMFILE, "Too many open files", "/a/file"), "ulimit -n"),
        (OSError(errno.EIO, "Input/output error", "/a/file"), "(/a/file)"),
        (BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"), "ulimit -u"),
        (RuntimeError("can't start new thread"), "ulimit -u"),
        (MemoryError(), "not enough memory"),
        (np._core._exceptions._ArrayMemoryError((2**50,), np.dtype("u1")), "not enough memory"),
        (
            RuntimeError("[enforce fail at alloc_cpu.cpp:121] err == 0. DefaultCPUAllocator: can't allocate memory"),
            "not enough memory",
        ),
        (RuntimeError("std::bad_alloc"), "not enough memory"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"), "not enough memory"),
        (ImportError("x.so: failed to map segment from shared object"), "not enough memory"),
        (ImportError("x.so: cannot open shared object file: Too many open files"), "ulimit -n"),
        (caused(RuntimeError("unexpected pos 64 vs 0"), OSError(errno.ENOSPC, "")), "the disk is full"),
    ],
)
def test_each_is_a_sentence(error: BaseException, told: str) -> None:
    said = shortage(error)
    assert said is not None and told in said and "\n" not in said


@pytest.mark.parametrize(
    "error", [ValueError("a bug"), KeyError("memory"), RuntimeError("shapes differ"), OSError("?"), KeyboardInterrupt()]
)
def test_nothing_else_is(error: BaseException) -> None:
    assert shortage(error) is None and not passing(error)


def test_a_disk_that_cannot_be_read_is_no_passing_want() -> None:
    assert passing(MemoryError()) and passing(caused(RuntimeError("no mmap"), OSError(errno.EMFILE, "")))
    assert not passing(caused(RuntimeError("no mmap"), OSError(errno.EIO, "")))


@pytest.mark.parametrize(
    "error", [MemoryError(), OSError(errno.EMFILE, ""), RuntimeError("Cannot allocate memory (12)")]
)
def test_what_cannot_be_read_for_want_of_something_is_not_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def reading(_: Path) -> None:
        raise error

    save_file(tmp_path / "kept.pt", {"a": 1})
    monkeypatch.setattr("tracking.checkpoints.read_tree", reading)
    with pytest.raises(type(error)):
        load_file(tmp_path / "kept.pt")
