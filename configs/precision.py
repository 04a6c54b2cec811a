"""Which number type the learner computes in: decided by a measurement, where bfloat16 is native."""

from __future__ import annotations

import time
from typing import Literal

import torch

from agent.networks import ARCHITECTURES, QNetwork
from envs.timestep import ACTIONS, SIZE, STACK


def has_native_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 in hardware (elsewhere torch emulates it, very slowly)."""
    capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def fastest_precision(network: str, batch: int, threads: int) -> Literal["float32", "bfloat16"]:
    """`bfloat16` if the processor has it and a forward and backward pass at `batch` is faster in it."""
    if not has_native_bfloat16():
        return "float32"
    torch.set_num_threads(threads)
    seconds = {dtype: _update_seconds(network, batch, dtype) for dtype in (torch.float32, torch.bfloat16)}
    return "bfloat16" if seconds[torch.bfloat16] < seconds[torch.float32] else "float32"


def _update_seconds(network: str, batch: int, dtype: torch.dtype) -> float:
    net = QNetwork(ARCHITECTURES[network], ACTIONS, STACK, SIZE, torch.Generator().manual_seed(0), dtype)
    net.add_task()
    observation = torch.randint(256, (batch, STACK, SIZE, SIZE), dtype=torch.uint8)
    best = float("inf")
    for _ in range(8):
        start = time.perf_counter()
        net(observation, 0).sum().backward()
        best = min(best, time.perf_counter() - start)
    return best
