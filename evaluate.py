"""Play any kept moment of a run on every game, without learning: tables, files, videos.

    python evaluate.py RUN_OR_SNAPSHOT [--games krull,boxing] [--at FRAMES|all] [--episodes 30] [--video]
                       [--task_source inferred|true]
    python evaluate.py RUN_OR_SNAPSHOT --watch [--games krull]      in the terminal
    python evaluate.py RUN_OR_SNAPSHOT --export agent.pt            one file, which evaluate.py plays anywhere

Needs neither the replay nor the run's process: it reads the weights-only snapshots that a run keeps at every
switch and evaluation, also while the run goes on. The same seed gives the same numbers. Every game is kept as soon as
it is played, in the folder of the results: the same command goes on after an interruption.
"""

from __future__ import annotations

import argparse
import sys

from evaluation.moments import Moment
from evaluation.options import asked_of, read_options
from evaluation.playable import export, find
from evaluation.results import Question, Results, choose_folder
from evaluation.session import play, print_rows, print_written, watch_games
from tracking import command
from tracking.checkpoints import CheckpointError
from tracking.run_directory import BAD_INPUT


def evaluate(options: argparse.Namespace) -> int:
    """Play what is asked for, print the table, write the files; returns the exit code."""
    playable = find(options.path, options.at)
    if options.export:
        export(playable, options.export)
        print_written([options.export])
        return 0
    asked = asked_of(options, playable)
    if options.watch:
        return watch_games(Moment(asked, playable, playable.snapshots[-1]), asked.games)
    question = Question.of(asked, playable)
    folder = choose_folder(options.output, playable.run_dir, question)
    if folder is None and options.video:
        raise ValueError(f"{options.path} has no run to write films into; name a folder with --output")
    results = Results(folder, question)
    try:
        reports, rows = play(asked, playable, results, options.video)
    except KeyboardInterrupt:
        if folder is None or results.plays.empty:
            raise
        print(
            f"evaluate.py: interrupted; the games played are kept, and the same command goes on: {results.plays.path}"
        )
        return command.INTERRUPTED
    finally:
        results.plays.drop_empty()
    written = results.write(reports, [row for lines in rows.values() for row in lines], playable.run_dir)
    print_rows(rows)
    print_written([*written, folder / "videos"] if folder and options.video else written)
    return 0


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    options = read_options((__doc__ or "").split("\n")[0], arguments)
    try:
        return evaluate(options)
    except (ValueError, FileNotFoundError, CheckpointError) as error:
        print(f"evaluate.py: {error}", file=sys.stderr)
        return BAD_INPUT


if __name__ == "__main__":
    command.run(main)
