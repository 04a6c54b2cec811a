"""The folder of one evaluation's results: whose they are, and what is written."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from evaluation import kept
from evaluation.kept import Kept
from evaluation.moments import Asked
from evaluation.playable import Playable
from evaluation.plots import save
from evaluation.score_figure import draw_scores
from evaluation.story import Records
from evaluation.video import Show, film, film_of
from tracking.command import check_writable
from tracking.files import numbered, write_text
from tracking.run_directory import RunDirectory
from tracking.task_log import read_changes

_PLAYS = "plays.jsonl"  # every game as it was played


@dataclass(frozen=True, slots=True)
class Question:
    """What was asked, and of which weights: the digests of the snapshots."""

    settings: dict[str, Any]
    weights: list[str]

    @classmethod
    def of(cls, asked: Asked, playable: Playable) -> Question:
        """That of these snapshots."""
        return cls(asdict(asked), [sha256(path.read_bytes()).hexdigest() for path in playable.snapshots])


def choose_folder(named: Path | None, run_dir: Path | None, question: Question) -> Path | None:
    """The one named, or the run's evaluation, evaluation-2, ..., whichever holds no other question's results; it is
    made, and this question's from then on. None if there is neither a name nor a run. ValueError with one sentence if
    the one named holds others."""
    if named is not None:
        if named.is_file():
            raise ValueError(f"--output: {named} is a file; name a folder")
        check_writable(named)
        if not _claimed(named, question):
            raise ValueError(f"--output: {named} holds the results of other settings or weights; name another folder")
        return named
    if run_dir is None:
        return None
    return next(folder for folder in numbered(run_dir / "evaluation") if _claimed(folder, question))


def _claimed(folder: Path, question: Question) -> bool:
    """Whether the folder is this question's, and is from now on; older ones have no plays, but scores."""
    plays = folder / _PLAYS
    if not plays.exists():
        try:
            if json.loads((folder / "scores.json").read_text())["settings"] != question.settings:
                return False
        except FileNotFoundError:
            pass
        except (OSError, ValueError, KeyError, TypeError):
            return False
    return kept.claim(plays, asdict(question))


class Results:
    """Keeps every game in `folder` as it is played, and writes files of all; folder None: keeps and writes nothing."""

    def __init__(self, folder: Path | None, question: Question) -> None:
        self.folder = folder
        self.plays = Kept(folder and folder / _PLAYS, asdict(question))
        self._settings = question.settings

    def film(self, moment: str) -> Show | None:
        """Writes the pictures of a moment's games."""
        return film(self._films(moment)) if self.folder else None

    def filmed(self, moment: str, game: str) -> bool:
        """Whether there is a film of it."""
        return self.folder is not None and film_of(self._films(moment), game).is_file()

    def _films(self, moment: str) -> Path:
        assert self.folder is not None
        return self.folder / "videos" / moment

    def write(self, reports: Sequence[Any], rows: Sequence[dict[str, Any]], run_dir: Path | None) -> list[Path]:
        """scores.json and scores.csv and, of several moments, scores.png; which files were written."""
        if self.folder is None:
            return []
        self.folder.mkdir(parents=True, exist_ok=True)
        written = [self.folder / "scores.json", self.folder / "scores.csv"]
        write_text(written[0], json.dumps({"settings": self._settings, "moments": reports}, indent=1))
        write_text(written[1], _csv(rows))
        if len(reports) > 1:
            written.append(self.folder / "scores.png")
            save(draw_scores([Records("this run", list(rows), _changes(run_dir))]), written[-1])
        return written


def _csv(rows: Sequence[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _changes(run_dir: Path | None) -> list[dict[str, Any]]:
    """Of task, as far as the run's files tell them."""
    try:
        return read_changes(RunDirectory(run_dir).task_changes) if run_dir else []
    except (OSError, KeyError, ValueError, TypeError):
        return []
