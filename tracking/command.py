"""How every command ends: what a user can cause is one line and an exit code."""

import argparse
import errno
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from tracking.files import existing_part
from tracking.run_directory import BAD_INPUT

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


class Parser(argparse.ArgumentParser):
    """One whose complaints are one line, too."""

    def error(self, message: str) -> NoReturn:
        """Say it and exit with BAD_INPUT."""
        self.exit(BAD_INPUT, f"{self.prog}: {message}\n")


def run(main: Callable[[], int | None]) -> NoReturn:
    """Exit with the code of `main`; with one line if Ctrl-C ends it, a `UserError`, or a file or folder that cannot be
    used."""
    try:
        code = main() or 0
    except KeyboardInterrupt:
        code = _say("interrupted", INTERRUPTED)
    except UserError as error:
        code = _say(str(error), BAD_INPUT)
    except OSError as error:
        if error.errno not in _ABOUT_PATHS or error.filename is None:
            raise
        code = _say(f"{error.filename}: {error.strerror}; name another place, or change its rights", BAD_INPUT)
    sys.exit(code)


def whole_numbers(name: str, text: str) -> list[int]:
    """[0, 1] of "0,1", what the option `name` holds; ValueError with one sentence if it does not."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts):
        raise ValueError(f"{name}: give whole numbers such as 0,1,2, is {text}")
    return [int(part) for part in parts]


def check_writable(folder: Path) -> None:
    """Raise OSError, which `run` tells, unless files can be made in `folder`, or in what there is of its path."""
    try:
        tempfile.TemporaryFile(dir=existing_part(folder)).close()
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(folder)) from None


def _say(line: str, code: int) -> int:
    print(f"{Path(sys.argv[0]).name}: {line}", file=sys.stderr)
    return code
