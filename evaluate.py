"""Play any kept moment of a run on every game, without learning: tables, files, videos.

    python evaluate.py RUN_OR_SNAPSHOT [--games krull,boxing] [--at FRAMES|all] [--episodes 30] [--video]
                       [--tasks inferred|true]

Needs neither the replay nor the run's process: it reads the weights-only snapshots that a run keeps at every
switch and evaluation, also while the run goes on. The same seed gives the same numbers.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from agent.continual import ContinualAgent
from configs.launch import ON_CPU
from configs.parse import load
from configs.ranges import argument
from configs.run import (
    build_agent,
    build_memory,
    build_schedule,
    emulator_maker,
    for_evaluation,
    numpy_generator,
)
from configs.schema import Config
from envs.games import game as find_game
from evaluation import table
from evaluation.play import GameResult, Recognises, game_seed, play_game
from evaluation.recognition import AsConfigured, Inferred, Recognition, Told
from evaluation.tasks import known_tasks
from evaluation.video import Recorder
from tracking import command
from tracking.checkpoints import CheckpointError
from tracking.files import numbered, write_text
from tracking.run_directory import BAD_INPUT, RunDirectory, run_of
from tracking.snapshots import intact_snapshots, kept_snapshots, newest_intact, read_snapshot


def evaluate_games(
    config: Config,
    agent: ContinualAgent,
    games: Sequence[str],
    *,
    episodes: int,
    emulators: int,
    epsilon: float,
    max_episode_frames: int,
    seed: int,
    recogniser: Callable[[str], Recognises] | None = None,
    stopped: Callable[[], bool] = lambda: False,
    video_dir: Path | None = None,
) -> list[GameResult]:
    """Play every game with the agent's current weights, on emulators and generators of the evaluation's own.

    `recogniser` makes what tells a game's task (default: the agent's own, as it was configured). Raises
    `evaluation.play.Abandoned` soon after `stopped()` becomes true.
    """
    recogniser = recogniser or agent.tasks.recogniser
    results = []
    for game in games:
        seeds = game_seed(seed, game)
        playing = for_evaluation(config, min(emulators, episodes), max_episode_frames)
        batch = emulator_maker(playing)(game, seeds)
        player = agent.player(epsilon, numpy_generator(seed, f"evaluation of {game}"))
        recorder = Recorder(playing, game, seeds, video_dir)
        try:
            result = play_game(
                game,
                player,
                recogniser(game),
                batch,
                episodes,
                stopped=stopped,
                on_step=recorder.on_step,
            )
        finally:
            batch.close()
            recorder.close()
        results.append(result)
    return results


def scheduled_evaluation(
    config: Config, agent: ContinualAgent, last: bool, stopped: Callable[[], bool] = lambda: False
) -> list[GameResult]:
    """The evaluation that a run makes under way or, if it is the `last`, at its end: every game of the schedule."""
    e = config.evaluation
    return evaluate_games(
        config,
        agent,
        build_schedule(config).games,
        episodes=e.final_episodes if last else e.episodes,
        emulators=e.emulators,
        epsilon=e.epsilon,
        max_episode_frames=e.max_episode_frames,
        seed=e.seed,
        stopped=stopped,
    )


def evaluate_snapshot(
    config: Config, path: Path, last: bool, stopped: Callable[[], bool] = lambda: False
) -> list[GameResult]:
    """The same with the agent of a snapshot; sets torch's number of threads."""
    return scheduled_evaluation(config, load_agent(config, path)[0], last, stopped)


def load_agent(config: Config, path: Path) -> tuple[ContinualAgent, int]:
    """The agent of a snapshot, without replay, and the frames of its run by then; computes as training does.

    CheckpointError with one sentence if the file is damaged or is a snapshot of another kind of run.
    """
    torch.set_flush_denormal(True)
    torch.set_num_threads(config.threads or torch.get_num_threads())
    snapshot = read_snapshot(path)
    agent = build_agent(config, build_memory(config), label=lambda: snapshot["label"])
    try:
        agent.load_snapshot(snapshot["agent"])
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError):
        raise CheckpointError(f"{path} is not a snapshot of the run in {run_of(path)}") from None
    return agent, snapshot["frames"]


def choose_snapshots(path: Path, at: str) -> tuple[Path, list[Path]]:
    """The run directory and the snapshots that PATH and --at name; of the latest, or of all, those that are intact, the
    others being named on stderr. ValueError with one sentence if there are none."""
    if path.is_file():
        if at != "latest":
            raise ValueError(f"--at {at}: {path} is one moment; give the run's directory")
        return run_of(path), [path]
    available = kept_snapshots(path / "snapshots")
    if not available:
        raise ValueError(f"{path} holds no snapshots; give a run directory or a file of its snapshots folder")
    if at in ("all", "latest"):
        newest = newest_intact(path / "snapshots", _warn) if at == "latest" else None
        found = intact_snapshots(available, _warn) if at == "all" else [newest] if newest else []
        if not found:
            raise ValueError(f"none of the {len(available)} snapshots in {path} is intact")
        return path, found
    moments = {int(p.stem): p for p in available}
    digits = at.replace("_", "")
    if not digits.isdecimal() or int(digits) not in moments:
        kept = ", ".join(f"{m}" for m in moments)
        raise ValueError(f"--at {at}: this run kept snapshots at frames {kept}; give one of them, latest or all")
    return path, [moments[int(digits)]]


def choose_recognition(tasks: str | None, config: Config, agent: ContinualAgent, run_dir: Path, at: int) -> Recognition:
    """What --tasks means for the agent at frame `at` of a run; None: as the run was configured. ValueError with one
    sentence for what the run cannot do or does not tell."""
    if config.tasks != "inferred":
        if tasks == "inferred":
            raise ValueError(f"--tasks inferred: this run (tasks: {config.tasks}) has not learned to tell games apart")
        return AsConfigured(agent.tasks.recogniser)
    run = RunDirectory(run_dir)
    try:
        own = known_tasks(run, at)
    except (OSError, KeyError, ValueError, TypeError):
        own = {}
    if not own:
        raise ValueError(f"{run.tasks} does not tell which task this run gave to each game by {at:,} frames")
    return Told(own) if tasks == "true" else Inferred(agent.tasks.recogniser, own)


def choose_output(named: Path | None, run_dir: Path, settings: dict[str, Any]) -> Path:
    """The folder for the results of these settings: the one named or the run's evaluation, evaluation-2, ..., whichever
    holds none of other settings."""
    if named is not None:
        if not _free_for(named, settings):
            raise ValueError(f"--output: {named} holds the results of other settings; name another folder")
        return named
    return next(folder for folder in numbered(run_dir / "evaluation") if _free_for(folder, settings))


def _warn(line: str) -> None:
    print(f"warning: {line}", file=sys.stderr)


def _free_for(folder: Path, settings: dict[str, Any]) -> bool:
    try:
        return bool(json.loads((folder / "scores.json").read_text())["settings"] == settings)
    except FileNotFoundError:
        return True
    except (OSError, ValueError, KeyError):
        return False


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        return _run(options)
    except (ValueError, FileNotFoundError, CheckpointError) as error:
        print(f"evaluate.py: {error}", file=sys.stderr)
        return BAD_INPUT


def _run(options: argparse.Namespace) -> int:
    run_dir, snapshots = choose_snapshots(options.path, options.at)
    if not (run_dir / "config.yaml").is_file():
        raise ValueError(f"{run_dir} has no config.yaml; a snapshot belongs in the snapshots folder of its run")
    config = load(run_dir / "config.yaml", [] if torch.cuda.is_available() else ON_CPU)
    games = options.games.split(",") if options.games else list(build_schedule(config).games)
    games = list(dict.fromkeys(find_game(name.strip()).name for name in games))
    settings = {k: getattr(options, k) for k in ("episodes", "emulators", "epsilon", "max_episode_frames", "seed")}
    settings["tasks"] = options.tasks or config.tasks
    settings |= {"games": games, "moments": [path.stem for path in snapshots]}
    output = choose_output(options.output, run_dir, settings)
    command.check_writable(output)
    reports, lines = [], []
    for path in snapshots:
        agent, frames = load_agent(config, path)
        recognition = choose_recognition(options.tasks, config, agent, run_dir, frames)
        results = evaluate_games(
            config,
            agent,
            games,
            episodes=options.episodes,
            emulators=options.emulators,
            epsilon=options.epsilon,
            max_episode_frames=options.max_episode_frames,
            seed=options.seed,
            recogniser=recognition.recogniser,
            video_dir=output / "videos" / path.stem if options.video else None,
        )
        rows = [{**row, **recognition.report(row["game"])} for row in table.rows(frames, results)]
        Console(width=max(120, Console().width)).print(table.console_table(frames, rows))
        reports.append(table.report(frames, rows, results))
        lines += rows
    output.mkdir(parents=True, exist_ok=True)
    write_text(output / "scores.json", json.dumps({"settings": settings, "moments": reports}, indent=1))
    with open(output / "scores.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, (*table.COLUMNS, *recognition.columns))
        writer.writeheader()
        writer.writerows(lines)
    written = [output / "scores.json", output / "scores.csv", *([output / "videos"] if options.video else [])]
    print(f"written: {', '.join(map(str, written))}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = command.Parser(prog="evaluate.py", description=__doc__.split("\n")[0])
    parser.add_argument("path", type=Path, help="a run directory, or a file of its snapshots folder")
    parser.add_argument("--games", help="comma-separated ROM ids (default: every game of the run's schedule)")
    parser.add_argument("--at", default="latest", help="a kept moment in frames, latest, or all (default: latest)")
    parser.add_argument(
        "--episodes", type=argument("evaluation.episodes"), default=10, help="episodes per game (default: 10)"
    )
    parser.add_argument(
        "--emulators", type=argument("evaluation.emulators"), default=10, help="emulators in parallel (default: 10)"
    )
    parser.add_argument(
        "--epsilon", type=argument("evaluation.epsilon"), default=0.01, help="exploration while playing (default: 0.01)"
    )
    parser.add_argument(
        "--max_episode_frames",
        type=argument("evaluation.max_episode_frames"),
        default=27_000,
        help="an episode is cut off after this many frames (default: 27,000 = 7.5 minutes; the full game: 108,000)",
    )
    parser.add_argument(
        "--seed", type=argument("evaluation.seed"), default=1, help="seed of emulators and exploration (default: 1)"
    )
    parser.add_argument(
        "--tasks",
        choices=("inferred", "true"),
        help="inferred: the agent recognises each game, and the table tells how often; true: each game is played in "
        "the task that the run gave it most often, so that what it lacks was forgotten (default: as the run was "
        "configured)",
    )
    parser.add_argument("--video", action="store_true", help="write an mp4 of the first episode of each game")
    parser.add_argument(
        "--output",
        type=Path,
        help="folder for the results (default: RUN/evaluation, or if that holds others RUN/evaluation-2, ...)",
    )
    return parser


if __name__ == "__main__":
    command.run(main)
