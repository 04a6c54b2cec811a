"""Sorts the runs of a report into agents and single-game runs, and says what does not fit together."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from configs.settings import MAY_CHANGE
from experiments.report.data import ReportError, Run, read_run
from tracking.files import printable

# Runs that differ in settings that begin like this alone are runs of one agent: the seed, what was decided by measuring
# on the machine, and what a resume may change.
_NOT_THE_AGENT = ("seed", "threads", "learner.precision", "learner.optimizer_code", *MAY_CHANGE)


@dataclass(frozen=True)
class Agent:
    """Runs that have the same configuration but for the seed, by seed."""

    name: str
    runs: tuple[Run, ...]


def agent_settings(run: Run) -> dict[str, Any]:
    """The configuration without what may differ between the runs of one agent."""
    return {name: value for name, value in run.settings.items() if not name.startswith(_NOT_THE_AGENT)}


def _settings_as_text(run: Run) -> str:
    """Equal for runs of one agent."""
    return json.dumps(agent_settings(run), sort_keys=True, default=str)


def group(runs: Sequence[Run]) -> tuple[Agent, ...]:
    """Runs of the same configuration but for the seed, in the order of their first; ReportError for two of one seed.

    An agent's name is that of its first run's directory without the trailing seed (`-3`, `-seed3`). Where two agents
    would have one name, each keeps the whole name of the directory, and if need be of the one above it.
    """
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(_settings_as_text(run), []).append(run)
    members = [sorted(its, key=lambda run: run.seed) for its in groups.values()]
    for its in members:
        for one, other in pairwise(its):
            if one.seed == other.seed:
                raise ReportError(f"{one.path} and {other.path} are the same run: configuration and seed are equal")
    paths = [its[0].path.absolute() for its in members]
    whole = [printable(path.name) for path in paths]
    names = _distinct(
        _distinct([_stem(name) for name in whole], whole), [printable(str(Path(*p.parts[-2:]))) for p in paths]
    )
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


def yardsticks(runs: Sequence[Run]) -> set[tuple[str, int]]:
    """The settings, and the frames at which they stand, that these runs of one game have; one, if they are alike."""
    return {(_settings_as_text(run), run.end) for run in runs}


# -- everything -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Material:
    """All that a report is made of. `agents` have all played the same games; `single`: {game: runs of it alone}, of
    these games only, and of none if `agents` play a single game themselves; `unused`: directories of single-game runs
    of other games."""

    games: tuple[str, ...]
    random: np.ndarray
    human: np.ndarray
    agents: tuple[Agent, ...]
    single: dict[str, tuple[Run, ...]]
    unused: tuple[Path, ...]


def read_material(paths: Sequence[Path], single_paths: Sequence[Path]) -> Material:
    """What is in these run directories; a run of one game counts as a single-game run wherever it is named.
    If none plays several games, they are what the report is on, and must play the same one.
    ReportError says what does not fit together."""
    given = [read_run(path) for path in paths]
    alone = [read_run(path) for path in single_paths]
    for run in alone:
        if len(run.games) > 1:
            raise ReportError(f"--single {run.path} plays {len(run.games)} games: {', '.join(run.games)}")
    alone += [run for run in given if len(run.games) == 1]
    several = [run for run in given if len(run.games) > 1]
    if not several:
        return _of_one_game(alone)
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


def _of_one_game(runs: Sequence[Run]) -> Material:
    """Runs that all play the same single game."""
    games = tuple(dict.fromkeys(run.games[0] for run in runs))
    if len(games) > 1:
        raise ReportError(f"none of the runs plays several games, and they play one each: {', '.join(games)}")
    return Material(games, runs[0].random, runs[0].human, group(runs), {}, ())


def _in_order(run: Run, games: tuple[str, ...]) -> Run:
    """`run` with its games in this order, which seeds may change."""
    rows = [run.games.index(game) for game in games]
    visits = tuple((rows.index(game), start, end) for game, start, end in run.visits)
    return replace(
        run, games=games, scores=run.scores[rows], random=run.random[rows], human=run.human[rows], visits=visits
    )
