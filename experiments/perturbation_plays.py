"""The plays of an audit, kept as each of them ends: one that was interrupted goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from evaluation.play import GameResult
from tracking.files import write_text

FILE = "plays.jsonl"


class KeptPlays:
    """Plays by name, in a file of a folder: a line that says what audit they are of, and a line per play."""

    def __init__(self, folder: Path, audit: Mapping[str, Any]) -> None:
        """audit: what the plays depend on, as JSON can hold it. ValueError with one sentence if the folder holds plays
        of another one. Nothing is written before the first play."""
        self._path = folder / FILE
        self._lines = _whole_lines(self._path) or [dict(audit)]
        if self._lines[0] != audit:
            raise ValueError(f"--out: {folder} holds the plays of another audit; name another folder")
        self._plays = {line["name"]: _result(line["play"]) for line in self._lines[1:]}

    def __call__(self, name: str, play: Callable[[], GameResult]) -> GameResult:
        """What is kept under this name, else what `play` returns, which is kept."""
        if name not in self._plays:
            self._plays[name] = play()
            self._lines.append({"name": name, "play": asdict(self._plays[name])})
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_text(self._path, "".join(json.dumps(line) + "\n" for line in self._lines))
        return self._plays[name]


def is_free(folder: Path, audit: Mapping[str, Any]) -> bool:
    """Whether the folder holds nothing of another audit."""
    lines = _whole_lines(folder / FILE)
    return lines[0] == audit if lines else not folder.exists()


def _whole_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def _result(play: Mapping[str, Any]) -> GameResult:
    return GameResult(**{**play, "returns": tuple(play["returns"]), "lengths": tuple(play["lengths"])})
