"""The options of evaluate.py."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from configs.ranges import argument
from envs.game_sets import games_of
from evaluation.moments import Asked
from evaluation.playable import Playable
from tracking import command


def read_options(description: str, arguments: Sequence[str] | None) -> argparse.Namespace:
    """What was asked, with the number of episodes; where there is no terminal to watch it in, films of it."""
    parser = _parser(description)
    options = parser.parse_args(arguments)
    if options.at == "all" and (options.watch or options.export):
        parser.error(f"--at all: {'--watch shows' if options.watch else '--export writes'} one moment, such as latest")
    if options.export:
        for name in vars(options).keys() - {"path", "at", "export"}:
            if getattr(options, name) != parser.get_default(name):
                parser.error(f"--{name}: --export plays nothing; leave one of the two out")
    if options.watch and sys.stdout.isatty():
        for name in ("video", "output"):
            if getattr(options, name):
                parser.error(f"--{name}: --watch writes nothing; leave one of the two out")
    options.episodes = options.episodes or (1 if options.watch else 10)
    if options.watch and not sys.stdout.isatty():
        print("note: there is no terminal to watch it in; films are written instead", file=sys.stderr)
        options.watch, options.video = False, True
    return options


def asked_of(options: argparse.Namespace, playable: Playable) -> Asked:
    """The question in them to what can be played; ValueError for a game that there is not."""
    return Asked(
        options.episodes,
        options.emulators,
        options.epsilon,
        options.max_episode_frames,
        options.seed,
        options.task_source or playable.config.task_source,
        games=list(games_of(options.games) if options.games else playable.games()),
        moments=[path.stem for path in playable.snapshots],
    )


def _parser(description: str) -> argparse.ArgumentParser:
    parser = command.Parser(prog="evaluate.py", description=description)
    parser.add_argument("path", type=Path, help="a run's directory, or a snapshot: a file of its snapshots folder")
    parser.add_argument(
        "--games", help="comma-separated ROM ids and sets of games (default: every game of the run's schedule)"
    )
    parser.add_argument("--at", default="latest", help="a kept moment in frames, latest, or all (default: latest)")
    parser.add_argument(
        "--episodes", type=argument("evaluation.episodes"), help="episodes per game (default: 10; 1 with --watch)"
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
        "--seed", type=argument("seed"), default=1, help="seed of emulators and exploration (default: 1)"
    )
    parser.add_argument(
        "--task_source",
        choices=("inferred", "true"),
        help="inferred: the agent recognises each game, and the table tells how often; true: each game is played in "
        "the task that the run gave it most often, so that what it lacks was forgotten (default: as the run was "
        "configured)",
    )
    parser.add_argument("--video", action="store_true", help="write an mp4 of the median episode of each game")
    parser.add_argument(
        "--watch",
        action="store_true",
        help="show it in the terminal, and write nothing; films where there is no terminal",
    )
    parser.add_argument(
        "--output",
        type=Path,
        help="folder for the results (default: RUN/evaluation, or if that holds others RUN/evaluation-2, ...; of a "
        "file made by --export: none, the table is printed)",
    )
    parser.add_argument(
        "--export",
        type=Path,
        metavar="FILE",
        help="play nothing; write the snapshot with the run's settings into one file, which can be played anywhere",
    )
    return parser
