"""A search: runs of train.py whose settings a sampler proposes, so that one number becomes as large as it can.

A search's file is a sweep's file with `ranges`:

    config: configs/presets/single_game.yaml
    agent: plain_dqn                     # a file of configs/agents
    settings: {frames: 80_000}           # any field, in every run
    ranges:                              # any field that the trials differ in
      learner.learning_rate: {low: 1.0e-5, high: 1.0e-3, log: true}
      learner.samples_per_step: {low: 4, high: 32, step: 4}
      learner.optimizer: {choices: [adam, rmsprop]}
    trials: 20                           # may be raised later
    sampler: tpe                         # tpe, random, or grid (all combinations, where every range has steps)
    goal: human_normalised               # what is maximised, see `sweeps.objective`
    prune: median                        # which trials are stopped early: median, halving, none
    startup_trials: 5                    # so many are drawn at random; median prunes none before so many finished
    warmup_evaluations: 1                # none is pruned before so many evaluations of its own
    parallel: 1                          # trials at a time, all on this machine
    cpus: 1                              # processor cores that a trial computes on
    seed: 0                              # of the sampler and of every run
    retries: 1                           # how often in a row a trial that fails by itself is started again
    name: mine                           # what it is called; without it as its file

`median` stops a trial whose best evaluation so far is below the median of the finished ones at the same evaluation.
`halving` lets half of those go on that come to the evaluations warmup_evaluations, 2 x, 4 x, ... of it (ASHA).
With `parallel: 1` the settings that are tried are a function of the file alone, whatever is stopped and resumed in
between. With more at a time they also depend on which trial ends first.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

import yaml

from configs.checks import ConfigError
from configs.layers import AGENTS, as_arguments, as_text
from configs.parse import field_names, nearest_field
from configs.ranges import ranges
from configs.schema import Config
from sweeps.fields import OWNED, folder_name, mapping, number, one_of, refuse_unknown
from sweeps.plan import Trial, loaded
from sweeps.span import Span, corners, to_span
from tracking.numbers import shown
from training.options import train_parser

SAMPLERS = ("tpe", "random", "grid")
PRUNERS = ("median", "halving", "none")
GOALS = {
    "human_normalised": "human-normalised score, mean over the games",
    "clipped_total": "total human-normalised score, each game's clipped at 1",
}
_MOST_TRIALS = 1_000
_MOST_CORNERS = 64  # each is a configuration that is checked
_ALIKE = ("frames", "evaluation.", "stream.")  # in which trials could not be compared
_MAY_CHANGE = ("config", "name", "trials", "parallel", "cpus", "retries")


@dataclass(frozen=True)
class Search:
    """What a search's file says; see the module."""

    name: str
    config: str
    ranges: dict[str, Span]
    agent: str = "ewc_inferred"
    settings: dict[str, Any] = field(default_factory=dict)
    trials: int = 20
    sampler: str = "tpe"
    goal: str = "human_normalised"
    prune: str = "median"
    startup_trials: int = 5
    warmup_evaluations: int = 1
    parallel: int = 1
    cpus: int = 1
    seed: int = 0
    retries: int = 1

    def trial(self, number: int, point: Mapping[str, Any]) -> Trial:
        """The run with these settings."""
        settings = {**self.settings, **point}
        arguments = ["--config", self.config, "--seed", str(self.seed), "--threads", str(self.cpus)]
        arguments += ["--emulators.threads", str(self.cpus), *as_arguments(AGENTS[self.agent])]
        for key, value in settings.items():
            arguments += [f"--{key}", as_text(value)]
        return Trial(trial_name(number), "", self.agent, self.seed, tuple(point.items()), tuple(arguments))

    def checked(self, point: Mapping[str, Any]) -> Config:
        """The configuration with these settings; ConfigError with one sentence if it is none."""
        _, config, *arguments = self.trial(0, point).arguments
        return loaded(config, *arguments)

    @functools.cached_property
    def alike(self) -> Config:
        """The configuration of the first end of the ranges: its games, frames and evaluations are those of all."""
        return self.checked(next(iter(corners(self.ranges, _MOST_CORNERS))))

    def same_trials(self, other: object) -> bool:
        """Whether another one would propose the same settings; it may have more trials, or more at a time."""
        if not isinstance(other, Search):
            return False
        mine, its = asdict(self), asdict(other)
        return all(mine[key] == its[key] for key in mine if key not in _MAY_CHANGE)


def trial_name(number: int) -> str:
    """What a trial and its run are called."""
    return f"trial{number:03d}"


def to_search(found: dict[str, Any], name: str, where: str) -> Search:
    """A checked search from the fields of its file; `where` is named in what is wrong with them."""
    refuse_unknown(found, [each.name for each in fields(Search)], where)
    if "config" not in found:
        raise ConfigError(f"{where}: config: name the configuration that the runs begin with")
    given = mapping(found["ranges"], f"{where}: ranges")
    settings = mapping(found.get("settings", {}), f"{where}: settings")
    _check_names(given, settings, where)
    numbers: dict[str, Any] = {
        key: number(found.get(key, getattr(Search, key)), f"{where}: {key}", int, least, most)
        for key, least, most in (
            ("trials", 1, _MOST_TRIALS),
            ("startup_trials", 1, _MOST_TRIALS),
            ("warmup_evaluations", 1, 10_000),
            ("parallel", 1, 256),
            ("cpus", 1, 1024),
            ("seed", 0, int(ranges()["seed"].most)),
            ("retries", 0, 1000),
        )
    }
    words: dict[str, Any] = {
        key: one_of(found.get(key, getattr(Search, key)), f"{where}: {key}", several)
        for key, several in (
            ("agent", AGENTS),
            ("sampler", SAMPLERS),
            ("goal", GOALS),
            ("prune", PRUNERS),
        )
    }
    search = Search(
        folder_name(found, name, where),
        str(found["config"]),
        {key: to_span(key, value, f"{where}: ranges.{key}") for key, value in given.items()},
        settings=settings,
        **words,
        **numbers,
    )
    _check_grid(search, where)
    _check_ends(search, where)
    return search


def _check_names(given: Mapping[str, Any], settings: Mapping[str, Any], where: str) -> None:
    if not given:
        raise ConfigError(f"{where}: ranges: name at least one field, such as learner.learning_rate")
    known = [name for name in field_names(train_parser()) if name.split(".")[0] in Config.__dataclass_fields__]
    for part, several in (("ranges", given), ("settings", settings)):
        for key in several:
            if key in OWNED:
                raise ConfigError(f"{where}: {part}.{key}: the search itself decides this (see seed, cpus)")
            if key not in known:
                near = nearest_field(key, known)
                raise ConfigError(f"{where}: {part}: unknown field {key}" + (f"; did you mean {near}?" if near else ""))
    for key in given:
        if key in settings:
            raise ConfigError(f"{where}: {key} stands in ranges and in settings; give it once")
        if key.startswith(_ALIKE):
            raise ConfigError(f"{where}: ranges.{key}: trials that differ in it cannot be compared; put it in settings")
    if "stream.visits_csv" in settings:
        raise ConfigError(f"{where}: settings.stream.visits_csv: name it in the configuration, which is copied")


def _check_grid(search: Search, where: str) -> None:
    if search.sampler != "grid":
        return
    for name, span in search.ranges.items():
        if not span.points:
            raise ConfigError(f"{where}: ranges.{name}: sampler grid needs choices, or a step and no log")
    points = math.prod(len(span.points) for span in search.ranges.values())
    if search.trials > points:
        raise ConfigError(f"{where}: trials: the grid has {shown(points)} points, is {search.trials}")


def _check_ends(search: Search, where: str) -> None:
    """Every end of a range is a configuration that train.py takes, with the others at theirs."""
    for point in corners(search.ranges, _MOST_CORNERS):
        at = ", ".join(f"{key} {as_text(value)}" for key, value in point.items())
        try:
            config = search.checked(point)
        except ConfigError as error:
            raise ConfigError(f"{where}: ranges, at {at}: {str(error).removeprefix(f'{search.config}: ')}") from None
        period = config.evaluation.period
        if search.prune != "none" and not 0 < period < config.frames:
            raise ConfigError(
                f"{where}: prune {search.prune}: needs evaluations on the way, but evaluation.period is {period:,} of "
                f"{config.frames:,} frames; give a shorter one, or prune: none"
            )


def as_yaml(search: Search) -> str:
    """The search as text that is read back to an equal one."""
    spans = {key: span.as_fields() for key, span in search.ranges.items()}
    return yaml.safe_dump({**asdict(replace(search, ranges={})), "ranges": spans}, sort_keys=False)
