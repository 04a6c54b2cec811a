"""Reads what finished, stopped and running runs have left in their directories, and sorts runs into agents.

Axes: G games, E evaluations. Frames are environment frames. Nothing is written, and no lock is needed.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from evaluation.figure import read_evaluations
from evaluation.tasks import read_changes
from tracking.run_directory import RunDirectory

Series = tuple[np.ndarray, np.ndarray]
"""Frames, int64 [N], and values, float64 [N]; without the moments at which there was none."""

# Runs that differ in these alone are runs of one agent: the seed, and what changes nothing that is learned.
_NOT_THE_AGENT = ("seed", "threads", "emulators.threads", "emulators.rom_dir")
_KEPT_METRICS = ("consolidation/", "learning/", "inference/", "task/count")


class ReportError(Exception):
    """What is wrong with the input, in a sentence for the user."""


@dataclass(frozen=True)
class Run:
    """One run, as far as it has come.

    settings   its configuration, {dotted name: value}
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


@dataclass(frozen=True)
class Agent:
    """Runs that have the same configuration but for the seed, by seed."""

    name: str
    runs: tuple[Run, ...]


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
    except (ValueError, KeyError, TypeError, yaml.YAMLError) as error:
        raise ReportError(f"{path} cannot be read: {' '.join(str(error).split())}") from error


def _read(path: Path, run: RunDirectory) -> Run:
    rows = read_evaluations(run.evaluations) if run.evaluations.is_file() else []
    if not rows:
        raise ReportError(f"{path} has no evaluations yet")
    games = tuple(dict.fromkeys(row["game"] for row in rows))
    score = {(row["game"], row["frames"]): float(row["mean"]) for row in rows}
    frames = [at for at in sorted({at for _, at in score}) if all((game, at) in score for game in games)]
    reference = {row["game"]: (row["random"], row["human"]) for row in rows}
    status = run.read_status() or {}
    end = max(status.get("frames", 0), frames[-1])
    random, human = np.array([reference[game] for game in games], np.float64).T
    return Run(
        path=path,
        settings=_flat(yaml.safe_load(run.config.read_text())),
        games=games,
        frames=np.array(frames, np.int64),
        scores=np.array([[score[game, at] for at in frames] for game in games], np.float64),
        random=random,
        human=human,
        visits=tuple(_visits(read_changes(run.tasks), games, end)),
        metrics=_read_metrics(run.metrics),
        confusion=_read_confusion(run.confusion),
        status=status,
    )


def _visits(changes: Sequence[Mapping[str, Any]], games: Sequence[str], end: int) -> Iterator[tuple[int, int, int]]:
    """The stretches of one game in the lines of tasks.csv, which also tell changes of task."""
    starts = [one for i, one in enumerate(changes) if i == 0 or one["game"] != changes[i - 1]["game"]]
    if not starts:
        raise ValueError("tasks.csv is empty")
    for one, stop in zip(starts, [*(each["frames"] for each in starts[1:]), end], strict=True):
        yield games.index(one["game"]), one["frames"], stop


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


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return flat


# -- agents ---------------------------------------------------------------------------------------------------------


def agent_settings(run: Run) -> dict[str, Any]:
    """The configuration without what may differ between the runs of one agent."""
    return {name: value for name, value in run.settings.items() if name not in _NOT_THE_AGENT}


def group(runs: Sequence[Run]) -> tuple[Agent, ...]:
    """Runs of the same configuration but for the seed, in the order of their first; ReportError for two of one seed.

    An agent's name is that of its first run's directory without the trailing seed (`-3`, `-seed3`). Where two agents
    would have one name, each keeps the whole name of the directory, and if need be of the one above it.
    """
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(json.dumps(agent_settings(run), sort_keys=True, default=str), []).append(run)
    members = [sorted(its, key=lambda run: run.seed) for its in groups.values()]
    for its in members:
        for one, other in zip(its, its[1:], strict=False):
            if one.seed == other.seed:
                raise ReportError(f"{one.path} and {other.path} are the same run: configuration and seed are equal")
    paths = [its[0].path.absolute() for its in members]
    whole = [path.name for path in paths]
    names = _distinct(_distinct([_stem(name) for name in whole], whole), [str(Path(*p.parts[-2:])) for p in paths])
    return tuple(Agent(name, tuple(its)) for name, its in zip(names, members, strict=True))


def _stem(name: str) -> str:
    return re.sub(r"-(seed)?\d+$", "", name) or name


def _distinct(names: Sequence[str], others: Sequence[str]) -> list[str]:
    """`names`, with those that repeat replaced."""
    return [other if names.count(name) > 1 else name for name, other in zip(names, others, strict=True)]


def differences(agents: Sequence[Agent]) -> dict[str, list[Any]]:
    """{setting: its value in each agent} of the settings in which agents differ."""
    each = [agent_settings(agent.runs[0]) for agent in agents]
    names = dict.fromkeys(name for one in each for name in one)
    values = {name: [one.get(name) for one in each] for name in names}
    return {name: its for name, its in values.items() if any(value != its[0] for value in its)}


# -- everything -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Material:
    """All that a report is made of. `agents` have all played the same games; `single`: {game: runs of it alone}, of
    these games only; `unused`: directories of single-game runs of other games."""

    games: tuple[str, ...]
    random: np.ndarray
    human: np.ndarray
    agents: tuple[Agent, ...]
    single: dict[str, tuple[Run, ...]]
    unused: tuple[Path, ...]


def read_material(paths: Sequence[Path], single_paths: Sequence[Path]) -> Material:
    """What is in these run directories; a run of one game counts as a single-game run wherever it is named.
    ReportError says what does not fit together."""
    given = [read_run(path) for path in paths]
    alone = [read_run(path) for path in single_paths]
    for run in alone:
        if len(run.games) > 1:
            raise ReportError(f"--single {run.path} plays {len(run.games)} games: {', '.join(run.games)}")
    alone += [run for run in given if len(run.games) == 1]
    several = [run for run in given if len(run.games) > 1]
    if not several:
        raise ReportError("none of the runs plays several games, and there is nothing to remember with one")
    first = several[0]
    for run in several:
        if set(run.games) != set(first.games):
            raise ReportError(
                f"games are mixed: {first.path} plays {', '.join(first.games)}, {run.path} plays {', '.join(run.games)}"
            )
    several = [_in_order(run, first.games) for run in several]
    group(alone)  # refuses the same run twice
    return Material(
        games=first.games,
        random=first.random,
        human=first.human,
        agents=group(several),
        single={game: found for game in first.games if (found := tuple(r for r in alone if r.games == (game,)))},
        unused=tuple(run.path for run in alone if run.games[0] not in first.games),
    )


def _in_order(run: Run, games: tuple[str, ...]) -> Run:
    """`run` with its games in this order, which seeds may change."""
    rows = [run.games.index(game) for game in games]
    visits = tuple((rows.index(game), start, end) for game, start, end in run.visits)
    kept = {name: getattr(run, name) for name in ("path", "settings", "frames", "metrics", "confusion", "status")}
    return Run(
        games=games, scores=run.scores[rows], random=run.random[rows], human=run.human[rows], visits=visits, **kept
    )
