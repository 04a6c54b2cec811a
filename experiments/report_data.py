"""Reads what finished, stopped and running runs have left in their directories.

Axes: G games, E evaluations. Frames are environment frames. Nothing is written, and no lock is needed.
"""

from __future__ import annotations

import csv
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from configs.schema import Config
from configs.settings import flat
from evaluation.table import read_evaluations
from evaluation.tasks import read_changes, visits
from tracking.run_directory import RunDirectory

Series = tuple[np.ndarray, np.ndarray]
"""Frames, int64 [N], and values, float64 [N]; without the moments at which there was none."""

_KEPT_METRICS = ("consolidation/", "learning/", "inference/", "task/count")


class ReportError(Exception):
    """What is wrong with the input, in a sentence for the user."""


@dataclass(frozen=True)
class Run:
    """One run, as far as it has come.

    settings   its configuration, {dotted name: value}; with the defaults of settings that its time did not have
    games      names of G games in the order of its evaluations
    frames     int64 [E], moments of the evaluations
    scores     float64 [G, E], mean returns; random and human: float64 [G], reference scores
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
    for needed in (run.config, run.tasks):
        if not needed.is_file():
            raise ReportError(f"{path} holds no run: it has no {needed.name}")
    try:
        return _read(path, run)
    except (ValueError, LookupError, TypeError, AttributeError, OSError, csv.Error, yaml.YAMLError) as error:
        raise ReportError(f"{path} cannot be read: {' '.join(str(error).split())}") from error


def _read(path: Path, run: RunDirectory) -> Run:
    rows = read_evaluations(run.evaluations) if run.evaluations.is_file() else []
    if not rows:
        raise ReportError(f"{path} has no evaluations yet")
    games = tuple(dict.fromkeys(row["game"] for row in rows))
    score = {(row["game"], row["frames"]): float(row["mean"]) for row in rows}
    frames = [at for at in sorted({at for _, at in score}) if all((game, at) in score for game in games)]
    if not frames:
        raise ReportError(f"{path} has no moment at which all of {', '.join(games)} were evaluated")
    reference = {row["game"]: (row["random"], row["human"]) for row in rows}
    status = run.read_status() or {}
    end = max(status.get("frames", 0), frames[-1])
    played = visits(read_changes(run.tasks), end)
    if not played:
        raise ValueError(f"{run.tasks.name} is empty")
    random, human = np.array([reference[game] for game in games], np.float64).T
    return Run(
        path=path,
        settings={**flat(asdict(Config())), **flat(yaml.safe_load(run.config.read_text()))},
        games=games,
        frames=np.array(frames, np.int64),
        scores=np.array([[score[game, at] for at in frames] for game in games], np.float64),
        random=random,
        human=human,
        visits=tuple((games.index(game), start, stop) for game, start, stop in played),
        metrics=_read_metrics(run.metrics),
        confusion=_read_confusion(run.confusion),
        status=status,
    )


def _read_metrics(path: Path) -> dict[str, Series]:
    """The numbers of metrics.jsonl that a report shows. The last line of a run under way may be incomplete."""
    points: dict[str, list[tuple[int, float]]] = {}
    if path.is_file():
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
    if not path.is_file():
        return {}
    with open(path, newline="") as file:
        return {
            row["game"]: {
                int(name.removeprefix("task ")): int(count)
                for name, count in row.items()
                if name != "game" and int(count) > 0
            }
            for row in csv.DictReader(file)
        }
