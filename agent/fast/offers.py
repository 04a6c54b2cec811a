"""Which update is taken: the fastest that offers itself for a network, an optimizer, a consolidator and a device."""

from __future__ import annotations

import torch

from agent.dqn import PlainUpdate, Update
from agent.fast.optimizers import Adam, CentredRMSProp
from agent.fast.packed_update import PackedUpdate
from agent.fast.update import FastUpdate
from agent.networks import QNetwork
from agent.objective import DOUBLE_Q, Objective
from agent.roles import Consolidator, Optimizer

_SMALL = 1_000_000  # weights of one task; with more, as the Nature network has, torch's own convolutions are as fast


def fastest_update(
    network: QNetwork,
    target: QNetwork,
    optimizer: Optimizer,
    max_gradient_norm: float,
    consolidator: Consolidator,
    objective: Objective = DOUBLE_Q,
    cuda_graphs: bool = False,
    threads: int = 1,
    recalls: bool = False,
) -> Update:
    """`PackedUpdate` or `FastUpdate` for the project's own network and optimizers, else the plain one, for any.

    A packed update computes the penalty by itself, so that its consolidator must be one that it knows; the others ask
    theirs. It divides its work between two threads by itself where there are so many; torch's are then one. `recalls`:
    other tasks' values are held as well (see `agent.recall`), which `FastUpdate` cannot.
    """
    if type(network) is not QNetwork or not isinstance(optimizer, CentredRMSProp | Adam):
        return PlainUpdate(network, target, optimizer, max_gradient_norm, objective)
    on_cpu = network.weights[0].device.type == "cpu" and network.compute_dtype == torch.float32
    small = sum(weight.numel() for weight in network.weights) * (1 - network.gated) ** 2 <= _SMALL
    if on_cpu and small and isinstance(optimizer, Adam) and PackedUpdate.serves(consolidator):
        torch.set_num_threads(1)
        return PackedUpdate(network, target, optimizer, max_gradient_norm, objective, beside=threads > 1)
    if recalls:
        return PlainUpdate(network, target, optimizer, max_gradient_norm, objective)
    return FastUpdate(network, target, optimizer, max_gradient_norm, objective, cuda_graphs)
