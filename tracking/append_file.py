"""A file that only grows, and can be cut back to where it was."""

import hashlib
import os
import sys
from pathlib import Path
from typing import IO

from tracking.files import set_aside

_CHUNK = 1 << 20


def tell(line: str) -> None:
    """A line on standard error about a log that is not as it was left."""
    print(f"warning: {line}", file=sys.stderr, flush=True)


class AppendFile:
    """Bytes appended to `path`, which the first write opens or makes; what is there already stays."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._file: IO[bytes] | None = None
        self._hash = hashlib.sha256()  # of everything in the file, while it is open
        self._hashed = False

    def write(self, data: bytes) -> int:
        """Append; returns the length of data. It may stay in memory until `flush`."""
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if not self._hashed:
                self._hash, self._hashed = self._hash_of(self._present()), True
            self._file = open(self.path, "ab")  # noqa: SIM115 (open until close)
        self._hash.update(data)
        return self._file.write(data)

    def flush(self) -> None:
        """Let other processes see everything written."""
        if self._file is not None:
            self._file.flush()

    def size(self) -> int:
        """Bytes in the file, all of them durable; 0 if there is none."""
        if self._file is not None:
            self._file.flush()
            os.fsync(self._file.fileno())
        return self._present()

    def sha256(self) -> str:
        """Hex digest of everything written."""
        return (self._hash if self._hashed else self._hash_of(self._present())).hexdigest()

    def read(self) -> bytes:
        """Everything in the file; nothing if there is none."""
        self.flush()
        return self.path.read_bytes() if self.path.exists() else b""

    def truncate(self, size: int) -> None:
        """Cut the file to `size` bytes, and remove it at 0. A file that lacks some of them stays as it is,
        with a warning: someone has changed it."""
        self.close()
        self._hashed = False
        present = self._present()
        if present < size:
            tell(f"{self.path} has {present} bytes, but had {size} at the checkpoint: part of this log is lost")
        elif size > 0:
            os.truncate(self.path, size)
        else:
            self.path.unlink(missing_ok=True)

    def begins_with(self, size: int, sha256: str) -> bool:
        """Whether its first `size` bytes are those of this digest."""
        self.flush()
        return self._present() >= size and self._hash_of(size).hexdigest() == sha256

    def replace(self, content: bytes) -> Path | None:
        """Let the file be `content`; what was there is kept beside it, under the name returned (None: there was no
        file)."""
        self.close()
        self._hashed = False
        aside = set_aside(self.path) if self.path.exists() else None
        if content:
            self.write(content)
            self.size()
            self.close()
        return aside

    def close(self) -> None:
        """Flush and close; a later write opens it again."""
        if self._file is not None:
            file, self._file = self._file, None
            file.close()

    def _present(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def _hash_of(self, size: int) -> "hashlib._Hash":
        digest = hashlib.sha256()
        if size:
            with open(self.path, "rb") as file:
                while size and (part := file.read(min(_CHUNK, size))):
                    digest.update(part)
                    size -= len(part)
        return digest
