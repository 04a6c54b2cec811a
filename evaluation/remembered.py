"""How much of what a game had taught is still there, from a run's own records.

The *kept fraction* of a game at an evaluation is its human-normalised score over that of the last evaluation within
the game's latest visit: 1 where nothing was lost, 0 where it is played as at random. It is told of games that were left
and are not being played: the game on screen is being learned, and one whose visit ends at this very evaluation is its
own measure. Nor is it told of a game that stood below `LEARNED` when it was left, which had too little to lose.

`evaluations` are the rows of evaluations.csv and `changes` those of task_changes.csv, numbers as numbers, in the
order of the files.
"""

from __future__ import annotations

import statistics
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from typing import Any

from tracking.task_log import visits

LEARNED = 0.05  # human-normalised; a choice: the ratio of two scores near random play says nothing
SHOWN = (-1.0, 2.0)  # a game that was hardly learned and is now played far below random play would leave any chart

Row = Mapping[str, Any]
Lines = Mapping[str, tuple[list[int], list[float]]]
"""Frames and human-normalised scores of every game's evaluations, in their order."""


def kept(evaluations: Sequence[Row], changes: Sequence[Row], frames: int) -> dict[str, float]:
    """{game: kept fraction} at the evaluation made at `frames`; neither clipped above nor below."""
    return _kept(_by_game(evaluations), changes, frames)


def kept_over_time(evaluations: Sequence[Row], changes: Sequence[Row]) -> dict[int, dict[str, float]]:
    """{frames of an evaluation: `kept` there}."""
    lines = _by_game(evaluations)
    moments = dict.fromkeys(int(row["frames"]) for row in evaluations)
    return {frames: _kept(lines, changes, frames) for frames in moments}


def _by_game(evaluations: Sequence[Row]) -> Lines:
    lines: dict[str, tuple[list[int], list[float]]] = {}
    for row in evaluations:
        moments, scores = lines.setdefault(row["game"], ([], []))
        moments.append(row["frames"])
        scores.append(row["human_normalised"])
    return lines


def _kept(lines: Lines, changes: Sequence[Row], frames: int) -> dict[str, float]:
    played = visits(changes, frames)
    latest = {game: (start, stop) for game, start, stop in played[:-1] if game != played[-1][0]}
    found = {}
    for game, (moments, scores) in lines.items():
        now = bisect_left(moments, frames)
        if game not in latest or now == len(moments) or moments[now] != frames:
            continue
        start, stop = latest[game]
        within = bisect_right(moments, stop) - 1  # the last evaluation of that visit
        if within >= 0 and moments[within] > start and scores[within] >= LEARNED:
            found[game] = scores[now] / scores[within]
    return found


def mean_kept(fractions: Sequence[float]) -> float:
    """The mean of kept fractions, each clipped to [0, 1]; ValueError if there is none."""
    if not fractions:
        raise ValueError("no game was left that had learned anything")
    return statistics.fmean(min(1.0, max(0.0, fraction)) for fraction in fractions)
