"""What is printed for a person: it may get lost, and never ends a command.

Terminals are closed, `head` and `tee` end before what writes to them, logs fill disks. A program that computes for
hours goes on all the same. What is printed for another program (`--json`) has to arrive: `print_json`.
"""

import errno
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO, cast

_READER_GONE = (errno.EPIPE, errno.EIO, errno.ENXIO)  # of a pipe, of a terminal


class Unfailing:
    """A text stream whose failures to write are never raised; `lost` is the errno of the last (0: the stream was
    closed), None before. Characters that its encoding lacks become question marks."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.lost: int | None = None  # no exception: its traceback would hold the frames of all who print

    def write(self, text: str) -> int:
        """Write what can be written; returns the length of `text`."""
        try:
            self.stream.write(text)
        except UnicodeEncodeError:
            self.write(_replaced(text, self.stream.encoding))
        except (OSError, ValueError) as error:
            self.lost = getattr(error, "errno", None) or 0
        return len(text)

    def flush(self) -> None:
        try:
            self.stream.flush()
        except (OSError, ValueError) as error:
            self.lost = getattr(error, "errno", None) or 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


@contextmanager
def unfailing_output() -> Iterator[None]:
    """Within it, sys.stdout and sys.stderr are `Unfailing`, also where they were closed. Afterwards a line on stderr
    says if something on stdout is lost that someone may still want to read."""
    _occupy_standard_descriptors()
    before = sys.stdout, sys.stderr
    opened = [open(os.devnull, "w") for stream in before if stream is None]  # noqa: SIM115 (closed below)
    rest = iter(opened)
    out, err = (Unfailing(stream if stream is not None else next(rest)) for stream in before)
    sys.stdout, sys.stderr = cast(TextIO, out), cast(TextIO, err)
    try:
        yield
    finally:
        out.flush()
        if out.lost and out.lost not in _READER_GONE:
            print(f"not everything could be printed: {os.strerror(out.lost)}", file=err)
        err.flush()
        for stream in (out, err):
            if stream.lost is not None:
                _let_go(stream)
        sys.stdout, sys.stderr = before
        for file in opened:
            file.close()


def print_json(result: object) -> None:
    """One JSON object as a line of its own, for another program: OSError if it does not arrive."""
    out = sys.stdout.stream if isinstance(sys.stdout, Unfailing) else sys.stdout
    print(json.dumps(result), file=out, flush=True)


def _occupy_standard_descriptors() -> None:
    """Open what is closed of 0, 1 and 2, so that no file of the program's gets the number, and with it what a library
    prints."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)


def _replaced(text: str, encoding: str) -> str:
    return text.encode(encoding, "replace").decode(encoding)


def _let_go(stream: Unfailing) -> None:
    """What is still in the buffer goes nowhere, lest Python complain of it on its way out."""
    try:
        descriptor = stream.fileno()
    except (OSError, ValueError):
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)
