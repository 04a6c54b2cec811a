"""What the agent learns in single games: a table of games and seeds beside a random agent, the human score and DrQ(ε).

    python -m experiments.single_games [--config single_game] [--games krull,road_runner,boxing] [--seeds 0,1,2]
                                       [--processes 2]

Every run is an ordinary one of `train.py` with the preset `single_game`, or `one_of_ten`, on one core each. What is
done is skipped, what was stopped is resumed. Every run's small files are kept in results/single_games/, or
results/one_of_ten/, beside table.md. More arguments are train.py's and go to every run (then with --runs and --results
elsewhere: what is there with other settings is refused).
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from configs.build import build_agent, build_memory
from configs.checks import ConfigError
from configs.parse import load
from envs.game_sets import games_of
from envs.games import game as find_game
from envs.games import human_normalised
from evaluation.evaluator import SEED, evaluate_games
from experiments.jobs import ONE_CORE, Interrupted, Job, check_free, check_settings, run_all
from experiments.published import DRQ_EPSILON
from tracking import command
from tracking.numbers import whole, whole_list
from tracking.run_directory import STOPPED
from training.machine import resolve

RESULTS = Path(__file__).resolve().parents[1] / "results" / "single_games"
PRESETS = {"single_game": RESULTS, "one_of_ten": RESULTS.with_name("one_of_ten")}
"""Presets of one game, and where the small files of their runs are kept."""


def main() -> int:
    """The command line."""
    parser = command.Parser(
        prog="python -m experiments.single_games", description=__doc__.split("\n")[0], allow_abbrev=False
    )
    add = parser.add_argument
    add("--config", choices=PRESETS, default="single_game", help="default: single_game")
    add("--games", default="krull,road_runner,boxing", help="ROM ids and sets of games (default: %(default)s)")
    add("--seeds", type=whole_list(0, 10**9), default="0,1,2", help="default: 0,1,2")
    add("--processes", type=whole(1, 1024), default=2, help="runs at a time, one core each (default: 2)")
    add("--runs", type=Path, help="where the run directories go (default: runs/CONFIG)")
    add("--results", type=Path, help="where the small files go (default: results/single_games, results/one_of_ten)")
    options, overrides = parser.parse_known_args()
    preset = options.config
    runs, results = options.runs or Path("runs") / preset, options.results or PRESETS[preset]
    try:
        check_free(overrides, {"--seed": "--seeds", "--stream.games": "--games"})
        games = games_of(options.games)
        if len(games) < sum(len(games_of(part)) for part in options.games.split(",")):
            raise ValueError(f"--games: each game once, is {options.games}")
        command.check_writable(runs)
        command.check_writable(results)
        pairs = [(seed, game) for seed in options.seeds for game in games]
        jobs = [single_game(game, seed, runs, results, overrides, preset) for seed, game in pairs]
        check_settings(jobs)
    except ValueError as error:
        parser.error(str(error))
    results.mkdir(parents=True, exist_ok=True)
    try:
        failed = run_all(jobs, options.processes)
    except Interrupted as stopped:
        print(stopped)
        return STOPPED
    for game in games:
        chance = results / f"{game}-random.json"
        if not chance.is_file():
            chance.write_text(json.dumps(_random_agent(game, preset, overrides), indent=1) + "\n")
    text = table(results)
    (results / "table.md").write_text(text)
    print(text)
    return 1 if failed else 0


def single_game(
    game: str, seed: int, runs: Path, results: Path, overrides: Sequence[str] = (), preset: str = "single_game"
) -> Job:
    """One game for as long as the preset says. `ConfigError` if `overrides` change the game or the seed."""
    given = ["--seed", str(seed), "--stream.games", f"[{game}]", *ONE_CORE, *overrides]
    config = load(preset, given)
    if config.seed != seed or list(config.stream.games) != [game]:
        raise ConfigError(f"what goes to every run would change the game or the seed of {game}-{seed}")
    arguments = ["--config", preset, *given]
    return Job(f"{game}-{seed}", tuple(arguments), runs / f"{game}-{seed}", results / f"{game}-{seed}")


def _random_agent(game: str, preset: str, overrides: Sequence[str]) -> dict[str, Any]:
    """Thirty episodes under the run's own cap, with epsilon 1."""
    config = resolve(load(preset, [*overrides, "--stream.games", f"[{game}]", "--learner.precision", "float32"]))
    e, episodes = config.evaluation, 30
    (result,) = evaluate_games(
        config,
        build_agent(config, build_memory(config), lambda: game),
        [game],
        episodes=episodes,
        emulators=10,
        epsilon=1.0,
        max_episode_frames=e.max_episode_frames,
        seed=SEED,
    )
    return {"game": game, "episodes": episodes, "mean": result.mean, "standard_error": result.standard_error}


def table(results: Path) -> str:
    """The table of all games with finished runs as Markdown, from the result files; below it what it comes to in the
    games for which a score of DrQ(ε) is published."""
    lines = [
        "| game | random agent | human | mean over seeds ± standard error | per seed | human-normalised | DrQ(ε) |",
        "|---|---|---|---|---|---|---|",
    ]
    compared: list[tuple[float, float]] = []
    for chosen in sorted(results.glob("*-random.json")):
        game = chosen.name.removesuffix("-random.json")
        kept = sorted(results.glob(f"{game}-[0-9]*"), key=lambda path: int(path.name.rpartition("-")[2]))
        runs = [path / "report" / "scores.json" for path in kept]
        means = [json.loads(run.read_text())["games"][0]["mean"] for run in runs if run.is_file()]
        if not means:
            continue
        chance = json.loads(chosen.read_text())
        error = f"{statistics.stdev(means) / len(means) ** 0.5:,.1f}" if len(means) > 1 else "–"
        mean = statistics.fmean(means)
        ours, theirs = human_normalised(game, mean), "–"
        if game in DRQ_EPSILON:
            compared.append((ours, human_normalised(game, DRQ_EPSILON[game])))
            theirs = f"{compared[-1][1]:.2f}"
        lines.append(
            f"| {game} | {chance['mean']:,.1f} | {find_game(game).human:,.1f} | {mean:,.1f} ± {error} "
            f"| {', '.join(f'{m:,.1f}' for m in means)} | {ours:.2f} | {theirs} |"
        )
    if compared:
        clipped = [statistics.fmean(min(1.0, each[who]) for each in compared) for who in (0, 1)]
        ahead = sum(ours >= theirs for ours, theirs in compared)
        lines.append(
            f"\nOf the {len(compared)} with a published score (`experiments/published.py`): mean of min(1, "
            f"human-normalised) {clipped[0]:.3f}, DrQ(ε) {clipped[1]:.3f}; {ahead} at or above it."
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    command.run(main)
