"""What a task that was left would have the shared weights do, packed: the gradient of `agent.recall.recall_loss`.

Only weights that the task on screen uses move in its updates. So of another task's packed network only those that both
use change, and only their gradient counts.

Axes: M states, P patches of K pixels, A actions.
"""

from __future__ import annotations

import torch
from torch import Tensor

from agent.fast.packed import Pack
from agent.fast.patchwise import Layers, Passes
from agent.networks import QNetwork


class RecalledTask:
    """The network of `task` beside the packed one of the task that is learned, `learned`; for up to `count` states."""

    def __init__(self, network: QNetwork, learned: Pack, task: int, count: int) -> None:
        self.pack = Pack.of(network, task)
        self._layers = Layers(self.pack, self.pack.flat, len(network.strides), network.pixel_max)
        self._passes = Passes(self._layers, network.sides, network.strides, count)
        self._gradient = torch.zeros_like(self.pack.flat)
        self.count = count
        self.places, self._here = common_places(learned, self.pack)
        """int64 [C]: where in the learned task's flat tensor the weights that both use stand."""

    @torch.no_grad()
    def gradient(self, flat: Tensor, pixels: Tensor, kept: Tensor, strength: float) -> Tensor:
        """float32 [C]: of the loss on states whose values were `kept`, float32 [M, A], by the weights that both use,
        which are taken from the learned task's `flat`; `pixels`: the states' patches [M P, K]."""
        self.pack.flat[self._here] = flat[self.places]
        self._layers.renew()
        values = self._passes.forward(pixels)
        self._passes.backward((values - kept) * (strength / kept.shape[1]), self._gradient, self.pack)
        return self._gradient[self._here]


def common_places(one: Pack, other: Pack) -> tuple[Tensor, Tensor]:
    """Where in the flat tensors of two packs of one network the shared weights that both use stand, int64 [C] each."""
    found: tuple[list[Tensor], list[Tensor]] = ([], [])
    starts = [0, 0]
    for mine, theirs in zip(one.indices, other.indices, strict=True):
        size = 1 + int(max(mine.max(), theirs.max()))
        where = torch.full((size,), -1)  # of every entry of the whole layer in `mine`
        where[mine.flatten()] = torch.arange(mine.numel())
        there = where[theirs.flatten()]
        both = (there >= 0).nonzero().squeeze(1)
        found[0].append(there[both] + starts[0])
        found[1].append(both + starts[1])
        starts = [starts[0] + mine.numel(), starts[1] + theirs.numel()]
    return torch.cat(found[0]), torch.cat(found[1])
