"""How soon settings of the learner fit values, without the luck of play: regression on the replay of a finished run.

    python -m experiments.value_fit RUN [--updates 3000] [--json] [--learner.network pooled --learner.shift_pixels 4 …]

RUN is the directory of a run, or one of its checkpoints. A new network learns from four fifths of what the replay of
task 0 holds, with the run's learner but for what is given, towards goals that stand still: rewards, and what the run's
own network says of the states that follow. The other fifth, stretches of play in between, is held out. What is printed
on the way: the mean absolute error of the latest minibatches, and of the goals' variance among what is held out the
share that is explained (0 or less: nothing is; rewards of chance never are).
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from torch import Tensor

from agent.background import BACKGROUND_FRAMES
from agent.consolidators.none import NoConsolidation
from agent.learner import QLearner
from agent.recall import Recall
from agent.roles import Consolidator
from configs.build import build_learner, build_network, prepare_process
from configs.checks import ConfigError
from configs.parse import load
from configs.schema import Config
from experiments.kept_agent import KeptAgent, load_kept
from replay.buffer import ReplayBuffer
from replay.transition import FrameBatch, Transition
from tracking import command
from tracking.checkpoints import CheckpointError
from tracking.console import print_json
from tracking.numbers import whole
from tracking.run_directory import RunDirectory, run_of
from training.machine import resolve

STRETCH, MARGIN = 1_000, 200  # transitions, of all emulators together; a window reaches no further than a margin
HELD_OUT = 5_000
MARKS = (0.1, 0.2, 0.4, 0.7, 1.0)
"""Shares of the updates after which it is measured."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = command.Parser(prog="python -m experiments.value_fit", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("run", type=Path, help="directory of a run, or one of its checkpoints")
    parser.add_argument("--updates", type=whole(10, 10**7), default=3_000, help="default: %(default)s")
    parser.add_argument("--json", action="store_true", help="print one line of JSON as well")
    options, overrides = parser.parse_known_args(arguments)
    console = Console(width=100)
    try:
        fit, name = prepared(options.run, overrides)
        console.print(f"{name} {' '.join(overrides)}", highlight=False, soft_wrap=True)
        measured = []
        for at in fit.run(options.updates):
            console.print(line(at), highlight=False)
            measured.append(at)
    except (ConfigError, CheckpointError, ValueError) as error:
        parser.error(str(error))
    if options.json:
        print_json({"run": name, "overrides": overrides, "measured": measured})
    return 0


def prepared(path: Path, overrides: Sequence[str]) -> tuple[Fit, str]:
    """The regression, and which checkpoint it is on. ValueError, ConfigError or CheckpointError with one sentence."""
    kept, buffer = kept_game(path)
    config = load(RunDirectory(run_of(kept.path)).config, list(overrides))
    config = resolve(replace(config, threads=config.threads or 1))
    prepare_process(config)
    learner = build_learner(config, build_network(config), NoConsolidation())
    learner.add_task()
    return Fit(learner, kept.agent.learner.network, buffer, config), str(kept.path)


def kept_game(path: Path) -> tuple[KeptAgent, ReplayBuffer]:
    """The agent of a run or checkpoint, and its replay of task 0. ValueError or CheckpointError with one sentence."""
    kept = load_kept(path, "")
    memory = kept.replay(0)
    if memory is None:
        raise ValueError(f"{kept.path} holds no replay of task 0; give a run with checkpoints")
    return kept, memory.buffer(0)


def line(at: dict[str, float]) -> str:
    """What `Fit.run` measured, in a line."""
    return (
        f"{at['updates']:>7,} updates  error {at['error']:.3f}  explained {at['explained']:6.3f}  "
        f"{at['milliseconds']:.1f} ms an update"
    )


@dataclass
class Fit:
    """A regression of the values that `learner` has of `task`, towards what `teacher`, in its task 0, makes of a
    replay."""

    learner: QLearner
    teacher: torch.nn.Module
    buffer: ReplayBuffer
    config: Config
    task: int = 0
    consolidator: Consolidator = field(default_factory=NoConsolidation)
    recall: Recall = field(default_factory=lambda: Recall(0, 0, 0.0))

    def run(self, updates: int) -> Iterator[dict[str, float]]:
        """Learn so many minibatches, and measure at MARKS."""
        rng = np.random.default_rng(self.config.seed)
        learned, held_out = split(self.buffer.sampleable())
        if not len(learned) or not len(held_out):
            raise ValueError(f"the replay holds too little: at least {5 * STRETCH:,} transitions are wanted")
        if self.learner.wants_background(self.task):
            some = self.buffer.transitions(np.random.default_rng(self.task).choice(learned, BACKGROUND_FRAMES))
            self.learner.set_background(self.task, some.stacked().observation[:, -1])
        held_out = rng.choice(held_out, min(HELD_OUT, len(held_out)), replace=False)
        kept = [self._with_goals(part) for part in np.array_split(held_out, 1 + len(held_out) // 500)]
        size, marks = self.config.learner.batch_size, {round(share * updates) for share in MARKS}
        latest: list[Tensor] = []
        seconds = 0.0
        for update in range(1, updates + 1):
            batch = self._with_goals(rng.choice(learned, size))
            begin = time.perf_counter()
            prepared = self.learner.prepare(batch, self.task, self.recall.draw(self.task))
            latest.append(self.learner.learn_prepared(prepared, self.task, self.consolidator)["td_error"])
            seconds += time.perf_counter() - begin
            if update in marks:
                yield {
                    "updates": update,
                    "samples": update * size,
                    "error": float(torch.stack(latest[-200:]).mean()),
                    "explained": explained(*self._predicted(kept)),
                    "milliseconds": 1e3 * seconds / update,
                }

    def _with_goals(self, numbers: NDArray[np.int64]) -> FrameBatch:
        """These transitions, ending at once with their goals as reward: so there is nothing to bootstrap from."""
        batch = self.buffer.transitions(numbers)
        with torch.no_grad():
            following = self.teacher(batch.stacked().next_observation, 0).amax(1)
        return replace(batch, reward=batch.reward + batch.discount * following, discount=torch.zeros(len(batch)))

    def _predicted(self, batches: Sequence[FrameBatch]) -> tuple[Tensor, Tensor]:
        """Goals [N] and the learner's values [N] of the same actions."""
        wholes: list[Transition] = [batch.stacked() for batch in batches]
        values = [
            self.learner.q_values(b.observation, self.task).gather(1, b.action[:, None]).squeeze(1) for b in wholes
        ]
        return torch.cat([b.reward for b in wholes]), torch.cat(values)


def split(numbers: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """What is learned from, and what is held out: the inner part of every fifth stretch of play."""
    stretch, place = np.divmod(numbers, STRETCH)
    fifth = stretch % 5 == 0
    return numbers[~fifth], numbers[fifth & (place >= MARGIN) & (place < STRETCH - MARGIN)]


def explained(goals: Tensor, values: Tensor) -> float:
    """The share of the goals' variance that is explained: 1 - mean squared error / variance."""
    return 1.0 - float((goals - values).square().mean() / goals.var(correction=0))


if __name__ == "__main__":
    command.run(main)
