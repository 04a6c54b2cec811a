"""Our agent, a plain DQN and stable-baselines3's DQN in turns on the same cores: agent steps per second, ratios.

    python -m benchmarks.side_by_side --seconds 120 --json [--network nature|paper] [--game breakout] [--pairs 4]

All learn the same game at the same samples per step in minibatches of 32. Ours has 8 emulators (quick: 4) and goes
through `training.resources.measure_rates` as `benchmarks.throughput` does; the others have one
(`benchmarks/plain_dqn.py`, and `benchmarks/sb3_dqn.py` in an environment of its own, see --sb3_python). Every turn is a
fresh process that warms up until it is in steady state before its clock starts. Ours runs between the two others, and
the order is turned round every time, so that what is compared are always neighbouring turns. --seconds is measured per
contestant and divided among its turns. --precision is of ours; the others compute in float32. GPUs are hidden from all,
and all use as many threads as they do by default: restrict the cores with taskset; OMP_NUM_THREADS is not heeded.

--agent plain knows one task and has no consolidation, as the others; continual infers its task and is held by the
anchors of ten others. It is then compared with our plain agent as well (`single`).

--recipe quick compares the recipe of configs/presets/quick.yaml, held by ten anchors, with the same recipe for one task
in one plain file (`benchmarks/plain_quick.py`) and with stable-baselines3's DQN on the tiled network at as many samples
per step.

With --json the last line is one JSON object: agent steps per second (medians over the turns), ratios (medians over
the pairs), their ranges over the pairs, and what was run; null for those that did not take part.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from benchmarks.plain_dqn import add_options, check_options
from benchmarks.stand_ins import leave_anchors
from configs.parse import load
from configs.schema import Config, ConsolidationConfig, EmulatorConfig, LearnerConfig, ReplayConfig, StreamConfig
from envs.games import game as find_game
from envs.roms import find_rom
from tracking import command
from tracking.console import print_json
from tracking.numbers import whole
from training.machine import resolve
from training.resources import measure_rates

_EMULATORS = 8
_OTHERS = ("plain", "sb3", "single")
_HERE = Path(__file__).resolve().parent
_HOW_TO = (
    "python -m venv benchmarks/.sb3 && benchmarks/.sb3/bin/pip install -c constraints.txt torch==2.13.0 "
    "stable-baselines3==2.9.2 ale-py opencv-python-headless"
)

Turn = Mapping[str, Any]
"""What a turn reports: agent_steps_per_s, threads."""


class TurnError(RuntimeError):
    """A turn that did not end well, as one sentence."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    check_options(parser, options)
    if options.recipe == "quick":
        given = [word.partition("=")[0] for word in (sys.argv[1:] if arguments is None else arguments)]
        for name in ("--network", "--samples_per_step", "--precision", "--agent"):
            if name in given:
                parser.error(f"{name}: --recipe quick decides it; leave one of the two out")
    try:
        options.game = find_game(options.game).name
        if find_game(options.game).is_toy:
            parser.error(f"--game {options.game}: a toy of this project, which the others cannot play")
        find_rom(options.game)
    except (ValueError, FileNotFoundError) as error:
        parser.error(f"--game: {error}")
    sb3 = (options.sb3_python or _HERE / ".sb3" / "bin" / "python").absolute()
    sb3_versions = _sb3_versions(sb3)
    if isinstance(sb3_versions, str):
        if options.sb3_python:
            parser.error(f"--sb3_python {sb3}: {sb3_versions}")
        print(f"without stable-baselines3 ({sb3_versions}); to have it: {_HOW_TO}")
    try:
        report = compare(options, sb3, None if isinstance(sb3_versions, str) else sb3_versions)
    except TurnError as error:
        print(f"side_by_side: {error}", file=sys.stderr)
        return 1
    for line in _table(report):
        print(line)
    if options.json:
        print_json(report)
    return 0


def compare(options: argparse.Namespace, sb3: Path, sb3_versions: dict[str, str] | None) -> dict[str, Any]:
    """Take all turns; the report. `sb3_versions` None: without stable-baselines3."""
    os.environ["CUDA_VISIBLE_DEVICES"] = ""  # before anything counts devices, here and in every turn
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):  # the cores alone decide, for all alike
        os.environ.pop(name, None)
    seconds = options.seconds / options.pairs
    quick = options.recipe == "quick"
    config = _in_fresh_process(resolve, quick_config(options) if quick else our_config(options, options.agent))
    samples = config.learner.samples_per_step
    shared = ["--json", "--seconds", str(seconds), "--samples_per_step", str(samples)]
    for name in ("game", "seed"):
        shared += [f"--{name}", str(getattr(options, name))]
    network = ["--network", "tiled" if quick else options.network]
    plain = ["benchmarks.plain_quick"] if quick else ["benchmarks.plain_dqn", *network]
    contestants: dict[str, Callable[[], Turn]] = {
        "plain": lambda: _run([sys.executable, "-m", *plain, *shared]),
        "ours": lambda: _in_fresh_process(our_turn, config, seconds),
    }
    if sb3_versions is not None:
        contestants["sb3"] = lambda: _run([str(sb3), "-I", str(_HERE / "sb3_dqn.py"), *network, *shared])
    if options.agent == "continual" and not quick:
        single = _in_fresh_process(resolve, our_config(options, "plain"))
        contestants["single"] = lambda: _in_fresh_process(our_turn, single, seconds)
    rounds = take_turns(contestants, options.pairs)
    speeds = [{name: turn["agent_steps_per_s"] for name, turn in each.items()} for each in rounds]
    return {
        **summary(speeds),
        "recipe": options.recipe,
        "network": config.learner.network,
        "game": options.game,
        "agent": "plain" if config.task_source == "single" else "continual",
        "precision": config.learner.precision,
        "threads": {name: turn["threads"] for name, turn in sorted(rounds[0].items())},
        "emulators": config.emulators.num_envs,
        "samples_per_step": samples,
        "seconds_per_turn": seconds,
        "pairs": options.pairs,
        "seed": options.seed,
        "turns": [{name: round(speed, 1) for name, speed in sorted(each.items())} for each in speeds],
        "versions": {
            "python": sys.version.split()[0],
            **{name: version(name) for name in ("torch", "gymnasium", "ale_py", "numpy")},
            "sb3": sb3_versions,
        },
    }


def take_turns(contestants: Mapping[str, Callable[[], Turn]], pairs: int) -> list[dict[str, Turn]]:
    """So many rounds of one turn each, in the given order and back in turn."""
    rounds: list[dict[str, Turn]] = []
    for number in range(pairs):
        rounds.append({})
        for name in list(contestants)[:: -1 if number % 2 else 1]:
            turn = rounds[-1][name] = contestants[name]()
            print(
                f"round {number + 1} of {pairs}: {name:6} {turn['agent_steps_per_s']:8,.1f} agent steps/s", flush=True
            )
    return rounds


def summary(rounds: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """Medians of every contestant's speeds and of our ratios to the others within each round, and their ranges."""
    report: dict[str, Any] = {}
    for name in ("ours", *_OTHERS):
        speeds = [each[name] for each in rounds if name in each]
        report[name] = round(statistics.median(speeds), 1) if speeds else None
    for name in _OTHERS:
        ratios = [each["ours"] / each[name] for each in rounds if name in each]
        report[f"ratio_{name}"] = round(statistics.median(ratios), 3) if ratios else None
        report[f"ratio_{name}_range"] = [round(min(ratios), 3), round(max(ratios), 3)] if ratios else None
    return report


def our_config(options: argparse.Namespace, agent: str) -> Config:
    """The configuration of `benchmarks.throughput`, with the agent of that name."""
    return Config(
        seed=options.seed,
        task_source="inferred" if agent == "continual" else "single",
        stream=StreamConfig(games=[options.game]),
        emulators=EmulatorConfig(num_envs=_EMULATORS),
        learner=LearnerConfig(
            network=options.network, samples_per_step=options.samples_per_step, precision=options.precision
        ),
        consolidation=ConsolidationConfig(kind="ewc" if agent == "continual" else "none"),
        replay=ReplayConfig(capacity=20_000, min_history=2_000),
    )


def quick_config(options: argparse.Namespace) -> Config:
    """The preset's, on the game that is asked for and as many threads as there are cores."""
    preset = load("configs/presets/quick.yaml", [])
    return replace(preset, threads=0, seed=options.seed, stream=StreamConfig(games=[options.game]))


def our_turn(config: Config, seconds: float) -> Turn:
    """Measure our agent in this process; `config` is resolved."""
    rates = measure_rates(config, seconds, lambda parts: leave_anchors(parts.agent.consolidator, parts.agent.learner))
    return {"agent_steps_per_s": rates.agent_steps_per_s, "threads": config.threads}


def _in_fresh_process(work: Callable[..., Any], *arguments: object) -> Any:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        try:
            return pool.submit(work, *arguments).result()
        except Exception as error:
            raise TurnError(f"our agent failed: {type(error).__name__}: {error}") from error


def _run(command: Sequence[str]) -> Turn:
    """The JSON object in a command's last line."""
    done = subprocess.run(command, cwd=_HERE.parent, capture_output=True, text=True)
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["it said nothing"]
        raise TurnError(f"{Path(command[2]).name} ended with code {done.returncode}: {said[-1]}")
    return json.loads(done.stdout.splitlines()[-1])


def _sb3_versions(python: Path) -> dict[str, str] | str:
    """The versions in the environment of `python`, or what is wrong with it."""
    if not python.is_file():
        return f"there is no {os.path.relpath(python)}"
    try:
        return dict(_run([str(python), "-I", str(_HERE / "sb3_dqn.py"), "--versions"]))
    except (TurnError, OSError, ValueError, IndexError) as error:
        return str(error)


def _table(report: Mapping[str, Any]) -> list[str]:
    lines = [f"ours    {report['ours']:8,.1f} agent steps/s"]
    for name in _OTHERS:
        if report[name] is not None:
            low, high = report[f"ratio_{name}_range"]
            ratio = f"ours is {report[f'ratio_{name}']:.2f} times as fast ({low:.2f} to {high:.2f})"
            lines.append(f"{name:7} {report[name]:8,.1f} agent steps/s; {ratio}")
    return lines


def _parser() -> command.Parser:
    parser = command.Parser(prog="side_by_side", description=__doc__.split("\n")[0], allow_abbrev=False)
    add_options(parser, seconds=120.0)
    parser.add_argument("--pairs", type=whole(1, 1000), default=4, help="turns of each contestant (default: 4)")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument(
        "--recipe", choices=("paper", "quick"), default="paper", help="quick decides the rest but the game"
    )
    parser.add_argument("--agent", choices=("plain", "continual"), default="plain")
    parser.add_argument(
        "--sb3_python", type=Path, metavar="PATH", help="python that has stable-baselines3 (default: benchmarks/.sb3)"
    )
    return parser


if __name__ == "__main__":
    command.run(main)
