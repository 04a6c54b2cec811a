"""A running average of the weights while one task is played: it plays in evaluations, and stays when the task is left.

A policy that goes on learning scatters from one moment to the next; the mean of its latest weights scatters less
(Polyak and Juditsky 1992). The centre of a task's anchor then is such a mean. Learning itself never sees it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from agent.networks import QNetwork

EVERY = 16
"""Updates between two looks at the weights; a look costs two fifths of an update of one task of `wide4`."""


class WeightAverage:
    """Of the shared weights and of the parameters of the task that is played, since it was entered.

    rate   by how much the average follows at every update, (0, 1]; at first it is the plain mean
    """

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self.task = -1
        self.updates = 0
        self._mean: list[Tensor] = []

    @property
    def begun(self) -> bool:
        """Whether there is an average."""
        return bool(self._mean)

    def enter(self, task: int) -> None:
        """`task` is played from now on; what was averaged before is forgotten."""
        self.task, self.updates, self._mean = task, 0, []

    @torch.no_grad()
    def follow(self, network: Callable[[], QNetwork], task: int) -> None:
        """`task` was updated once. Updates of other tasks than the one that is played do not count."""
        if task != self.task:
            return
        self.updates += 1
        looks, since = divmod(self.updates, EVERY)
        if since:
            return
        now = self._parameters(network())
        if not self._mean:
            self._mean = [p.detach().clone() for p in now]
        else:
            torch._foreach_lerp_(self._mean, now, max(1 - (1 - self.rate) ** EVERY, 1 / looks))

    @torch.no_grad()
    def write(self, network: QNetwork) -> None:
        """The average, where there is one, into the network."""
        if self._mean:
            torch._foreach_copy_(self._parameters(network), self._mean)

    def _parameters(self, network: QNetwork) -> list[Tensor]:
        return [*network.weights, *network.task_parameters[self.task].parameters()]

    def state_dict(self) -> dict[str, Any]:
        """The task, the updates since it was entered, and the average; copies."""
        return {"task": self.task, "updates": self.updates, "mean": [each.clone() for each in self._mean]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned; its tensors stay as they are."""
        self.task, self.updates, self._mean = state["task"], state["updates"], [each.clone() for each in state["mean"]]
