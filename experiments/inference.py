"""How well a source tells games apart: real emulators through a schedule, without learning to play.

    python -m experiments.inference --games breakout,pong --visits 3 --vector_steps 2000 --emulators 8 --policy random
    python -m experiments.inference --games figure3 --source paper --json
    python -m experiments.inference --games figure3 --set episode_start_only=false --set base=uniform

Every game comes `--visits` times, each in random order within its round. Prints a table and, with `--json`, one
JSON object as the last line. The same seed gives the same numbers, microseconds apart.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from configs.build import build_stream, numpy_generator
from configs.checks import ConfigError, check
from configs.ranges import argument, problems
from configs.schema import Config, EmulatorConfig, StreamConfig
from envs.game_sets import game_sets, games_of
from envs.timestep import ACTIONS, FRAME_SKIP, TimeStep
from evaluation.evaluator import load_agent
from evaluation.inference_score import InferenceScore
from evaluation.playable import find
from evaluation.plots import check_place, save
from evaluation.timeline import draw_timeline
from taskid.forget_me_not import ForgetMeNot
from taskid.forget_me_not_settings import DEFAULT, PAPER, ForgetMeNotSettings
from tracking import command
from tracking.checkpoints import CheckpointError
from tracking.console import print_json
from tracking.numbers import whole
from tracking.run_directory import BAD_INPUT
from tracking.task_log import row

Policy = Callable[[str, TimeStep], np.ndarray]


@dataclass(frozen=True)
class Outcome:
    """What a run through the schedule showed. `changes`: lines of `tracking.task_log`; seconds of inference."""

    score: InferenceScore
    changes: list[dict[str, Any]]
    frames: int
    contexts: int
    seconds: float
    nbytes: int


def observe(config: Config, source: ForgetMeNot, policy: Policy) -> Outcome:
    """Lead `source` through the stream of `config` under `policy`."""
    stream = build_stream(config)
    stream.start()
    score, changes, seconds = InferenceScore(), [], 0.0
    steps = config.frames // (config.emulators.num_envs * FRAME_SKIP)
    for _ in track(range(steps), "observing", console=Console(stderr=True), transient=True):
        now, label = stream.now, stream.label
        begin = time.perf_counter()
        task = source.infer(now).task
        seconds += time.perf_counter() - begin
        if score.record(label, task):
            changes.append(row(stream.frames, label, task, source.posterior))
        stream.step(policy(label, now))
    stream.close()
    score.finish()
    return Outcome(score, changes, config.frames, source.num_tasks, seconds, source.nbytes)


def summary(outcome: Outcome, emulators: int) -> dict[str, float | int]:
    """The report's quantities under the names of the JSON line; delays in vector steps, 0 without a switch."""
    score = outcome.score
    scalars = score.scalars(emulators * FRAME_SKIP)
    return {
        "purity": scalars["purity"],
        "coverage": scalars["coverage"],
        "ari": scalars["ari"],
        "contexts": outcome.contexts,
        "games": len(score.table),
        "delay_median": scalars.get("delay_median", 0),
        "delay_max": scalars.get("delay_max", 0),
        "false_switches": scalars["false_switches"],
        "longest_false": score.longest_false,
        "us_per_step": 1e6 * outcome.seconds / score.steps,
        "bytes_per_context": outcome.nbytes / outcome.contexts,
    }


def random_policy(seed: int, emulators: int) -> Policy:
    """Uniform actions."""
    rng = numpy_generator(seed, "random policy")
    return lambda label, now: rng.integers(ACTIONS, size=emulators)


def trained_policy(path: Path, epsilon: float, seed: int) -> Policy:
    """The latest weights of a run, or those of a snapshot, with the tasks that the run itself would recognise."""
    playable = find(path, "latest")
    agent, _ = load_agent(playable.config, playable.snapshots[0])
    player = agent.player(epsilon, numpy_generator(seed, "trained policy"))
    shown, recogniser = "", agent.task_source.recogniser("")

    def act(label: str, now: TimeStep) -> np.ndarray:
        nonlocal shown, recogniser
        if label != shown:
            shown, recogniser = label, agent.task_source.recogniser(label)
        return player.act(now.observation, recogniser.identify(now))

    return act


def chosen_model(source: str, changes: list[str]) -> ForgetMeNotSettings:
    """The model's settings with changes of the form name=value; ConfigError names what is wrong."""
    model = {"default": DEFAULT, "paper": PAPER}[source]
    known = get_type_hints(ForgetMeNotSettings)
    for change in changes:
        name, _, text = change.partition("=")
        if name not in known:
            raise ConfigError(f"--set: there is no {name!r}; choose from {', '.join(known)}")
        try:
            model = replace(model, **{name: _value(text, known[name])})
        except ValueError:
            raise ConfigError(f"--set {name}: {text!r} is no value of it, which is {getattr(model, name)}") from None
    for problem in problems(model):
        raise ConfigError(f"--set {problem}")
    return model


def _value(text: str, kind: Any) -> Any:
    """ValueError where `text` is nothing of this type: int, float, bool or a choice of words."""
    if kind in (int, float):
        return kind(text)
    allowed = {"true": True, "false": False} if kind is bool else {word: word for word in get_args(kind)}
    if text not in allowed:
        raise ValueError(text)
    return allowed[text]


def _config(options: argparse.Namespace) -> Config:
    for name in ("visits", "vector_steps", "emulators"):
        if getattr(options, name) < 1:
            raise ValueError(f"--{name} must be at least 1, is {getattr(options, name)}")
    games = games_of(options.games)
    visit_frames = options.vector_steps * options.emulators * FRAME_SKIP
    config = Config(
        seed=options.seed,
        frames=visit_frames * options.visits * len(games),
        stream=StreamConfig(games=list(games), order="rounds", visit_frames=visit_frames, reseed_frames=visit_frames),
        emulators=EmulatorConfig(num_envs=options.emulators),
    )
    check(config)
    return config


def _table(report: dict[str, float | int], score: InferenceScore) -> Table:
    table = Table(title="Task inference")
    table.add_column("quantity")
    table.add_column("value", justify="right")
    units = {
        "delay_median": "delay, median (vector steps)",
        "delay_max": "delay, worst (vector steps)",
        "false_switches": "false switches per million frames",
        "longest_false": "longest false switch (vector steps)",
        "us_per_step": "microseconds per vector step",
        "bytes_per_context": "bytes per context",
    }
    for name, value in report.items():
        table.add_row(units.get(name, name), f"{value:,.4g}" if isinstance(value, float) else f"{value:,}")
    table.add_section()
    for name, line in score.table.items():
        tasks = ", ".join(f"{task}: {count:,}" for task, count in sorted(line.items(), key=lambda each: -each[1]))
        table.add_row(name, tasks)
    return table


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        config, model = _config(options), chosen_model(options.source, options.set)
        check_place("--figure", options.figure)
        if options.policy == "random":
            policy = random_policy(options.seed, options.emulators)
        else:
            policy = trained_policy(Path(options.policy), options.epsilon, options.seed)
    except (ConfigError, CheckpointError, ValueError, FileNotFoundError) as error:
        print(f"experiments.inference: {error}", file=sys.stderr)
        return BAD_INPUT
    outcome = observe(config, ForgetMeNot(model), policy)
    report = summary(outcome, options.emulators)
    Console().print(_table(report, outcome.score))
    save(draw_timeline(outcome.changes, outcome.frames), options.figure)
    print(f"written: {options.figure}")
    if options.json:
        print_json(report)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = command.Parser(prog="python -m experiments.inference", description=__doc__.split("\n")[0])
    parser.add_argument(
        "--games", default="figure3", help=f"comma-separated ROM ids or {', '.join(game_sets())} (default: figure3)"
    )
    parser.add_argument("--visits", type=whole(1, 1000), default=3, help="visits of each game (default: 3)")
    parser.add_argument(
        "--vector_steps", type=whole(1, 10**8), default=2000, help="vector steps of a visit (default: 2,000)"
    )
    parser.add_argument(
        "--emulators", type=argument("emulators.num_envs"), default=8, help="emulators in parallel (default: 8)"
    )
    parser.add_argument("--policy", default="random", help="random, or a run directory or snapshot (default: random)")
    parser.add_argument(
        "--epsilon",
        type=argument("evaluation.epsilon"),
        default=0.01,
        help="exploration of a trained policy (default: 0.01)",
    )
    parser.add_argument(
        "--seed", type=argument("seed"), default=0, help="seed of order, emulators and actions (default: 0)"
    )
    parser.add_argument("--source", choices=("default", "paper"), default="default", help="settings (default: default)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="change a setting of the source"
    )
    parser.add_argument("--figure", type=Path, default=Path("runs/taskid.png"), help="(default: runs/taskid.png)")
    parser.add_argument("--json", action="store_true", help="print the quantities as JSON, on the last line")
    return parser


if __name__ == "__main__":
    command.run(main)
