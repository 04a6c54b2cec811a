"""How far values are from what was earned: those of a run's agent against the returns in its own replay.

    python -m experiments.value_bias RUN [--transitions 4000] [--json]

RUN is the directory of a run, or one of its checkpoints. For every task, of its newest transitions of the last emulator
(with a ladder of exploration the one that explores least): the mean value of the replayed actions, that of the best
actions, the mean discounted sum of clipped rewards that followed, and the correlation of the first with the last. Of a
policy that is played as it is replayed, all three means would be alike. The bootstrap adds what the best action is said
to be better than the replayed one, again and again every n steps: where that is noise, a bias of "best - replayed"
divided by 1 - discount**n is to be expected.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console

from configs.checks import ConfigError
from experiments.kept_agent import KeptAgent, load_kept
from replay.buffer import ReplayBuffer
from tracking import command
from tracking.checkpoints import CheckpointError
from tracking.console import print_json
from tracking.numbers import whole
from tracking.run_directory import RunDirectory, run_of
from tracking.task_log import known_tasks

UNKNOWN = 0.05
"""A return counts where what follows its last known reward is discounted to this share or less."""
_CHUNK = 500  # transitions whose observations are in memory at once


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = command.Parser(prog="python -m experiments.value_bias", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("run", type=Path, help="directory of a run, or one of its checkpoints")
    parser.add_argument("--transitions", type=whole(100, 10**7), default=4_000, help="default: %(default)s")
    parser.add_argument("--json", action="store_true", help="print one line of JSON as well")
    options = parser.parse_args(arguments)
    console, found = Console(width=100), []
    try:
        kept = load_kept(options.run, "")
        for bias in biases(kept, options.transitions):
            console.print(
                f"task {bias.task:<3} {bias.game:<16} replayed {bias.replayed:7.3f}  best {bias.best:7.3f}  "
                f"earned {bias.earned:7.3f}  correlation {bias.correlation:5.2f}  of {bias.transitions:,}",
                highlight=False,
                soft_wrap=True,
            )
            found.append(vars(bias))
    except (ConfigError, CheckpointError, ValueError) as error:
        parser.error(str(error))
    if not found:
        parser.error(f"{kept.path} holds no replay that reaches far enough; give a run with checkpoints")
    if options.json:
        print_json({"run": str(kept.path), "measured": found})
    return 0


@dataclass(frozen=True)
class Bias:
    """Means over `transitions` of a task's replay; `game`: the one that it is of, "" if the run does not tell.
    `correlation`: of values and returns, 0 where either does not vary."""

    task: int
    game: str
    replayed: float
    best: float
    earned: float
    correlation: float
    transitions: int


def biases(kept: KeptAgent, transitions: int) -> Iterator[Bias]:
    """Of every task whose replay the checkpoint holds. CheckpointError with one sentence."""
    one_step = replace(kept.config, learner=replace(kept.config.learner, n_step=1, n_step_first=0))
    kept = replace(kept, config=one_step)
    games, emulators = _games(kept), kept.config.emulators.num_envs
    for task in range(kept.agent.learner.num_tasks):
        memory = kept.replay(task)
        if memory is None:
            continue
        buffer = memory.buffer(task)
        numbers = buffer.sampleable()
        numbers = numbers[numbers % emulators == emulators - 1][-transitions:]
        if not len(numbers):
            continue
        replayed, best, reward, discount = _looked_at(kept, buffer, task, numbers)
        earned, unknown = returns(reward, discount, numbers // emulators)
        known = unknown <= UNKNOWN
        if known.any():
            columns = [column[known] for column in (replayed, best, earned)]
            means = [float(column.mean()) for column in columns]
            vary = columns[0].std() > 0 and columns[2].std() > 0
            correlation = float(np.corrcoef(columns[0], columns[2])[0, 1]) if vary else 0.0
            yield Bias(task, games.get(task, ""), means[0], means[1], means[2], correlation, int(known.sum()))


def _looked_at(
    kept: KeptAgent, buffer: ReplayBuffer, task: int, numbers: NDArray[np.int64]
) -> tuple[NDArray[np.float64], ...]:
    """Of the transitions with these numbers: values of the replayed and of the best actions, rewards and discounts."""
    parts = []
    for part in np.array_split(numbers, 1 + len(numbers) // _CHUNK):
        batch = buffer.transitions(part).stacked()
        values = kept.agent.learner.q_values(batch.observation, task).cpu()
        replayed = values.gather(1, batch.action[:, None]).squeeze(1)
        parts.append((replayed, values.amax(1), batch.reward, batch.discount))
    return tuple(torch.cat(column).double().numpy() for column in zip(*parts, strict=True))


def returns(
    reward: NDArray[np.float64], discount: NDArray[np.float64], row: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The discounted sum of the rewards that follow in the same stretch of play, and the factor that what comes after
    the stretch would have in it; all float64 [T].

    `reward`, `discount` [T]: of single steps, 0 into a terminal; `row` [T]: their moments, rising; a stretch ends where
    one is missing.
    """
    total, after = np.zeros(len(reward)), np.ones(len(reward))
    for t in reversed(range(len(reward))):
        follows = t + 1 < len(reward) and row[t + 1] == row[t] + 1
        total[t] = reward[t] + (discount[t] * total[t + 1] if follows else 0.0)
        after[t] = discount[t] * (after[t + 1] if follows else 1.0)
    return total, after


def _games(kept: KeptAgent) -> dict[int, str]:
    try:
        return {task: game for game, task in known_tasks(RunDirectory(run_of(kept.path)), kept.frames).items()}
    except (OSError, KeyError, ValueError, TypeError):
        return {}


if __name__ == "__main__":
    command.run(main)
