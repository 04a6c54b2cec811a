"""Speed of everything that can be set on one device, in a single call of some minutes: a table and JSON.

    python -m benchmarks.everything [--device cuda] [--seconds 10] [--emulators 64] [--json]

The continual agent with ten anchors on every network, by `benchmarks.roofline`, each in a process of its own: on a
GPU with updates recorded or not, frames on the device or not, and with deterministic algorithms; on the CPU in both
number types, and as a plain agent.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from typing import Any

import torch

from benchmarks import roofline
from configs.ranges import argument
from configs.schema import Config
from tracking import command
from tracking.console import print_json
from tracking.numbers import real
from training.machine import resolve

_COLUMNS = ("frames_per_s", "update_ms", "update_floor_ms", "act_ms", "learn_ms", "emulate_ms", "emulate_alone_ms")
_NETWORKS = ("small", "nature", "paper")


@dataclass(frozen=True)
class Case:
    """A name for the table, options of `benchmarks.roofline`, and whether algorithms are deterministic."""

    name: str
    options: tuple[str, ...]
    deterministic: bool = False


def cases(device: str) -> list[Case]:
    """What is measured on that device, for every network."""
    found = []
    for network in _NETWORKS:
        common: tuple[str, ...] = ("--network", network, "--device", device, "--agent", "continual")
        if device == "cuda":
            common += ("--precision", "bfloat16")
            kept = ("--device_gib", "8")
            found += [
                Case(f"{network}, recorded, frames on the device", (*common, "--cuda_graphs", *kept)),
                Case(f"{network}, recorded", (*common, "--cuda_graphs")),
                Case(f"{network}", common),
                Case(f"{network}, recorded, frames there, deterministic", (*common, "--cuda_graphs", *kept), True),
            ]
        else:
            found += [
                Case(network, common),
                Case(f"{network}, bfloat16", (*common, "--precision", "bfloat16")),
                Case(f"{network}, plain agent", (*common, "--agent", "plain")),
            ]
    return found


def run(case: Case, seconds: float, emulators: int) -> dict[str, Any]:
    """The roofline of one case, in this process."""
    options = roofline.parser().parse_args([*case.options, "--emulators", str(emulators)])
    config: Config = replace(roofline.configuration(options), deterministic=case.deterministic)
    return roofline.measure(resolve(config), seconds)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = command.Parser(prog="everything", description=__doc__.split("\n")[0])
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument(
        "--seconds", type=real(0.1, 86_400), default=10.0, help="of each case, in steady state (default: 10)"
    )
    parser.add_argument(
        "--emulators", type=argument("emulators.num_envs"), default=None, help="default: 64 with a GPU, 8 without"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    options = parser.parse_args(arguments)
    emulators = options.emulators or (64 if options.device == "cuda" else 8)
    report = {}
    print(f"| {options.device}, {emulators} emulators | " + " | ".join(_COLUMNS) + " |")
    print("|---" * (len(_COLUMNS) + 1) + "|")
    for case in cases(options.device):
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            found = report[case.name] = pool.submit(run, case, options.seconds, emulators).result()
        cells = (f"{found[name]:,.0f}" if found[name] > 1000 else f"{found[name]:.2f}" for name in _COLUMNS)
        print(f"| {case.name} | " + " | ".join(cells) + " |", flush=True)
    if options.json:
        print_json(report)
    return 0


if __name__ == "__main__":
    command.run(main)
