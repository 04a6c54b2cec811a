"""What suits this machine: threads, the learner's number type and its optimizer's code, the last two decided by
measuring."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from agent.fast.network import FastNetwork
from agent.fast.optimizers import CentredRMSProp
from agent.networks import ARCHITECTURES, QNetwork
from configs.build import spelt_out
from configs.schema import Config
from envs.timestep import ACTIONS, SIZE, STACK

_AGREE = 0.05  # relative difference of bfloat16's gradients, beyond which it is taken for broken
_ROUNDS = 8


def resolve(config: Config) -> Config:
    """`config` with everything decided that depends on the machine: threads, precision, code of the optimizer.

    The result is written into the run directory and used again on resume, so that it computes the same bits. The
    inference's settings are spelt out as well.
    """
    cores = len(os.sched_getaffinity(0))
    threads = config.threads or default_threads()
    # A core on which the learner computes is not free: its threads would wait for the one that was interrupted.
    free = cores - (threads if config.device == "cpu" else 1)
    emulator_threads = config.emulators.threads or min(config.emulators.num_envs, max(1, free))
    precision = config.learner.precision
    if precision == "auto":
        precision = (
            "bfloat16"  # of which every supported GPU is capable
            if config.device == "cuda"
            else fastest_precision(config.learner.network, config.learner.batch_size, threads)
        )
    code = config.learner.optimizer_code
    if code == "auto":
        on_cpu = config.device == "cpu"
        code = fastest_optimizer_code(config.learner.optimizer, config.learner.network, threads) if on_cpu else "eager"
    return replace(
        spelt_out(config),
        threads=threads,
        emulators=replace(config.emulators, threads=emulator_threads),
        learner=replace(config.learner, precision=precision, optimizer_code=code),
    )


def default_threads() -> int:
    """How many threads compute where nobody says: OMP_NUM_THREADS, by which batch systems and users hand out cores, but
    no more than there are cores for this process; as many as those without it."""
    cores = len(os.sched_getaffinity(0))
    told = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()  # of a list, the outermost level
    return min(int(told), cores) if told.isdecimal() and int(told) > 0 else cores


def has_native_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 in hardware (elsewhere torch emulates it, very slowly)."""
    capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def fastest_precision(network: str, batch: int, threads: int) -> Literal["float32", "bfloat16"]:
    """`bfloat16` if the processor has it, a forward and backward pass at `batch` is faster in it, and values and
    gradients agree with those of float32."""
    if not has_native_bfloat16():
        return "float32"
    torch.set_num_threads(threads)
    plain, short = (_update(network, batch, dtype) for dtype in (torch.float32, torch.bfloat16))
    agree = all((a.float() - b).norm() <= _AGREE * b.norm() for a, b in zip(short(), plain(), strict=True))
    return "bfloat16" if agree and _seconds(short) < _seconds(plain) else "float32"


def fastest_optimizer_code(optimizer: str, network: str, threads: int) -> Literal["eager", "compiled"]:
    """`compiled` if the optimizer can be, a C++ compiler is there, and a step on the network's largest layer is
    faster for it. Compiling takes seconds to half a minute, once a machine, so the small network is left alone."""
    if optimizer != "rmsprop" or network in ("small", "wide"):
        return "eager"
    torch.set_num_threads(threads)
    steps = {}
    try:
        for compiled in (False, True):
            weights = torch.zeros(ARCHITECTURES[network].hidden, 4096)
            weights.grad = torch.ones_like(weights)
            step = CentredRMSProp([weights], lr=0.1, decay=0.9, epsilon=0.01, compiled=compiled).step
            step()
            steps[compiled] = _seconds(step)
    except Exception:  # whatever keeps torch from compiling here: it is not needed
        return "eager"
    return "compiled" if steps[True] < steps[False] else "eager"


def _update(network: str, batch: int, dtype: torch.dtype) -> Callable[[], list[Tensor]]:
    """The passes of one update: values and gradients of the weights."""
    generator = torch.Generator().manual_seed(0)
    net = QNetwork(ARCHITECTURES[network], ACTIONS, STACK, SIZE, generator, dtype)
    net.add_task()
    passes = FastNetwork(net)
    observation = torch.randint(256, (batch, STACK, SIZE, SIZE), generator=generator, dtype=torch.uint8)

    def update() -> list[Tensor]:
        values, seen = passes.forward(observation, 0)
        return [values, *passes.backward(seen, torch.ones_like(values), 0).weights]

    return update


def _seconds(work: Callable[[], object]) -> float:
    """The shortest time of some."""
    best = float("inf")
    for _ in range(_ROUNDS):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best
