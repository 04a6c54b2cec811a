"""How every command ends: what a user can cause is one line and an exit code."""

import argparse
import errno
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from tracking.console import unfailing_output
from tracking.files import existing_part, printable
from tracking.run_directory import BAD_INPUT, FAILED
from tracking.shortage import shortage

_LONGEST = 1000  # characters
INTERRUPTED = 130  # as of a process that Ctrl-C killed
_ABOUT_PATHS = (
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOENT,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.EEXIST,
    errno.ENAMETOOLONG,
)


class UserError(ValueError):
    """A mistake of the user's, as one sentence that says what is wrong and what would be right."""

    def __init__(self, sentence: str) -> None:
        """On one line, and no longer than a person reads, whatever the value is that it quotes."""
        line = printable(sentence)
        super().__init__(line if len(line) <= _LONGEST else f"{line[:_LONGEST]} ...")


def empty_option(arguments: Sequence[str]) -> str | None:
    """What is wrong if one of them is given empty, as by a shell variable that was never set; None if none is."""
    for before, word in zip(["", *arguments], arguments, strict=False):
        name, equals, value = word.partition("=")
        if not word.strip() or (name.startswith("--") and equals and not value.strip()):
            named = name if equals else before if before.startswith("--") and "=" not in before else "an argument"
            return f"{named} is empty; give it a value, or leave it out"
    return None


class Parser(argparse.ArgumentParser):
    """One whose complaints are one line, too, and that takes nothing empty."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse does; nothing may be given empty."""
        if problem := empty_option(sys.argv[1:] if args is None else args):
            self.error(problem)
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """Say it and exit with BAD_INPUT."""
        self.exit(BAD_INPUT, f"{self.prog}: {message}\n")


def run(main: Callable[[], int | None]) -> NoReturn:
    """Exit with the code of `main`; with one line if Ctrl-C ends it, a `UserError`, a file or folder that cannot be
    used, or something of which the machine has too little. What is printed meanwhile is never the end of it."""
    with unfailing_output():
        code = _code_of(main)
    sys.exit(code or 0)


def answer(main: Callable[[], int | None]) -> None:
    """The same unless `main` returns None; then there is more to do."""
    with unfailing_output():
        code = _code_of(main)
    if code is not None:
        sys.exit(code)


def _code_of(main: Callable[[], int | None]) -> int | None:
    try:
        return main()
    except KeyboardInterrupt:
        return _say("interrupted", INTERRUPTED)
    except UserError as error:
        return _say(str(error), BAD_INPUT)
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _ABOUT_PATHS and error.filename is not None:
            return _say(f"{error.filename}: {error.strerror}; name another place, or change its rights", BAD_INPUT)
        sentence = shortage(error)
        if sentence is None:
            raise
        traceback.clear_frames(error.__traceback__)  # and with them files and memory, which the line may need
        return _say(sentence, FAILED)


def check_writable(folder: Path) -> None:
    """Raise OSError, which `run` tells, unless files can be made in `folder`, or in what there is of its path."""
    try:
        tempfile.TemporaryFile(dir=existing_part(folder)).close()
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(folder)) from None


def _say(line: str, code: int) -> int:
    print(f"{Path(sys.argv[0]).name}: {line}", file=sys.stderr)
    return code
