"""What remembering costs in plasticity, without the luck of play: an agent fits the values of one task more.

    python -m experiments.plasticity AGENT REPLAY [--ewc_lambda 0 1e5] [--recall_strength 0 1] [--updates 3000] [--json]

AGENT is the directory of a run that has left tasks, or one of its checkpoints; REPLAY that of a run of a game that
AGENT has not met. As one more task it fits what `experiments.value_fit` fits: the values of REPLAY's task 0, towards
goals that stand still. Held it is by AGENT's anchors with every lambda in turn, and for each by the values of kept
states with every strength in turn (0: not at all). What is printed on the way: how much is explained of what is held
out, and in what share of kept states, never recalled, the greedy action is what it was when their task was left (mean
over tasks, without the one that AGENT was playing). `python -m experiments.value_fit REPLAY` is the same with nothing
to remember.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean

from rich.console import Console

from agent.anchors.anchored import AnchoredConsolidator
from configs.build import prepare_process
from configs.checks import ConfigError
from experiments.kept_agent import KeptAgent, load_kept
from experiments.value_fit import Fit, kept_game, line
from replay.buffer import ReplayBuffer
from tracking import command
from tracking.checkpoints import CheckpointError
from tracking.console import print_json
from tracking.manifest import DamageError
from tracking.numbers import real, whole
from training.machine import resolve


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = command.Parser(prog="python -m experiments.plasticity", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("agent", type=Path, help="directory of a run that has left tasks, or one of its checkpoints")
    parser.add_argument("replay", type=Path, help="likewise, of a run of another game")
    parser.add_argument("--ewc_lambda", type=real(0.0, 1e12), nargs="+", help="default: 0, and that of AGENT's run")
    parser.add_argument("--recall_strength", type=real(0.0, 1e12), nargs="+", default=[0.0], help="default: 0")
    parser.add_argument("--updates", type=whole(10, 10**7), default=3_000, help="default: %(default)s")
    parser.add_argument("--json", action="store_true", help="print one line of JSON as well")
    options = parser.parse_args(arguments)
    console = Console(width=100)
    found = []
    try:
        game, buffer = kept_game(options.replay)
        for given, strength in itertools.product(options.ewc_lambda or [0.0, None], options.recall_strength):
            kept = load_kept(options.agent, "")
            ewc_lambda = kept.config.consolidation.ewc_lambda if given is None else given
            said = f"{kept.path}, lambda {ewc_lambda:g}, recalled values {strength:g}"
            console.print(said, highlight=False, soft_wrap=True)
            for at in one_more(kept, game, buffer, ewc_lambda, strength, options.updates):
                console.print(f"{line(at)}  unchanged {at['unchanged']:.3f}", highlight=False)
                found.append({"ewc_lambda": ewc_lambda, "recall_strength": strength, **at})
    except (ConfigError, CheckpointError, DamageError, ValueError) as error:
        parser.error(str(error))
    if options.json:
        print_json({"agent": str(options.agent), "replay": str(options.replay), "measured": found})
    return 0


def one_more(
    kept: KeptAgent, game: KeptAgent, buffer: ReplayBuffer, ewc_lambda: float, recall_strength: float, updates: int
) -> Iterator[dict[str, float]]:
    """What `Fit.run` measures while `kept`'s agent fits the values that `game`'s has of `buffer`, and beside it
    "unchanged": the share of greedy actions in kept states of the tasks that it has left, mean over these.

    ValueError or CheckpointError with one sentence.
    """
    agent = kept.agent
    consolidator, recall, learner = agent.consolidator, agent.recall, agent.learner
    if not isinstance(consolidator, AnchoredConsolidator):
        raise ValueError(f"{kept.path} has no anchors (consolidation.kind {kept.config.consolidation.kind})")
    if not kept.config.consolidation.recall_states:
        raise ValueError(f"{kept.path} keeps no states of tasks (consolidation.recall_states 0)")
    kept.recollect()
    if not recall.agreements(agent.task, learner.q_values):
        raise ValueError(f"{kept.path} has left no task but the one it plays")
    config = resolve(replace(kept.config, threads=kept.config.threads or 1))
    prepare_process(config)
    consolidator.ewc_lambda, recall.strength = ewc_lambda, recall_strength
    task = learner.num_tasks
    learner.add_task()
    consolidator.enter(task)
    fit = Fit(learner, game.agent.learner.network, buffer, config, task, consolidator, recall)
    for at in fit.run(updates):
        yield {**at, "unchanged": fmean(recall.agreements(agent.task, learner.q_values).values())}


if __name__ == "__main__":
    command.run(main)
