"""Where the time of the training loop goes, beside what this machine cannot do faster.

    python -m benchmarks.roofline [--network nature] [--precision bfloat16] [--seconds 20] [--agent continual] [--json]
    python -m benchmarks.roofline --device cuda --cuda_graphs --device_gib 4 --emulators 64        with a GPU

First the machine's rates: products of large matrices in the precision used, copying of memory, and the emulators
alone. From these the floors: an update's multiplications at the first, the optimizer's bytes at the second, a step's
emulation at the third. Then the loop itself, phase by phase, and an update alone. `busy` is the processor time of the
loop over what its cores had. The continual agent infers its task and is held by ten anchors.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from math import prod
from typing import Any

import torch

from benchmarks.stand_ins import leave_anchors, minibatch
from configs.build import build_consolidator, build_learner, build_network, build_stream, prepare_process
from configs.checks import check
from configs.ranges import argument
from configs.schema import Config, ConsolidationConfig, EmulatorConfig, LearnerConfig, ReplayConfig, StreamConfig
from envs.games import canonical
from tracking import command
from tracking.console import print_json
from tracking.numbers import real
from training.machine import resolve
from training.resources import measure_rates

_SIDE = 2048  # of the matrices
_FLOATS = 1 << 25  # of the arrays that are copied: more than caches hold


def main() -> None:
    """The command line."""
    options = parser().parse_args()
    config = configuration(options)
    check(config)
    report = measure(resolve(config), options.seconds)
    for name, value in report.items():
        print(f"{name:28} {value:,.3f}" if isinstance(value, float) else f"{name:28} {value}")
    if options.json:
        print_json(report)


def parser() -> argparse.ArgumentParser:
    """The options; see the module."""
    p = command.Parser(prog="roofline", description=__doc__.split("\n")[0])
    p.add_argument("--network", choices=("paper", "nature", "small", "tiled"), default="nature")
    p.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    p.add_argument("--optimizer", choices=("rmsprop", "adam"), default="rmsprop")
    p.add_argument("--agent", choices=("plain", "continual"), default="plain")
    p.add_argument("--emulators", type=argument("emulators.num_envs"), default=8)
    p.add_argument("--game", type=canonical, default="breakout")
    p.add_argument("--seconds", type=real(0.1, 86_400), default=20.0, help="of the loop, in steady state")
    p.add_argument("--samples_per_step", type=argument("learner.samples_per_step"), default=8.0)
    p.add_argument("--threads", type=argument("threads"), default=0, help="0: one per core")
    p.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    p.add_argument("--cuda_graphs", action="store_true", help="with --device cuda: updates as CUDA graphs")
    p.add_argument(
        "--device_gib",
        type=argument("replay.device_gib"),
        default=0.0,
        help="with --device cuda: memory for frames there",
    )
    p.add_argument("--json", action="store_true", help="one JSON object as the last line")
    return p


def configuration(options: argparse.Namespace) -> Config:
    """The run that the options describe: one game, and tasks and anchors if the agent is the continual one."""
    continual = options.agent == "continual"
    return Config(
        device=options.device,
        threads=options.threads,
        task_source="inferred" if continual else "single",
        stream=StreamConfig(games=[options.game]),
        emulators=EmulatorConfig(num_envs=options.emulators),
        learner=LearnerConfig(
            network=options.network,
            precision=options.precision,
            optimizer=options.optimizer,
            samples_per_step=options.samples_per_step,
            cuda_graphs=options.cuda_graphs,
        ),
        consolidation=ConsolidationConfig(kind="ewc" if continual else "none"),
        replay=ReplayConfig(capacity=20_000, min_history=2_000, device_gib=options.device_gib),
    )


def measure(config: Config, seconds: float) -> dict[str, Any]:
    """The report's quantities; milliseconds unless the name says otherwise. `ConfigError` if there is no such run."""
    check(config)
    c = config.learner
    prepare_process(config)
    gflops, gigabytes = matrix_rate(config), copy_rate(config)
    emulation = emulator_milliseconds(config)
    update = update_milliseconds(config)
    rates = measure_rates(config, seconds, lambda parts: leave_anchors(parts.agent.consolidator, parts.agent.learner))
    updates = config.emulators.num_envs * c.samples_per_step / c.batch_size  # in a vector step
    floor = 1e3 * update_operations(config) / (1e9 * gflops)
    return {
        "network": c.network,
        "precision": c.precision,
        "optimizer": f"{c.optimizer}, {c.optimizer_code}",
        "device": config.device,
        "threads": config.threads,
        "emulators": config.emulators.num_envs,
        "agent": "plain" if config.task_source == "single" else "continual",
        "gflops": gflops,
        "copy_gb_per_s": gigabytes,
        "update_gflop": update_operations(config) / 1e9,
        "update_ms": update,
        "update_floor_ms": floor,
        "update_over_floor": update / floor,
        "optimizer_floor_ms": 1e3 * optimizer_bytes(config) / (1e9 * gigabytes),
        "updates_per_step": updates,
        "learn_floor_ms": updates * floor,
        "emulate_alone_ms": emulation,
        **{f"{name}_ms": value for name, value in rates.ms_per_phase.items()},
        "agent_steps_per_s": rates.agent_steps_per_s,
        "frames_per_s": 4 * rates.agent_steps_per_s,
        "busy": rates.busy,
    }


def matrix_rate(config: Config) -> float:
    """GFLOP/s of a product of large matrices in the learner's number type."""
    dtype = torch.bfloat16 if config.learner.precision == "bfloat16" else torch.float32
    a, b = (torch.randn(_SIDE, _SIDE, device=config.device).to(dtype) for _ in range(2))
    return 2 * _SIDE**3 / milliseconds(lambda: a @ b, config) / 1e6


def copy_rate(config: Config) -> float:
    """GB/s, read and written bytes together."""
    a = torch.zeros(_FLOATS, device=config.device)
    b = torch.empty_like(a)
    return 2 * a.nbytes / milliseconds(lambda: b.copy_(a), config) / 1e6


def emulator_milliseconds(config: Config) -> float:
    """Of a vector step with nothing else going on."""
    stream = build_stream(config)
    stream.start()
    action = torch.zeros(config.emulators.num_envs, dtype=torch.int64).numpy()
    elapsed = milliseconds(lambda: stream.step(action), config, rounds=200)
    stream.close()
    return elapsed


def update_milliseconds(config: Config) -> float:
    """Of one update on a fixed minibatch, with ten anchors if the agent is the continual one."""
    network = build_network(config)
    consolidation = build_consolidator(config, list(network.weights))
    learner = build_learner(config, network, consolidation)
    learner.add_task()
    leave_anchors(consolidation, learner)
    batch = minibatch(config.learner.batch_size).to(config.device)
    return milliseconds(lambda: learner.learn(batch, 0, consolidation), config, rounds=40)


def update_operations(config: Config) -> float:
    """Floating-point operations of an update's multiplications: states and successors through the online network,
    successors through the target network, and backwards; pixels need no gradient."""
    network = build_network(config)
    places = [side * side for side in network.sides] + [1, 1]
    macs = [each * prod(weight.shape) for each, weight in zip(places, network.weights, strict=True)]
    forward, backward = 3 * sum(macs), 2 * sum(macs) - macs[0]
    return 2.0 * config.learner.batch_size * (forward + backward)


def optimizer_bytes(config: Config) -> float:
    """That a step must read and write: weights and two averages both, gradients once; with anchors two arrays more."""
    weights = sum(w.numel() for w in build_network(config).weights)
    arrays = 7 + (0 if config.consolidation.kind == "none" else 2)
    return 4.0 * arrays * weights


def milliseconds(work: Callable[[], object], config: Config, rounds: int = 20) -> float:
    """The median of some rounds, after a few more."""
    times = []
    for turn in range(rounds + 5):
        begin = time.perf_counter()
        work()
        if config.device == "cuda":
            torch.cuda.synchronize()
        if turn >= 5:
            times.append(1e3 * (time.perf_counter() - begin))
    return statistics.median(times)


if __name__ == "__main__":
    command.run(main)
