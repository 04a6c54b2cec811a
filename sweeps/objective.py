"""What a search maximises: a number for every evaluation of a run, read from its table while the run goes on."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from evaluation.play import clipped_total


def evaluations(path: Path, goal: str, games: int) -> list[tuple[int, float]]:
    """[(frames, value)] of every evaluation of `games` games in an evaluations.csv, in order; of that at the run's
    start, which no setting has had a part in, there is none. One that is still being written is left out."""
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError):
        return []
    scores: dict[int, list[float]] = {}
    for row in csv.DictReader(io.StringIO(text.rpartition("\n")[0])):
        try:
            scores.setdefault(int(row["frames"]), []).append(float(row["human_normalised"]))
        except (KeyError, TypeError, ValueError):  # damaged; a resume of the run mends it
            break
    whole = {frames: found for frames, found in scores.items() if frames > 0 and len(found) == games}
    return [(frames, value_of(goal, whole[frames])) for frames in sorted(whole)]


def value_of(goal: str, scores: Sequence[float]) -> float:
    """The number that a search with this goal maximises, from the human-normalised scores of all games."""
    return clipped_total(scores) if goal == "clipped_total" else sum(scores) / len(scores)
