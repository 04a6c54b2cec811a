"""The task inference: agreement with the true games over groups and seeds, and its cost by number of contexts.

    python -m benchmarks.inference --groups figure3,pool,thirty --seeds 0,1,2,3,4 --emulators 8
    python -m benchmarks.inference --groups figure3 --seeds 0 --emulators 1 --source paper
    python -m benchmarks.inference --groups figure3 --seeds 0 --variant uniform_base --set base=uniform
    python -m benchmarks.inference --cost
    python -m benchmarks.inference --changed all

Each of the first three is one `python -m experiments.inference` per group and seed; what is done is skipped. Results go
to results/inference/ as one small JSON file each, and table.md. `--changed` learns how the games of a group open and
then shows openings that differ: of another seed, mirrored, inverted (night for day), and as if an episode began where
another has got to after 100 or 400 steps of random play.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from configs.ranges import argument
from envs.atari import AtariBatch, AtariSettings
from envs.game_sets import games_of
from envs.timestep import ACTIONS, SIZE, STACK, TimeStep
from experiments.inference import chosen_model
from taskid.forget_me_not import ForgetMeNot
from taskid.forget_me_not_settings import DEFAULT, PAPER, ForgetMeNotSettings
from tracking import command
from tracking.console import print_json
from tracking.files import file_name
from tracking.numbers import whole, whole_list

_RESULTS = Path(__file__).resolve().parents[1] / "results" / "inference"
_CONTEXTS = (1, 2, 5, 10, 20, 50, 100)
_COLUMNS = (
    "games",
    "contexts",
    "purity",
    "coverage",
    "ari",
    "delay_median",
    "delay_max",
    "false_switches",
    "longest_false",
    "us_per_step",
)


def main() -> int:
    """The command line."""
    parser = command.Parser(prog="python -m benchmarks.inference", description=__doc__.split("\n")[0])
    parser.add_argument("--groups", default="figure3,pool,thirty", help="as in experiments.inference --games")
    parser.add_argument("--seeds", type=whole_list(0, 10**9), default="0,1,2,3,4")
    parser.add_argument("--emulators", type=argument("emulators.num_envs"), default=8)
    parser.add_argument("--visits", type=whole(1, 1000), default=3)
    parser.add_argument("--vector_steps", type=whole(1, 10**8), default=2000)
    parser.add_argument("--source", default="default")
    parser.add_argument("--variant", help="name of the results where settings are changed (default: the source)")
    parser.add_argument("--set", action="append", default=[], help="as in experiments.inference")
    parser.add_argument("--results", type=Path, default=_RESULTS)
    parser.add_argument("--cost", action="store_true", help="measure time and memory by number of contexts instead")
    parser.add_argument("--changed", metavar="GROUP", help="recognise changed openings instead")
    options = parser.parse_args()
    try:
        seeds, groups = options.seeds, options.groups.split(",")
        for group in groups:
            games_of(group)
        if options.changed:
            games_of(options.changed)
        chosen_model(options.source, options.set)
        if options.variant and options.variant != file_name(options.variant):
            raise ValueError(f"--variant: must do as a part of a file's name, is {options.variant!r}")
        if options.set and not options.variant:
            raise ValueError("--set: name its results with --variant")
        for seed in seeds:
            for group in groups:
                _check_kept(_kept(group, seed, options), options)
    except ValueError as error:
        parser.error(str(error))
    options.results.mkdir(parents=True, exist_ok=True)
    if options.cost:
        costs = {name: cost(settings) for name, settings in (("default", DEFAULT), ("paper", PAPER))}
        (options.results / "cost.json").write_text(json.dumps(costs, indent=1))
        print_json(costs)
        return 0
    if options.changed:
        answers = changed(games_of(options.changed), options.emulators)
        (options.results / f"changed-{options.emulators}.json").write_text(json.dumps(answers, indent=1))
        print_json({name: dict(Counter(each.values())) for name, each in answers.items()})
        return 0
    for seed in seeds:
        for group in groups:
            _measure(group, seed, options)
    text = table(options.results)
    (options.results / "table.md").write_text(text)
    print(text)
    return 0


def _kept(group: str, seed: int, options: argparse.Namespace) -> Path:
    return options.results / f"{group}-{options.emulators}-{options.variant or options.source}-{seed}.json"


def _check_kept(path: Path, options: argparse.Namespace) -> None:
    """ValueError if what was measured is something else, which would be taken for what is asked for."""
    there = json.loads(path.read_text()) if path.is_file() else {}
    for name in ("visits", "vector_steps", "source", "set"):
        if there.get(name, asked := getattr(options, name)) != asked:
            raise ValueError(f"{path} is of {there[name]} {name}, not {asked}; keep both, with another --results")


def _measure(group: str, seed: int, options: argparse.Namespace) -> None:
    variant, path = options.variant or options.source, _kept(group, seed, options)
    if path.is_file():
        return
    arguments = ["--games", group, "--seed", str(seed), "--source", options.source, "--json"]
    for name in ("visits", "vector_steps", "emulators"):
        arguments += [f"--{name}", str(getattr(options, name))]
    arguments += [word for change in options.set for word in ("--set", change)]
    figure = options.results / f"{group}-{options.emulators}-{variant}.png" if seed == 0 else Path("runs/taskid.png")
    call = [sys.executable, "-m", "experiments.inference", *arguments, "--figure", str(figure)]
    output = subprocess.run(call, check=True, stdout=subprocess.PIPE, text=True).stdout
    result = {
        "group": group,
        "emulators": options.emulators,
        "variant": variant,
        "seed": seed,
        "visits": options.visits,
        "vector_steps": options.vector_steps,
        "source": options.source,
        "set": options.set,
        **json.loads(output.splitlines()[-1]),
    }
    path.write_text(json.dumps(result, indent=1))


def table(results: Path) -> str:
    """All results as a Markdown table, seeds by minimum and maximum."""
    found: dict[tuple[str, int, str], list[dict[str, Any]]] = {}
    for path in sorted(results.glob("*-*-*-*.json")):
        one = json.loads(path.read_text())
        found.setdefault((one["group"], one["emulators"], one["variant"]), []).append(one)
    head = ["games", "emulators", "source", "seeds", *_COLUMNS[1:]]
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for (group, emulators, variant), ones in sorted(found.items()):
        cells = [f"{group} ({ones[0]['games']})", str(emulators), variant, str(len(ones))]
        cells += [_range([one[name] for one in ones]) for name in _COLUMNS[1:]]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _range(values: list[float]) -> str:
    low, high = f"{min(values):.4g}", f"{max(values):.4g}"
    return low if low == high else f"{low} to {high}"


def changed(games: Sequence[str], emulators: int) -> dict[str, dict[str, str]]:
    """By kind of change and game, what it is taken for: "right", "never met" or the name of another game."""
    settings = DEFAULT
    length = max(settings.window, -(-settings.window_images // emulators))
    source = ForgetMeNot(settings)
    names: dict[int, str] = {}
    for game in games:
        for now in _opening(game, emulators, 0, 0, length):
            task = source.infer(now).task
        names[task] = game
    assert len(names) == len(games), "two games were taken for one"
    answers: dict[str, dict[str, str]] = {}
    for kind, (seed, start, change) in _CHANGES.items():
        answers[kind] = {}
        for game in games:
            recogniser = source.recogniser("")
            for now in _opening(game, emulators, seed, start, length):
                found = recogniser.identify(replace(now, observation=change(now.observation)))
            taken = "never met" if found is None else names[found]
            answers[kind][game] = "right" if taken == game else taken
    return answers


_CHANGES: dict[str, tuple[int, int, Callable[[np.ndarray], np.ndarray]]] = {
    "another seed": (1, 0, lambda screen: screen),
    "mirrored": (0, 0, lambda screen: screen[..., ::-1]),
    "inverted": (0, 0, lambda screen: 255 - screen),
    "after 100 steps": (0, 100, lambda screen: screen),
    "after 400 steps": (0, 400, lambda screen: screen),
}


def _opening(game: str, emulators: int, seed: int, start: int, length: int) -> Iterator[TimeStep]:
    """Time steps of random play from `start` on, the first of them marked as the beginning of an episode."""
    batch = AtariBatch(game, emulators, seed, AtariSettings(), None)
    rng = np.random.default_rng(seed)
    now = batch.reset()
    for t in range(start + length):
        if t >= start:
            yield replace(now, first=np.full(emulators, t == start))
        now = batch.step(rng.integers(ACTIONS, size=emulators))
    batch.close()


def cost(settings: ForgetMeNotSettings, emulators: int = 8, steps: int = 64) -> dict[str, dict[str, float]]:
    """Microseconds per vector step and bytes per context, by number of contexts.

    `in_window` is the mean over the steps of windows; `in_visits` counts a window every 2,000 steps where windows
    open only at starts.
    """
    rng = np.random.default_rng(0)
    source, costs = ForgetMeNot(settings), {}
    screens = rng.integers(0, 256, (max(_CONTEXTS), 1, STACK, SIZE, SIZE), dtype=np.uint8)
    first, later = np.ones(emulators, bool), np.zeros(emulators, bool)
    nothing = np.zeros(emulators, np.float32)
    length = settings.period * max(settings.window, -(-settings.window_images // emulators))
    for count in _CONTEXTS:
        while source.models.count < count:
            screen = np.repeat(screens[source.models.count], emulators, 0)
            for t in range(length):
                source.infer(TimeStep(screen, nothing, nothing, later if t else first))
        shown, begin = np.repeat(screens[0], emulators, 0), time.perf_counter()
        for t in range(steps * length):
            source.infer(TimeStep(shown, nothing, nothing, later if t % length else first))
        in_window = 1e6 * (time.perf_counter() - begin) / (steps * length)
        assert source.models.count == count
        costs[str(count)] = {
            "in_window": in_window,
            "in_visits": in_window * length / 2000 if settings.episode_start_only else in_window,
            "bytes_per_context": source.nbytes / count,
        }
    return costs


if __name__ == "__main__":
    command.run(main)
