"""The agents side by side on a stream of several games: which of them remembers, and which still learns.

    python -m experiments.compare [--config configs/presets/three_games.yaml] [--agents ewc_inferred,...]
                                  [--seeds 0,1,2]

The agents differ in a setting or two (see configs/agents). Beside them every game is learned on its own for as many
frames as the stream has of it: as in `experiments.single_games` where that preset has as many and differs in nothing
but the network (the stream's may be wider, if each game has as many units of it), else by a plain DQN with the
stream's own configuration. What is finished is skipped, what was stopped is resumed. The small files of every run are
kept in results/compare/NAME/AGENT-SEED, NAME being that of the configuration; the report on all that are finished is
written to results/compare/NAME/report (see `experiments.report`). More arguments are train.py's and go to every run
of an agent, and of a single game where those are not `experiments.single_games`'s (then with --runs and --results
elsewhere: what is there with other settings is refused).
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from configs.build import build_schedule, planned_visits
from configs.checks import ConfigError
from configs.choices import NETWORKS, own_settings
from configs.layers import AGENTS
from configs.parse import load
from configs.schema import Config
from experiments.jobs import ONE_CORE, Interrupted, Job, check_free, check_settings, run_all
from experiments.report import command as report
from experiments.single_games import PRESETS, single_game
from tracking import command
from tracking.numbers import whole, whole_list
from tracking.run_directory import FAILED, STOPPED

_DEFAULT = "ewc_inferred,ewc_labels,no_penalty,plain_dqn"
RESULTS = Path(__file__).resolve().parent.parent / "results" / "compare"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = command.Parser(
        prog="python -m experiments.compare", description=__doc__.split("\n")[0], allow_abbrev=False
    )
    parser.add_argument("--config", type=Path, default=Path("configs/presets/three_games.yaml"))
    parser.add_argument("--agents", default=_DEFAULT, help=f"of {', '.join(AGENTS)} (default: {_DEFAULT})")
    parser.add_argument("--seeds", type=whole_list(0, 10**9), default="0,1,2", help="default: 0,1,2")
    parser.add_argument(
        "--processes", type=whole(1, 1024), default=2, help="runs at a time, one core each (default: 2)"
    )
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="where the run directories go")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the small files go")
    parser.add_argument("--without_single", action="store_true", help="no agent of its own for every game")
    options, overrides = parser.parse_known_args(arguments)
    agents = options.agents.split(",")
    for agent in agents:
        if agent not in AGENTS:
            parser.error(f"--agents: there is no {agent!r}; choose from {', '.join(AGENTS)}")
    if len(set(agents)) < len(agents):
        parser.error(f"--agents: name every agent once, is {options.agents}")
    command.check_writable(options.runs)
    command.check_writable(options.results)
    try:
        check_free(overrides, {"--seed": "--seeds"})
        jobs = jobs_of(options.config, agents, options.seeds, options.runs, options.results, overrides)
        if not options.without_single:
            jobs += single_jobs(options.config, options.seeds, options.runs, options.results, overrides)
        check_settings(jobs)
    except ConfigError as error:
        parser.error(str(error))
    try:
        failed = run_all(jobs, options.processes)
    except Interrupted as stopped:
        print(stopped)
        return STOPPED
    if failed:
        print(f"not finished: {', '.join(failed)}", file=sys.stderr)
    kept = [str(job.kept) for job in jobs if job.done]
    code = report.main([*kept, "--out", str(options.results / options.config.stem / "report")]) if kept else FAILED
    return FAILED if failed else code


def jobs_of(
    config: Path, agents: Sequence[str], seeds: Sequence[int], runs: Path, results: Path, overrides: Sequence[str]
) -> list[Job]:
    """A run for every agent and seed; all agents of a seed before the next seed."""
    jobs: list[Job] = []
    known: dict[str, str] = {}
    for seed in seeds:
        for agent in agents:
            name, given = f"{agent}-{seed}", ["--config", str(AGENTS[agent]), "--seed", str(seed), *overrides]
            jobs.append(_job(name, config, given, runs, results))
            loaded = load(config, given)  # what is wrong with it is said before anything runs
            if loaded.seed != seed:
                raise ConfigError(f"what goes to every run would change the seed of {name}")
            if len(build_schedule(loaded).games) < 2:
                raise ConfigError(f"{config} plays one game only, and there is nothing to remember with one")
            same = known.setdefault(repr(loaded), name)
            if same != name:
                raise ConfigError(f"{name} would be the same run as {same}: what goes to every run undoes what differs")
    return jobs


def single_jobs(config: Path, seeds: Sequence[int], runs: Path, results: Path, overrides: Sequence[str]) -> list[Job]:
    """Every game of the stream on its own, for as many frames."""
    presets = {name: load(name) for name in PRESETS}
    jobs = []
    for seed in seeds:
        loaded = load(config, ["--seed", str(seed), *overrides])
        frames: Counter[str] = Counter()
        for _, _, visit in planned_visits(loaded):
            frames[visit.game] += visit.frames
        lengths = set(frames.values())
        known = next((name for name, p in presets.items() if lengths == {p.frames} and _alike(loaded, p)), None)
        for game, count in frames.items():
            if known:
                kept = PRESETS[known] if results.resolve() == RESULTS else results / known
                jobs.append(single_game(game, seed, runs / known, kept, preset=known))
                continue
            given = ["--seed", str(seed), *overrides, "--config", str(AGENTS["plain_dqn"])]
            given += [
                "--frames",
                str(count),
                "--stream.visits",
                "[]",
                "--stream.visits_csv",
                "null",
                "--stream.order",
                "uniform",
            ]
            given += ["--stream.games", f"[{game}]", "--stream.visit_frames", str(count)]
            jobs.append(_job(f"single_{game}-{seed}", config, given, runs, results))
    return jobs


def _alike(one: Config, other: Config) -> bool:
    """Whether both learn and evaluate a game in the same way, be it more or less often. A wide network is as a small
    one of as many units as a game has of it."""
    learners, evaluations = set(), set()
    for each in (one, other):
        learners.add((replace(each.learner, network="small", gated=0.0), _open_units(each)))
        at_no_time = replace(each.evaluation, period=0, at_start=False, at_visit_ends="none")
        evaluations.add(replace(at_no_time, episodes=1, final_episodes=1))
    parts = ("emulators", "exploration", "replay")
    return len(learners) == len(evaluations) == 1 and all(getattr(one, p) == getattr(other, p) for p in parts)


def _open_units(config: Config) -> tuple[tuple[int, ...], ...]:
    """Of every layer: the units that a game has, and of a convolution kernel and stride."""
    network = NETWORKS.build(config.learner.network, own_settings(config, "learner.network"))
    layers = [*network.convolutions, (network.hidden,)]
    return tuple((units - round(config.learner.gated * units), *rest) for units, *rest in layers)


def _job(name: str, config: Path, given: Sequence[str], runs: Path, results: Path) -> Job:
    arguments = ("--config", str(config), *ONE_CORE, *given)
    return Job(name, arguments, runs / config.stem / name, results / config.stem / name)


if __name__ == "__main__":
    command.run(main)
