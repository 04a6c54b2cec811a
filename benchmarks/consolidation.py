"""The cost of consolidation for the paper's network: per update, in memory on the device, and of one Fisher.

    python -m benchmarks.consolidation [--network paper] [--gated 0] [--threads 2] [--json]

Updates with 1, 10 and 100 anchors take turns with updates without any, so that a busy machine slows all alike; each
time is the median. `read_us` is the time to read the merged precision and mean once.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from agent.anchors.anchored import AnchoredConsolidator
from agent.anchors.steps import ProximalStep
from agent.consolidators.ewc import EWC
from agent.consolidators.none import NoConsolidation
from agent.fisher import fisher_information
from agent.learner import QLearner
from benchmarks.stand_ins import minibatch
from configs.build import build_learner, build_network, prepare_process
from configs.choices import NETWORKS
from configs.ranges import argument
from configs.schema import Config, LearnerConfig
from tracking import command
from tracking.console import print_json
from tracking.numbers import whole
from training.machine import default_threads, resolve

_TASKS = (1, 10, 100)
_BATCH = 32


def main() -> int:
    """The command line."""
    parser = command.Parser(description=__doc__.split("\n")[0])
    parser.add_argument("--network", default="paper", choices=tuple(NETWORKS))
    parser.add_argument("--gated", type=argument("learner.gated"), default=0.0)
    parser.add_argument("--optimizer", default="rmsprop", choices=("rmsprop", "adam"))
    parser.add_argument("--threads", type=argument("threads"), default=default_threads())
    parser.add_argument("--rounds", type=whole(1, 10**6), default=30)
    parser.add_argument(
        "--samples", type=whole(_BATCH, 10**7), default=3200, help="samples of the Fisher (default: 3,200)"
    )
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    learner = LearnerConfig(network=options.network, gated=options.gated, optimizer=options.optimizer)
    report = measure(learner, options.threads, options.rounds, options.samples)
    for name, value in report.items():
        print(f"{name:22} {value}")
    if options.json:
        print_json(report)
    return 0


def measure(settings: LearnerConfig, threads: int, rounds: int, samples: int) -> dict[str, Any]:
    """The report's quantities; times in microseconds unless the name says seconds."""
    config = resolve(Config(threads=threads, learner=settings))
    prepare_process(config)
    learner = build_learner(config, build_network(config), NoConsolidation())
    learner.add_task()
    batch = minibatch(_BATCH)
    kinds: dict[str, AnchoredConsolidator | NoConsolidation] = {"none": NoConsolidation()}
    kinds |= {str(tasks): _anchored(learner, tasks) for tasks in _TASKS}
    times: dict[str, list[float]] = {name: [] for name in kinds}
    for turn in range(rounds + 3):
        for name, kind in kinds.items():
            seconds = _clock(partial(learner.learn, batch, 0, kind))
            if turn >= 3:
                times[name].append(seconds)
    without = statistics.median(times.pop("none"))
    device_bytes, read = {}, math.inf
    for name in times:
        merged = kinds[name].merged  # type: ignore[union-attr]
        both = (*merged.mean, *merged.precision)
        device_bytes[name] = sum(t.nbytes for t in both)
        read = min(read, *(_clock(lambda: [t.sum() for t in both]) for _ in range(5)))  # noqa: B023
    begin = time.perf_counter()
    batches = (batch for _ in range(samples // _BATCH))
    fisher_information(learner.network, learner.target, batches, 0, "q", torch.Generator())
    return {
        "network": f"{settings.network}, gated {settings.gated:g}",
        "precision": config.learner.precision,
        "optimizer": f"{config.learner.optimizer}, {config.learner.optimizer_code}",
        "threads": threads,
        "us_per_update": {tasks: 1e6 * statistics.median(each) for tasks, each in times.items()},
        "update_us_without": 1e6 * without,
        "read_us": 1e6 * read,
        "device_bytes": device_bytes,
        "fisher_seconds": time.perf_counter() - begin,
    }


def _anchored(learner: QLearner, tasks: int) -> AnchoredConsolidator:
    """Anchors of so many other tasks, as small random Fishers around the present weights."""
    generator = torch.Generator().manual_seed(tasks)
    store = EWC()
    fisher = [torch.rand(w.shape, generator=generator) * 1e-6 for w in learner.weights]
    for task in range(1, tasks + 1):
        if task <= 10:
            store.leave(task, learner.weights, fisher, None)
        else:  # share what is stored: 100 copies of the paper's network would take 5 GB
            store.anchors[task], store.active_units[task] = store.anchors[1 + task % 10], ()
    consolidator = AnchoredConsolidator(store, ProximalStep(), learner.weights, 400.0)
    consolidator.enter(0)
    return consolidator


def _clock(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


if __name__ == "__main__":
    command.run(main)
