"""A sweep: many runs of train.py that differ in games, agents, seeds and fields of the configuration.

A sweep's file says what is varied; everything else is in the configuration that it names:

    config: configs/presets/ten_games.yaml
    sets: {count: 10, games: 10, seed: 0}      # or a list of lists of games; without it the configuration's own games
    agents: [ewc_inferred, no_penalty]         # files of configs/agents
    seeds: 4                                   # 0, 1, 2, 3; or a list
    grid: {consolidation.ewc_lambda: [100, 400]} # any field: every combination is run
    settings: {frames: 1_000_000}              # any field, in every run
    cpus: 1                                    # processor cores a run computes on
    gpus: 0                                    # GPUs, or a fraction of one, that it takes
    memory_gib: null                           # what it may need; null: as train.py estimates it
    retries: 1                                 # how often in a row a run that fails by itself is started again
    retry_seconds: 30                          # after how long; the second time after twice as long, and so on
    name: figure3b                             # what it is called; without it as its file

Names of runs are made of what is varied, and a run's arguments are a function of the file alone. What is `auto` in the
configuration every run decides for itself, by what its machine has.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections import Counter
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import torch
import yaml

from configs.build import numpy_generator
from configs.checks import ConfigError
from configs.files import read_mapping
from configs.layers import AGENTS, as_arguments, as_text, layer
from configs.parse import load
from configs.ranges import ranges
from configs.schema import Config
from configs.settings import ON_CPU
from envs.game_sets import game_set, game_sets
from envs.visits_csv import load_schedule_csv
from sweeps.fields import OWNED, folder_name, listed, mapping, number, one_of, refuse_unknown
from tracking.files import file_name
from tracking.numbers import shown

_MOST_RUNS = 2_000  # each is a configuration that is checked


@dataclass(frozen=True)
class DrawnSets:
    """So many sets of so many games, each drawn without repeats from a pool: set k is a function of (seed, k)."""

    count: int
    games: int = 10
    seed: int = 0
    pool: str = "pool"


@dataclass(frozen=True)
class Sweep:
    """What a sweep's file says; see the module."""

    name: str
    config: str
    sets: DrawnSets | tuple[tuple[str, ...], ...] = ()
    agents: tuple[str, ...] = ("ewc_inferred",)
    seeds: tuple[int, ...] = (0,)
    grid: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    cpus: int = 1
    gpus: float = 0.0
    memory_gib: float | None = None
    retries: int = 1
    retry_seconds: float = 30.0


@dataclass(frozen=True)
class Trial:
    """One run: its name, what sets it apart, and the arguments of train.py but for --run_dir."""

    name: str
    games: str  # the set's name, "" if there is only the configuration's own
    agent: str
    seed: int
    point: tuple[tuple[str, Any], ...]  # of the grid
    arguments: tuple[str, ...]

    def config(self) -> Config:
        """Its configuration, without a GPU where there is none; ConfigError with one sentence if it is none."""
        here = [] if torch.cuda.is_available() else ON_CPU
        _, preset, _, seed, *others = self.arguments
        return replace(loaded(preset, *others, *here), seed=int(seed))


@functools.cache
def loaded(preset: str, *overrides: str) -> Config:
    """The checked configuration of a file with overrides; looked at once."""
    return load(preset, list(overrides))


def read_sweep(path: Path) -> Sweep:
    """The sweep in a YAML file; ConfigError with one sentence for any mistake in it."""
    return to_sweep(read_fields(path), path.stem, str(path))


def read_fields(path: Path) -> dict[str, Any]:
    """What a sweep's file says; a configuration that lies beside it comes before others of its name."""
    found = read_mapping(path, "config: configs/presets/ten_games.yaml")
    beside = path.absolute().parent / str(found.get("config"))
    if beside.is_file():
        found["config"] = str(beside)
    return found


def to_sweep(found: dict[str, Any], name: str, where: str) -> Sweep:
    """A checked sweep from the fields of its file; `where` is named in what is wrong with them."""
    known = [each.name for each in fields(Sweep)]
    refuse_unknown(found, known, where)
    if "config" not in found:
        raise ConfigError(f"{where}: config: name the configuration that the runs begin with")
    grid = mapping(found.get("grid", {}), f"{where}: grid")
    memory = found.get("memory_gib")
    sweep = Sweep(
        folder_name(found, name, where),
        str(found["config"]),
        _sets(found.get("sets", ()), where),
        agents=tuple(listed(found.get("agents", Sweep.agents), f"{where}: agents", str)),
        seeds=_seeds(found.get("seeds", Sweep.seeds), where),
        grid={key: tuple(listed(values, f"{where}: grid.{key}", object)) for key, values in grid.items()},
        settings=mapping(found.get("settings", {}), f"{where}: settings"),
        cpus=number(found.get("cpus", Sweep.cpus), f"{where}: cpus", int, 1, 1024),
        gpus=number(found.get("gpus", Sweep.gpus), f"{where}: gpus", float, 0, 1024),
        memory_gib=None if memory is None else number(memory, f"{where}: memory_gib", float, 0.01, 1e6),
        retries=number(found.get("retries", Sweep.retries), f"{where}: retries", int, 0, 1000),
        retry_seconds=number(
            found.get("retry_seconds", Sweep.retry_seconds), f"{where}: retry_seconds", float, 0, 86_400
        ),
    )
    for agent in sweep.agents:
        one_of(agent, f"{where}: agents", AGENTS)
    if sweep.gpus > 1 and sweep.gpus != int(sweep.gpus):
        raise ConfigError(f"{where}: gpus: above 1 give a whole number, is {sweep.gpus:g}")
    for part, fixed in (("settings", sweep.settings), ("grid", sweep.grid)):
        for key in fixed:
            if key == "stream.visits_csv":
                raise ConfigError(
                    f"{where}: {part}.{key}: name it in the configuration, which is copied with its visits"
                )
            if key in OWNED or (key == "stream.games" and sweep.sets):
                raise ConfigError(f"{where}: {part}.{key}: the sweep itself decides this (see seeds, cpus, sets)")
    sets = sweep.sets.count if isinstance(sweep.sets, DrawnSets) else len(sweep.sets) or 1
    runs = len(sweep.seeds) * sets * len(sweep.agents) * math.prod(map(len, sweep.grid.values()))
    if runs > _MOST_RUNS:
        raise ConfigError(f"{where}: would be {shown(runs)} runs; a sweep has at most {_MOST_RUNS:,}")
    _check_trials(sweep, where)
    return sweep


def _check_trials(sweep: Sweep, where: str) -> None:
    """Every run is one that can be, and no two are the same."""
    runs = trials(sweep)
    names = Counter(trial.name for trial in runs)
    seen: dict[str, str] = {}
    base: dict[str, Any] | None = None
    for trial in runs:
        try:
            if names[trial.name] > 1:
                raise ConfigError("two runs have this name: name every seed, agent and value of the grid once")
            config = trial.config()
            without_gpu = [(key, value) for key, value in trial.point if f"--{key}" in ON_CPU]  # what that overrides
            same = seen.setdefault(f"{config} {without_gpu}", trial.name)
            if same != trial.name:
                raise ConfigError(f"would be the same run as {same}")
            if base is None:
                base = read_mapping(layer(sweep.config), "frames: 400_000")
            asked = {**base, **sweep.settings, **dict(trial.point)}  # the device asked for: this machine may lack it
            device = asked.get("device", Config().device)
            if (device == "cuda") != (sweep.gpus > 0):
                needed = "needs gpus, a number or a fraction above 0" if device == "cuda" else "needs gpus: 0"
                raise ConfigError(f"device {device} {needed}, is {sweep.gpus:g}")
        except ConfigError as error:
            raise ConfigError(f"{where}: {trial.name}: {error}") from None


def trials(sweep: Sweep) -> list[Trial]:
    """All runs: seed by seed, so that a sweep that is cut short has all agents and sets of the first seeds."""
    found = []
    sets = sets_of(sweep)
    points = list(itertools.product(*([(key, value) for value in values] for key, values in sweep.grid.items())))
    for seed, (games, drawn), agent, point in itertools.product(sweep.seeds, sets.items(), sweep.agents, points):
        settings = [f"{key.rsplit('.', 1)[-1]}={value}" for key, value in point]
        name = file_name("-".join([*([games] if games else []), agent, *settings, f"seed{seed}"]))
        arguments = ["--config", sweep.config, "--seed", str(seed), "--threads", str(sweep.cpus)]
        arguments += ["--emulators.threads", str(sweep.cpus), *as_arguments(AGENTS[agent])]
        if drawn:
            arguments += ["--stream.games", as_text(list(drawn))]
        for key, value in [*sweep.settings.items(), *point]:
            arguments += [f"--{key}", as_text(value)]
        found.append(Trial(name, games, agent, seed, point, tuple(arguments)))
    return found


def frozen(config: Path) -> str:
    """The text of a configuration, with the visits of its CSV file spelt out: it depends on no other file."""
    found = read_mapping(config, "frames: 400_000")
    stream = found.get("stream")
    if not isinstance(stream, dict) or not stream.get("visits_csv"):
        return config.read_text()
    try:
        listed = load_schedule_csv(stream.pop("visits_csv")).visits
    except (OSError, ValueError) as error:
        raise ConfigError(f"{config}: stream.visits_csv: {error}") from None
    stream["visits"] = [{"game": visit.game, "frames": visit.frames} for visit in listed]
    return yaml.safe_dump(found, sort_keys=False)


def sets_of(sweep: Sweep) -> dict[str, tuple[str, ...]]:
    """{name: games}; one of no name and no games if the configuration's own are played."""
    if isinstance(sweep.sets, DrawnSets):
        pool, drawn = game_set(sweep.sets.pool), []
        for k in range(sweep.sets.count):
            rng = numpy_generator(sweep.sets.seed, f"games of set {k}")
            drawn.append(tuple(pool[i] for i in rng.permutation(len(pool))[: sweep.sets.games]))
        return {f"set{k}": games for k, games in enumerate(drawn)}
    return {f"set{k}": games for k, games in enumerate(sweep.sets)} or {"": ()}


def as_yaml(sweep: Sweep) -> str:
    """The sweep as text that `read_sweep` reads back to an equal one."""
    found = asdict(sweep)
    found["sets"] = found["sets"] if isinstance(sweep.sets, DrawnSets) else [list(games) for games in sweep.sets]
    found |= {"agents": list(sweep.agents), "seeds": list(sweep.seeds)}
    found["grid"] = {key: list(values) for key, values in sweep.grid.items()}
    return yaml.safe_dump(found, sort_keys=False)


def _sets(found: Any, where: str) -> DrawnSets | tuple[tuple[str, ...], ...]:
    if isinstance(found, dict):
        known = [each.name for each in fields(DrawnSets)]
        if unknown := [key for key in found if key not in known]:
            raise ConfigError(f"{where}: sets.{unknown[0]}: unknown; there are {', '.join(known)}")
        if "count" not in found:
            raise ConfigError(f"{where}: sets.count: say how many sets are drawn")
        numbers = {
            key: number(found.get(key, default), f"{where}: sets.{key}", int, least, most)
            for key, default, least, most in (
                ("count", None, 1, _MOST_RUNS),
                ("games", 10, 1, 57),
                ("seed", 0, 0, 10**18),
            )
        }
        pool = found.get("pool", DrawnSets.pool)
        one_of(pool, f"{where}: sets.pool", game_sets())
        if numbers["games"] > len(game_set(pool)):
            raise ConfigError(f"{where}: sets.games: the set {pool} has {len(game_set(pool))} games")
        return DrawnSets(**numbers, pool=pool)
    several = listed(found, f"{where}: sets", list, empty=True)
    return tuple(tuple(listed(games, f"{where}: sets[{k}]", str)) for k, games in enumerate(several))


def _seeds(found: Any, where: str) -> tuple[int, ...]:
    if isinstance(found, int) and not isinstance(found, bool):
        return tuple(range(number(found, f"{where}: seeds", int, 1, _MOST_RUNS)))
    several = enumerate(listed(found, f"{where}: seeds", int))
    return tuple(number(each, f"{where}: seeds[{i}]", int, 0, ranges()["seed"].most) for i, each in several)
