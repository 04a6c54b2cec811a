"""The plays of an audit, kept as each of them ends: one that was interrupted goes on where it was."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from evaluation import kept
from evaluation.play import GameResult

_FILE = "plays.jsonl"


class KeptPlays:
    """Plays by name, in a file of a folder."""

    def __init__(self, folder: Path, audit: Mapping[str, Any]) -> None:
        """audit: what the plays depend on, as JSON can hold it. ValueError with one sentence if the folder holds plays
        of another one. Nothing is written before the first play."""
        self._folder, self._audit = folder, audit
        self._check(kept.is_free)
        self._kept = kept.Kept(folder / _FILE, audit)

    def __call__(self, name: str, play: Callable[[], GameResult]) -> GameResult:
        """What is kept under this name, else what `play` returns, which is kept. ValueError as above if another audit
        has taken the folder in the meantime."""
        if self._kept.get(name) is None:
            self._check(kept.claim)
            self._kept.put(name, asdict(play()))
        return GameResult.of(self._kept.get(name))

    def _check(self, ours: Callable[[Path, Mapping[str, Any]], bool]) -> None:
        if not ours(self._folder / _FILE, self._audit):
            raise ValueError(f"--out: {self._folder} holds the plays of another audit; name another folder")


def is_free(folder: Path, audit: Mapping[str, Any]) -> bool:
    """Whether the folder holds nothing of another audit."""
    return kept.is_free(folder / _FILE, audit) if (folder / _FILE).exists() else not folder.exists()
