"""What suits this machine: threads, and the optimizer's code."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Literal

import torch

from agent.fast.optimizers import CentredRMSProp
from configs.build import build_network
from configs.schema import Config

_LARGE = 1_000_000  # weights; the `small` and the `wide` network have fewer


def resolve(config: Config) -> Config:
    """`config` with everything decided that depends on the machine: threads, and the optimizer's code.

    The result is written into the run directory and used again on resume, so that it computes the same bits.
    """
    cores = len(os.sched_getaffinity(0))
    threads = config.threads or default_threads()
    # A core on which the learner computes is not free: its threads would wait for the one that was interrupted.
    free = cores - (threads if config.device == "cpu" else 1)
    emulator_threads = config.emulators.threads or min(config.emulators.num_envs, max(1, free))
    code = config.learner.optimizer_code
    if code == "auto":
        on_cpu = config.device == "cpu"
        code = optimizer_code(config) if on_cpu else "eager"
    return replace(
        config,
        threads=threads,
        emulators=replace(config.emulators, threads=emulator_threads),
        learner=replace(config.learner, optimizer_code=code),
    )


def default_threads() -> int:
    """How many threads compute where nobody says: OMP_NUM_THREADS, by which batch systems and users hand out cores, but
    no more than there are cores for this process; as many as those without it."""
    cores = len(os.sched_getaffinity(0))
    told = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()  # of a list, the outermost level
    return min(int(told), cores) if told.isdecimal() and int(told) > 0 else cores


def optimizer_code(config: Config) -> Literal["eager", "compiled"]:
    """`compiled` if torch can compile the optimizer here, for which it needs a C++ compiler, and the network is large
    enough to gain by it. Compiling takes seconds to half a minute, once a machine, so the small networks are left
    alone. Depends on what is installed, never on how busy the machine is."""
    large = config.learner.optimizer == "rmsprop" and sum(w.numel() for w in build_network(config).weights) >= _LARGE
    if not large:
        return "eager"
    weights = torch.zeros(8, 4096)
    weights.grad = torch.ones_like(weights)
    try:
        CentredRMSProp([weights], lr=0.1, decay=0.9, epsilon=0.01, compiled=True).step()
    except Exception:  # whatever keeps torch from compiling here: it is not needed
        return "eager"
    return "compiled"
