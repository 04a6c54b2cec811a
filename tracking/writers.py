"""Where numbers go. Only `train.py` writes; the parts return their metrics.

**The law of stop and resume.** The state of a writer is the length of its files; of a table also what it holds, of
metrics also a digest. Loading it cuts the files to that length and removes those made since, so that a resumed run's
logs have every point once, even after a kill; what is written next goes on from there. A file that is not what the
state says is kept beside, and told of. The state names files relative to the writer's own place: loading it elsewhere
cuts nothing there but removes what the state does not know. Constructors touch no file; `clear` (nothing was saved
yet: the run starts again) removes the files.

**Scalars whose names begin as in `metrics.CLOCKS` are clock readings.** All others are bit for bit the
same whether a run was stopped or not.
"""

import csv
import hashlib
import io
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from tracking.append_file import AppendFile, tell
from tracking.tensorboard import TensorBoardWriter

__all__ = ["CsvWriter", "JsonLinesWriter", "NullWriter", "TensorBoardWriter", "Writer", "Writers"]


class Writer(Protocol):
    """A place for numbers, pictures and words, each at an environment frame."""

    def write(self, frame: int, scalars: Mapping[str, float]) -> None:
        """{name: number} at environment frame `frame`."""

    def image(self, frame: int, name: str, image: np.ndarray) -> None:
        """`image`: uint8 [H, W] or [H, W, 3]."""

    def text(self, frame: int, name: str, text: str) -> None:
        """`text` is Markdown, such as a table."""

    def flush(self) -> None:
        """Hand everything to the operating system, so that others can read it."""

    def close(self) -> None:
        """Let go of the files; writing opens them again."""

    def clear(self) -> None:
        """Remove the files: nothing was saved yet, and the run starts again."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None: ...


class NullWriter:
    """Writes nothing anywhere: the null object of `Writer`."""

    def write(self, frame: int, scalars: Mapping[str, float]) -> None:
        pass

    def image(self, frame: int, name: str, image: np.ndarray) -> None:
        pass

    def text(self, frame: int, name: str, text: str) -> None:
        pass

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass

    def clear(self) -> None:
        pass

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        pass


class Writers:
    """Several writers as one."""

    def __init__(self, writers: Sequence[Writer]) -> None:
        self._writers = tuple(writers)

    def write(self, frame: int, scalars: Mapping[str, float]) -> None:
        for writer in self._writers:
            writer.write(frame, scalars)

    def image(self, frame: int, name: str, image: np.ndarray) -> None:
        for writer in self._writers:
            writer.image(frame, name, image)

    def text(self, frame: int, name: str, text: str) -> None:
        for writer in self._writers:
            writer.text(frame, name, text)

    def flush(self) -> None:
        for writer in self._writers:
            writer.flush()

    def close(self) -> None:
        for writer in self._writers:
            writer.close()

    def clear(self) -> None:
        for writer in self._writers:
            writer.clear()

    def state_dict(self) -> dict[str, Any]:
        return {"writers": [writer.state_dict() for writer in self._writers]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The same writers in the same order as those whose state it is; one at the end that is new begins with what
        comes, and one that is missing is forgotten."""
        for writer, its in zip(self._writers, state["writers"], strict=False):
            writer.load_state_dict(its)


class JsonLinesWriter:
    """One JSON object per call: {"frame": …, name: value, …}. NaN and infinities, which JSON lacks, become
    null.

    Texts are lines of the same kind; images are left out. Nothing is read from the file again, so a resume goes on
    without what was lost of it: the lines that are intact.
    """

    def __init__(self, path: Path) -> None:
        self._file = AppendFile(path)
        self._frame = 0  # of the last line

    def write(self, frame: int, scalars: Mapping[str, float]) -> None:
        self._line({"frame": frame, **{name: _number(value) for name, value in scalars.items()}})

    def image(self, frame: int, name: str, image: np.ndarray) -> None:
        pass

    def text(self, frame: int, name: str, text: str) -> None:
        self._line({"frame": frame, name: text})

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.close()

    def clear(self) -> None:
        self._file.truncate(0)

    def state_dict(self) -> dict[str, Any]:
        return {"bytes": self._file.size(), "sha256": self._file.sha256(), "frame": self._frame}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._frame = state["frame"]
        if self._file.begins_with(state["bytes"], state["sha256"]):
            self._file.truncate(state["bytes"])
            return
        lines = [line for line in self._file.read().split(b"\n") if _intact(line, self._frame)]
        aside = self._file.replace(b"".join(line + b"\n" for line in lines))
        found = f"is altered: it is kept as {aside.name}" if aside else "is missing"
        tell(f"{self._file.path} {found}; the run goes on with the {len(lines):,} lines of it that can be read")

    def _line(self, content: Mapping[str, Any]) -> None:
        self._frame = content["frame"]
        self._file.write(json.dumps(content, ensure_ascii=False, allow_nan=False).encode() + b"\n")


class CsvWriter:
    """A table with these columns: a header, then a row per call; for results with words in them
    (evaluations).

    The whole table is part of the state, as it is read again during a run and small: whatever becomes of the file,
    a resume has what was written.
    """

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self._file = AppendFile(path)
        self.columns = tuple(columns)
        self._known: bytearray | None = None

    def write(self, row: Mapping[str, object]) -> None:
        """Append a row and flush it; a column it lacks stays empty, one the table lacks is a ValueError."""
        written, text = self._written(), io.StringIO()
        table = csv.DictWriter(text, self.columns, lineterminator="\n")
        if not written:
            table.writeheader()
        table.writerow(row)
        data = text.getvalue().encode()
        self._file.write(data)
        self._file.flush()
        written += data

    def text(self) -> str:
        """The table as it was written, whatever has become of the file since."""
        return self._written().decode()

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.close()

    def clear(self) -> None:
        self._known = bytearray()
        self._file.truncate(0)

    def state_dict(self) -> dict[str, Any]:
        self._file.size()
        return {"text": self.text()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        content = state["text"].encode()
        self._known = bytearray(content)
        if self._file.begins_with(len(content), hashlib.sha256(content).hexdigest()):
            self._file.truncate(len(content))
            return
        aside = self._file.replace(content)
        found = f"is altered: it is kept as {aside.name}, and" if aside else "is missing:"
        tell(f"{self._file.path} {found} what the checkpoint knows of it is written again")

    def _written(self) -> bytearray:
        """Everything in the table; ValueError if the file that was there is another one."""
        if self._known is None:
            known = self._file.read()
            header = next(csv.reader(known.decode().splitlines()), None)
            if header is not None and tuple(header) != self.columns:
                raise ValueError(f"{self._file.path} has the columns {','.join(header)}, not {','.join(self.columns)}")
            self._known = bytearray(known)
        return self._known


def _intact(line: bytes, frame: int) -> bool:
    """Whether it is a line of metrics up to this frame."""
    try:
        content = json.loads(line)
        return isinstance(content, dict) and 0 <= content["frame"] <= frame
    except (ValueError, KeyError, TypeError, RecursionError):
        return False


def _number(value: float) -> float | int | None:
    """A JSON number for a Python, numpy or tensor scalar."""
    if isinstance(value, int):
        return value
    number = float(value)
    return number if math.isfinite(number) else None
