"""Finished runs of permuted MNIST's figures, one JSON line each, so that a command goes on where it was stopped."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Record = dict[str, Any]


@dataclass(frozen=True)
class Runs:
    """The lines of `path`; None: nothing is kept."""

    path: Path | None

    def get(self, what: Record, compute: Callable[[Path | None], Record]) -> Record:
        """The kept run that `what` describes: the line that agrees with it in all of its entries.

        Else `what` with the result of `compute` and the seconds it took, of the clock and of the processor; the line is
        added. `compute` is given a file beside `path` for what it does not want to lose when it is stopped; the times
        are of the last start then.
        """
        for line in self._lines():
            if all(line.get(name) == value for name, value in what.items()):
                return line
        unfinished = self.path and self.path.with_suffix(f".{_digest(what)}.pt")
        begin, processor = time.perf_counter(), time.process_time()
        found = compute(unfinished)
        seconds = {"seconds": time.perf_counter() - begin, "cpu_seconds": time.process_time() - processor}
        line = json.loads(json.dumps(what | found | {name: round(value) for name, value in seconds.items()}))
        if self.path:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a+b") as file:
                torn = file.tell() and self.path.read_bytes()[-1:] != b"\n"
                file.write(b"\n" * bool(torn) + json.dumps(line).encode() + b"\n")
        if unfinished:
            unfinished.unlink(missing_ok=True)
        return line

    def _lines(self) -> list[Record]:
        if self.path is None or not self.path.exists():
            return []
        found = []
        for line in self.path.read_text().splitlines():
            with suppress(ValueError):  # what was written when the disk was full
                found.append(json.loads(line))
        return found


def _digest(what: Record) -> str:
    return hashlib.sha256(json.dumps(what).encode()).hexdigest()[:12]
