"""Files that are either wholly there or not at all."""

import hashlib
import itertools
import os
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import IO

_SPECIAL = re.compile(r"[^\w.=+-]", flags=re.ASCII)
_LONGEST_NAME = 120


class HashedFile:
    """A new file that is hashed while it is written, and fsynced when closed.

    Leaving the context raises the first OSError of a write, which torch's serialiser hides behind its own.
    """

    def __init__(self, path: Path) -> None:
        self._file: IO[bytes] = open(path, "wb")  # noqa: SIM115 (open until exit)
        self._hash = hashlib.sha256()
        self.size = 0
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        """Append data; returns its length."""
        try:
            self._file.write(data)
        except OSError as error:
            self.error = self.error or error
            raise
        self._hash.update(data)
        self.size += len(data)
        return len(data)

    def flush(self) -> None:
        """Hand everything to the operating system."""
        self._file.flush()

    @property
    def sha256(self) -> str:
        """Hex digest of everything written so far."""
        return self._hash.hexdigest()

    def __enter__(self) -> "HashedFile":
        return self

    def __exit__(self, kind: type[BaseException] | None, _: object, __: TracebackType | None) -> None:
        try:
            if kind is None:
                self._file.flush()
                os.fsync(self._file.fileno())
        finally:
            try:
                self._file.close()
            except OSError as error:  # what the failed write left in the buffer still does not fit
                self.error = self.error or error
        if self.error is not None:
            raise self.error


def existing_part(path: Path) -> Path:
    """The longest part of the path that is there."""
    existing = path.absolute()
    while not existing.exists():
        existing = existing.parent
    return existing


def quoted(path: Path | str) -> str:
    """The path as it is typed in a shell, for commands that are advised."""
    return shlex.quote(str(path))


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` make the file under a temporary name beside `path`, then rename it; durable on return."""
    temporary = path.with_name(f".tmp-{path.name}")
    try:
        write(temporary)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    fsync_directory(path.parent)


def write_text(path: Path, text: str) -> None:
    """Replace the file by `text` (UTF-8), atomically and durably."""

    def write(temporary: Path) -> None:
        with HashedFile(temporary) as file:
            file.write(text.encode())

    write_atomically(path, write)


def numbered(first: Path) -> Iterator[Path]:
    """`first`, `first`-2, `first`-3, ..."""
    yield first
    yield from (first.with_name(f"{first.name}-{k}") for k in itertools.count(2))


def printable(text: str) -> str:
    """The text with a question mark for what cannot be shown or written, such as a byte of a name that is no letter."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def file_name(text: str) -> str:
    """What can be a file's name on any system and leads nowhere else, different for different texts."""
    plain = _SPECIAL.sub("_", text)
    plain = plain if not plain.startswith(".") else f"_{plain[1:]}"
    if plain == text and len(text) <= _LONGEST_NAME:
        return text
    return f"{plain[: _LONGEST_NAME - 9]}-{hashlib.sha256(text.encode(errors='replace')).hexdigest()[:8]}"


def set_aside(path: Path) -> Path:
    """Rename what cannot be used to NAME.damaged, or with a number after it; returns where it lies now."""
    aside = next(each for each in numbered(path.with_name(f"{path.name}.damaged")) if not each.exists())
    os.rename(path, aside)
    return aside


def fsync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
