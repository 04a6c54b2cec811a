"""A plain DQN on the stream of a finished run, and the report on that run beside it.

    python -m experiments.beside runs/quick-seed1

The plain DQN has one task, one replay and the whole network for everything; all else is the run's own configuration. It
is an ordinary run in RUN/plain_dqn: what was stopped is resumed, what is finished is not made again. Then the report in
RUN/report is written anew, with the scores of both. Exit codes are those of train.py.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import train
from configs.checks import ConfigError
from configs.layers import AGENTS
from configs.schema import Config
from evaluation.playable import load_run
from tracking import command
from tracking.files import quoted
from tracking.run_directory import FINISHED, RunDirectory, RunDirectoryError
from tracking.tables import terminal_width
from training.ending import final_report


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = command.Parser(prog="python -m experiments.beside", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("run", type=Path, help="the directory of a finished run")
    run = RunDirectory(parser.parse_args(arguments).run)
    try:
        run.resume()
        with run:
            config = load_run(run)
            if not run.finished:
                parser.error(f"the run in {run.path} has not finished; go on with train.py --resume {quoted(run.path)}")
            return beside(run, config)
    except (ConfigError, RunDirectoryError) as error:
        parser.error(str(error))


def beside(run: RunDirectory, config: Config) -> int:
    """Make the plain DQN's run, unless it is finished, and write the report on both; train.py's exit code."""
    plain = RunDirectory(run.path / "plain_dqn")
    done = plain.finished and plain.frames >= config.frames
    code = FINISHED if done else train.main(plain_dqn(run, plain, config))
    if code == FINISHED:
        reference = replace(config.evaluation, reference=str(plain.path))
        for line in final_report(run, replace(config, evaluation=reference), width=terminal_width(sys.stdout)):
            print(line)
    return code


def plain_dqn(run: RunDirectory, plain: RunDirectory, config: Config) -> list[str]:
    """The arguments of train.py for the run in `plain`, which goes on if it has begun."""
    if plain.config.is_file():
        return ["--resume", str(plain.path), "--frames", str(config.frames)]
    own = ["--config", str(run.config), "--evaluation.reference", "null", "--run_dir", str(plain.path)]
    return [*own, "--config", str(AGENTS["plain_dqn"])]


if __name__ == "__main__":
    command.run(main)
