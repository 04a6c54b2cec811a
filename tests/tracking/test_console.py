"""What is printed for a person may get lost and ends nothing; what is printed for a program arrives, or is missed."""

from __future__ import annotations

import errno
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tracking.console import Unfailing, print_json, unfailing_output
from tracking.progress import Progress

ROOT = Path(__file__).resolve().parents[2]


class Broken(io.StringIO):
    """A stream that cannot be written, for a reason of the system's."""

    def __init__(self, number: int, terminal: bool = False) -> None:
        super().__init__()
        self.number, self.terminal = number, terminal

    def write(self, text: str) -> int:
        raise OSError(self.number, os.strerror(self.number))

    def flush(self) -> None:
        raise OSError(self.number, os.strerror(self.number))

    def isatty(self) -> bool:
        return self.terminal


@pytest.mark.parametrize("number", [errno.EPIPE, errno.EIO, errno.ENOSPC, errno.EAGAIN])
@pytest.mark.parametrize("terminal", [False, True])
def test_progress_goes_on_without_anyone_to_see_it(
    monkeypatch: pytest.MonkeyPatch, number: int, terminal: bool
) -> None:
    out, err = Broken(number, terminal), Broken(number, terminal)
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    with unfailing_output(), Progress(100) as progress:
        progress.update(0)
        progress.event("a switch")
        print("a table")
        progress.update(50, game="pong")
    assert sys.stdout is out and sys.stderr is err


def test_a_stream_that_was_closed_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python has None in its place."""
    monkeypatch.setattr(sys, "stderr", None)
    with unfailing_output(), Progress(100) as progress:
        progress.event("hello")
    assert sys.stderr is None


def test_what_a_terminal_cannot_show_is_a_question_mark() -> None:
    raw = io.BytesIO()
    stream = Unfailing(io.TextIOWrapper(raw, encoding="ascii"))
    print("3 ± 1", file=stream, flush=True)  # type: ignore[arg-type]
    assert raw.getvalue() == b"3 ? 1\n"


def test_a_lost_table_is_told_unless_its_reader_has_gone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in (errno.EPIPE, errno.ENOSPC):
        monkeypatch.setattr(sys, "stdout", Broken(number))
        with unfailing_output():
            print("a table")
    assert capsys.readouterr().err == "not everything could be printed: No space left on device\n"


def test_a_result_for_a_program_has_to_arrive(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with unfailing_output():
        print("a table")
        print_json({"a": 1})
    assert capsys.readouterr().out == 'a table\n{"a": 1}\n'
    for number in (errno.EPIPE, errno.ENOSPC):
        monkeypatch.setattr(sys, "stdout", Broken(number))
        with unfailing_output(), pytest.raises(OSError, match=os.strerror(number)):
            print_json({"a": 1})


PROGRAM = """
import ctypes
from tracking import command
def main():
    file = open("kept", "wb")
    ctypes.CDLL(None).write(2, b"a library complains", 19)
    print("some words " * 10_000)
    file.write(b"all")
    return 75
command.run(main)
"""


@pytest.mark.parametrize("redirection", ["2>&- >&-", "<&- 2>&- >&-", ">/dev/full 2>/dev/full", "2>&1 | true"])
def test_a_program_in_a_shell(tmp_path: Path, redirection: str) -> None:
    """It ends with its own code, and no file of its own is where a library takes the console to be."""
    script = f"\"{sys.executable}\" -c '{PROGRAM}' {redirection}; exit ${{PIPESTATUS[0]}}"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, env=environment, stdin=subprocess.DEVNULL)
    assert done.returncode == 75
    assert (tmp_path / "kept").read_bytes() == b"all"
