"""Commands end with a line and a code, not with a traceback."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tracking.command import Parser, UserError, check_writable, run


def ended(main: Callable[[], int | None]) -> object:
    with pytest.raises(SystemExit) as end:
        run(main)
    return end.value.code


def raising(error: BaseException) -> Callable[[], int]:
    def main() -> int:
        raise error

    return main


def test_the_code_is_that_of_main() -> None:
    assert [ended(lambda: 75), ended(lambda: None), ended(lambda: 0)] == [75, 0, 0]


def test_ctrl_c_mistakes_and_unusable_paths_are_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert ended(raising(KeyboardInterrupt())) == 130
    assert ended(raising(PermissionError(errno.EACCES, "Permission denied", "/there"))) == 2
    assert ended(raising(UserError("frames: is odd; give an even number"))) == 2
    (tmp_path / "file").touch()
    assert ended(lambda: check_writable(tmp_path / "file" / "folder")) == 2
    interrupted, denied, mistake, no_folder = capsys.readouterr().err.splitlines()
    assert interrupted.endswith("interrupted") and "/there: Permission denied" in denied
    assert mistake.endswith(": frames: is odd; give an even number")
    assert f"{tmp_path / 'file' / 'folder'}: Not a directory" in no_folder


def test_running_out_of_something_is_one_line_and_a_failure(capsys: pytest.CaptureFixture[str]) -> None:
    for error in (OSError(errno.ENOSPC, "No space left on device", "/there"), MemoryError(), OSError(errno.EMFILE, "")):
        assert ended(raising(error)) == 1
    full, memory, files = capsys.readouterr().err.splitlines()
    assert full.endswith(": the disk is full: free some space (/there)")
    assert "not enough memory" in memory and "too many files" in files


def test_the_files_of_what_failed_are_closed_before_the_line(tmp_path: Path) -> None:
    """Without a free file handle even a line may need one."""
    kept: list[int] = []

    def main() -> int:
        file = open(tmp_path / "file", "w")  # noqa: SIM115 (the point: nobody closes it)
        kept.append(file.fileno())
        raise OSError(errno.EMFILE, "Too many open files")

    assert ended(main) == 1
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(kept[0])


def test_other_errors_are_the_programs_own() -> None:
    for error in (ValueError("a bug"), OSError("no file at all"), OSError(errno.EINVAL, "a bug", "/there")):
        with pytest.raises(type(error)):
            run(raising(error))


def test_a_folder_that_can_be_written_is_left_as_it_is(tmp_path: Path) -> None:
    check_writable(tmp_path / "a" / "b")
    assert list(tmp_path.iterdir()) == []


def test_wrong_options_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    parser = Parser(prog="it")
    parser.add_argument("--count", type=int)
    with pytest.raises(SystemExit) as end:
        parser.parse_args(["--count", "x"])
    assert end.value.code == 2
    assert capsys.readouterr().err == "it: argument --count: invalid int value: 'x'\n"


@pytest.mark.parametrize("words", [["--run", ""], ["--run="], ["--run", " "], ["--go", "--run", ""], ["x", ""]])
def test_nothing_may_be_given_empty(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """As by a shell variable that was never set."""
    parser = Parser(prog="it")
    parser.add_argument("--run")
    parser.add_argument("--go", action="store_true")
    parser.add_argument("rest", nargs="*")
    with pytest.raises(SystemExit) as end:
        parser.parse_args(words)
    named = "an argument" if words[0] == "x" else "--run"
    assert end.value.code == 2
    assert capsys.readouterr().err == f"it: {named} is empty; give it a value, or leave it out\n"
    assert parser.parse_args(["--run", "x", "y"]).run == "x"


def test_every_command_has_this_parser() -> None:
    """But two that are programs of their own, and one that only a run starts."""
    alone = {"benchmarks/plain_dqn.py", "benchmarks/sb3_dqn.py", "training/worker.py", "tracking/command.py"}
    root = Path(__file__).resolve().parents[2]
    parts = {path: path.relative_to(root).parts for path in root.rglob("*.py")}
    sources = (path for path, its in parts.items() if "tests" not in its and not any(p.startswith(".") for p in its))
    made = re.compile(r"argparse\.ArgumentParser\(|\(argparse\.ArgumentParser\)")
    found = {str(path.relative_to(root)) for path in sources if made.search(path.read_text())}
    assert found == alone


@pytest.mark.parametrize("value", ["pong, " * 10_000, "runs\n/mine", "a\x00b\x1b[2J"])
def test_a_mistake_is_one_line_whatever_value_it_quotes(value: str) -> None:
    said = str(UserError(f"stream.games: is {value}"))
    assert said.startswith("stream.games: is ") and said.isprintable() and len(said) < 1100
