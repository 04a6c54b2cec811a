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
from collections.abc import Mapping, Sequence
from typing import Any

from tracking.task_log import visits

LEARNED = 0.05  # human-normalised; a choice: the ratio of two scores near random play says nothing
SHOWN = (-1.0, 2.0)  # a game that was hardly learned and is now played far below random play would leave any chart

Row = Mapping[str, Any]


def kept(evaluations: Sequence[Row], changes: Sequence[Row], frames: int) -> dict[str, float]:
    """{game: kept fraction} at the evaluation made at `frames`; neither clipped above nor below."""
    played = visits(changes, frames)
    latest = {game: (start, stop) for game, start, stop in played[:-1] if game != played[-1][0]}
    found = {}
    for row in evaluations:
        game = row["game"]
        if row["frames"] != frames or game not in latest:
            continue
        start, stop = latest[game]
        within = [each for each in evaluations if each["game"] == game and start < each["frames"] <= stop]
        if within and within[-1]["human_normalised"] >= LEARNED:
            found[game] = row["human_normalised"] / within[-1]["human_normalised"]
    return found


def mean_kept(fractions: Sequence[float]) -> float:
    """The mean of kept fractions, each clipped to [0, 1]; ValueError if there is none."""
    if not fractions:
        raise ValueError("no game was left that had learned anything")
    return statistics.fmean(min(1.0, max(0.0, fraction)) for fraction in fractions)


def scalars(evaluations: Sequence[Row], changes: Sequence[Row], frames: int) -> dict[str, float]:
    """What there is to log of the evaluation at `frames`: kept/GAME, within `SHOWN`, which a chart can show, and
    their mean as kept_mean."""
    fractions = kept(evaluations, changes, frames)
    named = {f"kept/{game}": min(SHOWN[1], max(SHOWN[0], fraction)) for game, fraction in fractions.items()}
    return {**named, "kept_mean": mean_kept([*fractions.values()])} if fractions else {}
