"""One task's own network, packed: the part of a gated network that the task uses, in contiguous memory.

The network is a chain of matrix products over patches. Only the open units of a task take part, so all that an update
reads or writes is gathered once when the task is entered: weights, the optimizer's averages and the merged anchor.
Updates see nothing else, and it is written back when somebody looks at the network (`agent.fast.packed_update`).
Averages of weights that the task does not use therefore stand still.

Axes: N observations, U open units of a layer, K inputs of a unit, P positions of a map.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from agent.networks import QNetwork


def packed_indices(network: QNetwork, open_units: Sequence[Tensor]) -> list[Tensor]:
    """For every layer int64 [U, K]: where in the whole weight tensor, flattened, the packed one's entries stand.

    `open_units`: int64 numbers of each layer's open units. A convolution's inputs come as its patches do (row, column,
    channel; of pixels: row, frame, column), those of the first linear layer position by position.
    """
    found, convolutions = [], len(network.strides)
    for layer, weight in enumerate(network.weights):
        places = torch.arange(weight.numel()).view(weight.shape)[open_units[layer]]
        if layer > 0:
            units = len(network.weights[layer - 1])
            places = places.unflatten(1, (units, -1))[:, open_units[layer - 1]]  # [U, U before, positions or 1, ...]
            places = places.flatten(1, 2) if layer < convolutions else places
        if layer == 0:  # as `agent.fast.kernels.plain_cut_patches` cuts: row, frame, column
            places = places.movedim(1, 2)
        elif layer <= convolutions:  # channels last, in patches and in the map that the first linear layer sees
            places = places.movedim(1, -1)
        found.append(places.flatten(1))
    return found


@dataclass
class Pack:
    """The packed parameters: `flat` holds the layers' weights, then their biases, then their gains."""

    open_units: list[Tensor]
    indices: list[Tensor]
    flat: Tensor
    shared: int  # how many numbers of `flat` are shared weights: the first ones

    @classmethod
    def of(cls, network: QNetwork, task: int | None) -> Pack:
        """The part of `network` that `task` uses (None: one never met, with every unit)."""
        gains = network.of_task(task).gains
        open_units = [gain.detach().nonzero().squeeze(1) for gain in gains]
        open_units[-1] = torch.arange(len(network.weights[-1]))  # values are never left out
        indices = packed_indices(network, open_units)
        shared = sum(index.numel() for index in indices)
        pack = cls(open_units, indices, torch.empty(shared + 2 * sum(map(len, open_units))), shared)
        pack.gather(pack.flat, network.weights, network.of_task(task).biases, gains)
        return pack

    def weights(self, flat: Tensor) -> list[Tensor]:
        """The layers' weights [U, K] within a tensor laid out as `flat`; views."""
        sizes = [index.numel() for index in self.indices]
        parts = flat[: self.shared].split(sizes)
        return [part.view(index.shape) for part, index in zip(parts, self.indices, strict=True)]

    def biases(self, flat: Tensor) -> list[Tensor]:
        """The layers' biases [U]; views."""
        return list(flat[self.shared :].split([len(units) for units in self.open_units] * 2)[: len(self.open_units)])

    def gains(self, flat: Tensor) -> list[Tensor]:
        """The layers' gains [U]; views."""
        return list(flat[self.shared :].split([len(units) for units in self.open_units] * 2)[len(self.open_units) :])

    @torch.no_grad()
    def gather_weights(self, flat: Tensor, weights: Iterable[Tensor]) -> None:
        """The open part of tensors in the shared weights' shapes into the first numbers of `flat`."""
        for part, weight, index in zip(self.weights(flat), weights, self.indices, strict=True):
            torch.take(weight.detach(), index, out=part)

    @torch.no_grad()
    def gather(
        self, flat: Tensor, weights: Iterable[Tensor], biases: Iterable[Tensor], gains: Iterable[Tensor]
    ) -> None:
        """All of `flat` from tensors in the parameters' shapes."""
        self.gather_weights(flat, weights)
        for parts, wholes in ((self.biases(flat), biases), (self.gains(flat), gains)):
            for part, whole, units in zip(parts, wholes, self.open_units, strict=True):
                torch.index_select(whole.detach(), 0, units, out=part)

    @torch.no_grad()
    def scatter(
        self, flat: Tensor, weights: Iterable[Tensor], biases: Iterable[Tensor], gains: Iterable[Tensor]
    ) -> None:
        """The inverse of `gather`: what is not open stays as it is."""
        for part, weight, index in zip(self.weights(flat), weights, self.indices, strict=True):
            weight.put_(index, part)
        for parts, wholes in ((self.biases(flat), biases), (self.gains(flat), gains)):
            for part, whole, units in zip(parts, wholes, self.open_units, strict=True):
                whole.index_copy_(0, units, part)
