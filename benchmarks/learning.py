"""What the agent learns in single games: a table of games and seeds beside a random agent and the human score.

    python -m benchmarks.learning [--games krull,road_runner,boxing] [--seeds 0,1,2] [--processes 2]

Every run is an ordinary `train.py --config configs/single_game.yaml`, on one core each. What is done is skipped,
what was stopped is resumed. Results go to benchmarks/learning/ as one small JSON file per run and table.md.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from configs.parse import load
from configs.run import build_agent, build_memory, resolve
from envs.games import game as find_game
from envs.games import human_normalised
from evaluate import evaluate_games
from tracking.run_directory import STOPPED

_RESULTS = Path(__file__).parent / "learning"
_PRESET = "configs/single_game.yaml"


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--games", default="krull,road_runner,boxing")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--runs", type=Path, default=Path("runs/learning"), help="where the run directories go")
    parser.add_argument("--results", type=Path, default=_RESULTS)
    options, overrides = parser.parse_known_args()
    games = [find_game(name).name for name in options.games.split(",")]
    jobs = [(game, int(seed)) for seed in options.seeds.split(",") for game in games]
    options.results.mkdir(parents=True, exist_ok=True)
    failed = _run_all([job for job in jobs if not _file(options.results, *job).is_file()], options, overrides)
    for game in games:
        if not (options.results / f"{game}-random.json").is_file():
            _write(options.results / f"{game}-random.json", _random_agent(game))
    text = table(options.results, games)
    (options.results / "table.md").write_text(text)
    print(text)
    return 1 if failed else 0


def _run_all(jobs: Sequence[tuple[str, int]], options: argparse.Namespace, overrides: list[str]) -> bool:
    waiting, failed = list(jobs), False
    running: dict[tuple[str, int], subprocess.Popen[bytes]] = {}
    while waiting or running:
        while waiting and len(running) < options.processes:
            job = waiting.pop(0)
            running[job] = _start(*job, options.runs, overrides)
        time.sleep(1.0)
        for job, process in list(running.items()):
            if process.poll() is None:
                continue
            del running[job]
            if process.returncode == 0:
                _write(_file(options.results, *job), _result(*job, options.runs))
            else:
                failed = True
                reason = "was stopped; start this again to resume it" if process.returncode == STOPPED else "failed"
                print(f"{job[0]} seed {job[1]} {reason}: see {_directory(options.runs, *job)}", file=sys.stderr)
    return failed


def _start(game: str, seed: int, runs: Path, overrides: list[str]) -> subprocess.Popen[bytes]:
    directory = _directory(runs, game, seed)
    if (directory / "config.yaml").is_file():
        arguments = ["--resume", str(directory)]
    else:
        arguments = ["--config", _PRESET, "--run_dir", str(directory), "--seed", str(seed), "--threads", "1"]
        arguments += ["--emulators.threads", "1", "--stream.games", f"[{game}]", *overrides]
    runs.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with open(runs / f"{game}-{seed}.log", "a") as log:
        return subprocess.Popen([sys.executable, "train.py", *arguments], stdout=log, stderr=log, env=environment)


def _directory(runs: Path, game: str, seed: int) -> Path:
    return runs / f"{game}-{seed}"


def _file(results: Path, game: str, seed: int) -> Path:
    return results / f"{game}-{seed}.json"


def _result(game: str, seed: int, runs: Path) -> dict[str, Any]:
    directory = _directory(runs, game, seed)
    final = json.loads((directory / "report" / "scores.json").read_text())
    row = final["games"][0]
    samples = load(directory / "config.yaml").learner.samples_per_step
    return {
        "game": game,
        "seed": seed,
        "frames": final["frames"],
        "samples_per_step": samples,
        "episodes": row["episodes"],
        "mean": row["mean"],
        "standard_error": row["standard_error"],
    }


def _random_agent(game: str) -> dict[str, Any]:
    """The same evaluation with epsilon 1."""
    config = resolve(load(_PRESET, ["--stream.games", f"[{game}]", "--learner.precision", "float32"]))
    e, episodes = config.evaluation, 30
    result = evaluate_games(
        config,
        build_agent(config, build_memory(config), lambda: game),
        [game],
        episodes=episodes,
        emulators=10,
        epsilon=1.0,
        max_episode_frames=e.max_episode_frames,
        seed=e.seed,
    )[0]
    return {"game": game, "episodes": episodes, "mean": result.mean, "standard_error": result.standard_error}


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n")


def table(results: Path, games: Sequence[str]) -> str:
    """The table as Markdown, from the result files."""
    lines = [
        "| game | random agent | human | mean over seeds ± standard error | per seed | human-normalised |",
        "|---|---|---|---|---|---|",
    ]
    for game in games:
        runs = [json.loads(path.read_text()) for path in sorted(results.glob(f"{game}-[0-9]*.json"))]
        chance = json.loads((results / f"{game}-random.json").read_text())
        means = [run["mean"] for run in runs]
        if not means:
            continue
        error = statistics.stdev(means) / len(means) ** 0.5 if len(means) > 1 else float("nan")
        mean = statistics.fmean(means)
        lines.append(
            f"| {game} | {chance['mean']:,.1f} | {find_game(game).human:,.1f} | {mean:,.1f} ± {error:,.1f} "
            f"| {', '.join(f'{m:,.1f}' for m in means)} | {human_normalised(game, mean):.2f} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
