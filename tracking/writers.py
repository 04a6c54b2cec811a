"""Where numbers go. Only `train.py` writes; the parts return their metrics.

**The law of stop and resume.** The state of a writer is the length of its files. Loading it cuts the files to
that length and removes those made since, so that a resumed run's logs have every point once, even after a
kill; what is written next goes on from there. The state names files relative to the writer's own place:
loading it elsewhere cuts nothing there but removes what the state does not know. Constructors touch no file;
`clear` (nothing was saved yet: the run starts again) removes the files.

**Scalars named `time/…` are clock readings.** All others are bit for bit the same whether a run was stopped
or not.
"""

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from tracking.append_file import AppendFile
from tracking.tensorboard import TensorBoardWriter

__all__ = ["CsvWriter", "JsonLinesWriter", "NullWriter", "TensorBoardWriter", "Writer", "Writers"]


class Writer(Protocol):
    """A place for numbers, pictures and words, each at an environment frame."""

    def write(self, frame: int, scalars: Mapping[str, float]) -> None: ...

    def image(self, frame: int, name: str, image: np.ndarray) -> None:
        """`image`: uint8 [H, W] or [H, W, 3]."""

    def text(self, frame: int, name: str, text: str) -> None: ...

    def flush(self) -> None: ...

    def close(self) -> None: ...

    def clear(self) -> None: ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None: ...


class NullWriter:
    """Writes nothing."""

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
        """The same writers in the same order as those whose state it is."""
        for writer, its in zip(self._writers, state["writers"], strict=True):
            writer.load_state_dict(its)


class _OneFile:
    """What writers of a single growing file share: its life and its state."""

    def __init__(self, path: Path) -> None:
        self._file = AppendFile(path)

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.close()

    def clear(self) -> None:
        self._file.truncate(0)

    def state_dict(self) -> dict[str, Any]:
        return {"bytes": self._file.size()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._file.truncate(state["bytes"])


class JsonLinesWriter(_OneFile):
    """One JSON object per call: {"frame": …, name: value, …}. NaN and infinities, which JSON lacks, become
    null.

    Texts are lines of the same kind; images are left out.
    """

    def write(self, frame: int, scalars: Mapping[str, float]) -> None:
        self._line({"frame": frame, **{name: _number(value) for name, value in scalars.items()}})

    def image(self, frame: int, name: str, image: np.ndarray) -> None:
        pass

    def text(self, frame: int, name: str, text: str) -> None:
        self._line({"frame": frame, name: text})

    def _line(self, content: Mapping[str, object]) -> None:
        self._file.write(json.dumps(content, ensure_ascii=False, allow_nan=False).encode() + b"\n")


class CsvWriter(_OneFile):
    """A table with these columns: a header, then a row per call; for results with words in them
    (evaluations)."""

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        super().__init__(path)
        self.columns = tuple(columns)

    def write(self, row: Mapping[str, object]) -> None:
        """Append a row and flush it; a column it lacks stays empty, one the table lacks is a ValueError."""
        text = io.StringIO()
        table = csv.DictWriter(text, self.columns, lineterminator="\n")
        if self._file.size() == 0:
            table.writeheader()
        else:
            self._check_header()
        table.writerow(row)
        self._file.write(text.getvalue().encode())
        self._file.flush()

    def _check_header(self) -> None:
        with open(self._file.path, newline="") as file:
            header = next(csv.reader(file))
        if tuple(header) != self.columns:
            raise ValueError(f"{self._file.path} has the columns {','.join(header)}, not {','.join(self.columns)}")


def _number(value: float) -> float | int | None:
    """A JSON number for a Python, numpy or tensor scalar."""
    if isinstance(value, int):
        return value
    number = float(value)
    return number if math.isfinite(number) else None
