"""One task's own part of a gated network as a small network: the units that it uses and nothing else.

What is computed of one task alone, such as its Fisher information, is computed there: of a network four times as wide,
of whose units a task has a quarter, that is a sixteenth of the work.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from agent.networks import Architecture, QNetwork, joined_weights

_WORTH_IT = 1 / 8  # of the weights; results kept of networks of which a task uses more come out the same to the bit


class OwnNetwork:
    """`network` is the small one, whose only task is 0; the whole one itself, and its `task`, where `task` uses more
    than an eighth of the weights."""

    def __init__(self, whole: QNetwork, task: int) -> None:
        self._shapes = [w.shape for w in whole.weights]
        *hidden, values = whole.active_units(task)
        self.units = [*hidden, torch.ones_like(values)]
        self._joined = joined_weights(self._shapes, self.units)
        used = sum(int(mask.sum()) for mask in self._joined)
        self.is_small = used < _WORTH_IT * sum(shape.numel() for shape in self._shapes)
        self.task = 0 if self.is_small else task
        self.network = self._small(whole, task) if self.is_small else whole

    @torch.no_grad()
    def _small(self, whole: QNetwork, task: int) -> QNetwork:
        counts = [int(units.sum()) for units in self.units]
        kernels = [w.shape[-1] for w in whole.weights]
        convolutions = tuple(zip(counts[: len(whole.strides)], kernels, whole.strides, strict=False))
        actions, stack, side = whole.interface
        architecture = Architecture(convolutions, counts[-2], pool=whole.pool)
        small = QNetwork(
            architecture,
            actions,
            stack,
            side,
            torch.Generator(),
            whole.compute_dtype,
            subtract_background=whole.subtract_background,
        )
        own, theirs = small.add_task(), whole.of_task(task)
        for weight, all_weights, mask in zip(small.weights, whole.weights, self._joined, strict=True):
            weight.copy_(all_weights[mask].view_as(weight))
        for kind in ("biases", "gains"):
            for mine, full, units in zip(getattr(own, kind), getattr(theirs, kind), self.units, strict=True):
                mine.copy_(full[units])
        if own.background is not None and theirs.background is not None:
            own.background.copy_(theirs.background)
        return small.to(whole.weights[0].device)

    def of_all_units(self, inactive: Sequence[Tensor]) -> list[Tensor]:
        """Bool of the small one's hidden units as of all units; those that `task` does without are inactive."""
        if not self.is_small:
            return list(inactive)
        wholes = [torch.ones_like(units) for units in self.units[:-1]]
        for whole, units, each in zip(wholes, self.units, inactive, strict=False):
            whole[units] = each
        return wholes

    def spread(self, found: Sequence[Tensor]) -> list[Tensor]:
        """Tensors in the shapes of the small one's weights, in those of the whole one's, 0 where `task` has none."""
        if not self.is_small:
            return list(found)
        wholes = [each.new_zeros(shape) for each, shape in zip(found, self._shapes, strict=True)]
        for whole, mask, each in zip(wholes, self._joined, found, strict=True):
            whole[mask] = each.flatten()
        return wholes


def without_unused(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state of a network in which the weights between units that no task uses together are 0; of one without any
    task, as it is."""
    layers = sum(name.startswith("weights.") for name in state)
    tasks = len({name.split(".")[1] for name in state if name.startswith("task_parameters.")})
    found = dict(state)
    gains = [[state[f"task_parameters.{task}.gains.{layer}"] for layer in range(layers)] for task in range(tasks)]
    shapes = [state[f"weights.{layer}"].shape for layer in range(layers)]
    joined = [joined_weights(shapes, [*(g != 0 for g in each[:-1]), torch.ones_like(each[-1]) > 0]) for each in gains]
    for layer in range(layers) if tasks else ():
        used = torch.stack([each[layer] for each in joined]).any(0)
        found[f"weights.{layer}"] = state[f"weights.{layer}"] * used
    return found
