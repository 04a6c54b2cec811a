"""A file that only grows, and can be cut back to where it was."""

import os
import warnings
from pathlib import Path
from typing import IO


class AppendFile:
    """Bytes appended to `path`, which the first write opens or makes; what is there already stays."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._file: IO[bytes] | None = None

    def write(self, data: bytes) -> int:
        """Append; returns the length of data. It may stay in memory until `flush`."""
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = open(self.path, "ab")  # noqa: SIM115 (open until close)
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
        return self.path.stat().st_size if self.path.exists() else 0

    def truncate(self, size: int) -> None:
        """Cut the file to `size` bytes, and remove it at 0. A file that lacks some of them stays as it is,
        with a warning: someone has changed it."""
        self.close()
        present = self.path.stat().st_size if self.path.exists() else 0
        if present < size:
            warnings.warn(
                f"{self.path} has {present} bytes, but had {size} at the checkpoint: part of this log is lost",
                stacklevel=2,
            )
        elif size > 0:
            os.truncate(self.path, size)
        else:
            self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Flush and close; a later write opens it again."""
        if self._file is not None:
            file, self._file = self._file, None
            file.close()
