"""Reads what finished, stopped and running runs have left in their directories.

Axes: G games, E evaluations. Frames are environment frames. Nothing is written, and no lock is needed.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from configs.checks import ConfigError
from configs.files import read_mapping
from configs.schema import Config
from configs.settings import flat
from evaluation.table import read_evaluations, whole_moments
from tracking.run_directory import RunDirectory
from tracking.task_log import read_changes, visits

Series = tuple[np.ndarray, np.ndarray]
"""Frames, int64 [N], and values, float64 [N]; without the moments at which there was none."""

_KEPT_METRICS = ("consolidation/", "learning/", "inference/", "task/count")


_ODD = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, OSError, csv.Error)
"""What a file that is not what its name says makes its reader raise."""
Content = TypeVar("Content")


class ReportError(Exception):
    """What is wrong with the input, in a sentence for the user."""


@dataclass(frozen=True)
class Run:
    """One run, as far as it has come.

    settings   its configuration, {dotted name: value}; with the defaults of settings that its time did not have
    games      names of G games in the order of its evaluations
    frames     int64 [E], moments of the evaluations
    whole      bool [E], which of them were of every game
    scores     float64 [G, E], mean returns, NaN where an evaluation was of the game just left and not of this one;
               random and human: float64 [G], reference scores
    visits     (row of the game, first frame, last frame), neighbours of one game as one visit; the last one ends where
               the run stands
    metrics    {name: series} of metrics.jsonl
    confusion  {game: {task: vector steps}}
    status     the content of status.json; empty if there is none
    """

    path: Path
    settings: dict[str, Any]
    games: tuple[str, ...]
    frames: np.ndarray
    whole: np.ndarray
    scores: np.ndarray
    random: np.ndarray
    human: np.ndarray
    visits: tuple[tuple[int, int, int], ...]
    metrics: dict[str, Series]
    confusion: dict[str, dict[int, int]]
    status: dict[str, Any]

    @property
    def seed(self) -> int:
        """The run's seed."""
        return self.settings["seed"]

    @property
    def end(self) -> int:
        """The frame at which the run stands."""
        return self.visits[-1][2]


# -- one run --------------------------------------------------------------------------------------------------------


def read_run(path: Path) -> Run:
    """The run in this directory; ReportError says what it lacks."""
    run = RunDirectory(path)
    if not path.is_dir():
        raise ReportError(f"there is no directory {path}")
    for needed in (run.config, run.task_changes):
        if not needed.is_file():
            raise ReportError(f"{path} holds no run: it has no {needed.name}")
    rows = _of(run.evaluations, read_evaluations) if run.evaluations.is_file() else []
    if not rows:
        raise ReportError(f"{path} has no evaluations yet")
    return _of(run.evaluations, lambda _: _read(path, run, rows))


def _of(file: Path, read: Callable[[Path], Content]) -> Content:
    """What a file of a run holds; ReportError names the file if it is not what runs write."""
    try:
        return read(file)
    except _ODD as error:
        said = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise ReportError(f"{file} is damaged, or was not written by a run ({said})") from error


def _read(path: Path, run: RunDirectory, rows: Sequence[Mapping[str, Any]]) -> Run:
    games = tuple(dict.fromkeys(row["game"] for row in rows))
    score = {(row["game"], row["frames"]): float(row["mean"]) for row in rows}
    frames, whole = sorted({at for _, at in score}), whole_moments(rows)
    if not whole:
        raise ReportError(f"{path} has no moment at which all of {', '.join(games)} were evaluated")
    reference = {row["game"]: (row["random"], row["human"]) for row in rows}
    status = run.read_status() or {}
    end = max(status.get("frames", 0), frames[-1])
    played = visits(_of(run.task_changes, read_changes), end)
    if not played:
        raise ReportError(f"{run.task_changes} names no game")
    confusion = _of(run.confusion, _read_confusion) if run.confusion.is_file() else {}
    for file, named in ((run.task_changes, [game for game, _, _ in played]), (run.confusion, list(confusion))):
        if strange := [game for game in named if game not in games]:
            raise ReportError(f"{file} names {strange[0]}, which the run never evaluated")
    try:
        settings = {**flat(asdict(Config())), **flat(read_mapping(run.config, "frames: 560_000"))}
    except ConfigError as error:
        raise ReportError(str(error)) from None
    if type(settings["seed"]) is not int:
        raise ReportError(f"{run.config}: seed: must be a whole number, is {settings['seed']}")
    random, human = np.array([reference[game] for game in games], np.float64).T
    return Run(
        path=path,
        settings=settings,
        games=games,
        frames=np.array(frames, np.int64),
        whole=np.isin(frames, whole),
        scores=np.array([[score.get((game, at), np.nan) for at in frames] for game in games], np.float64),
        random=random,
        human=human,
        visits=tuple((games.index(game), start, stop) for game, start, stop in played),
        metrics=_of(run.metrics, _read_metrics) if run.metrics.is_file() else {},
        confusion=confusion,
        status=status,
    )


def _read_metrics(path: Path) -> dict[str, Series]:
    """The numbers of metrics.jsonl that a report shows. The last line of a run under way may be incomplete."""
    points: dict[str, list[tuple[int, float]]] = {}
    with open(path) as file:
        for text in file:
            line = json.loads(text) if text.endswith("\n") else {}
            for name, value in line.items():
                if name.startswith(_KEPT_METRICS) and isinstance(value, int | float):
                    points.setdefault(name, []).append((line["frame"], value))
    return {
        name: (np.array([at for at, _ in its], np.int64), np.array([value for _, value in its], np.float64))
        for name, its in points.items()
    }


def _read_confusion(path: Path) -> dict[str, dict[int, int]]:
    with open(path, newline="") as file:
        return {
            row["game"]: {
                int(name.removeprefix("task ")): int(count)
                for name, count in row.items()
                if name != "game" and int(count) > 0
            }
            for row in csv.DictReader(file)
        }
