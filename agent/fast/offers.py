"""Which update is taken: the fastest that offers itself for a network, an optimizer and a device."""

from __future__ import annotations

from agent.consolidators.roles import Optimizer
from agent.dqn import PlainUpdate, Update
from agent.fast.optimizers import Adam, CentredRMSProp
from agent.fast.update import FastUpdate
from agent.networks import QNetwork


def fastest_update(
    network: QNetwork, target: QNetwork, optimizer: Optimizer, max_gradient_norm: float, cuda_graphs: bool = False
) -> Update:
    """`FastUpdate` for the project's own network and optimizers, else the plain one, which learns with any."""
    if type(network) is QNetwork and isinstance(optimizer, CentredRMSProp | Adam):
        return FastUpdate(network, target, optimizer, max_gradient_norm, cuda_graphs)
    return PlainUpdate(network, target, optimizer, max_gradient_norm)
