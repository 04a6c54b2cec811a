"""Anchors in function space: what the network said of some states of every task that was left, and says again.

An anchor on the weights holds every weight that a task used. This holds what the network does instead: on leaving a
task its values of some replayed states are kept, and later every update also pulls the network's values of a few of
them towards these. Whatever else the weights do is free (after Benjamin et al. 2019, "Measuring and Regularizing
Networks in Function Space"; Wołczyk et al. 2021, behavioural cloning in "Continual World").

Axes: M states, S stacked frames, H x W pixels, A actions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from replay.frames import FrameBlock

HELD_OUT = 8
"""Of a task's states one in so many is never recalled: on these it is measured what it still says."""
_AT_ONCE = 32  # states whose values are computed together, as many as in a minibatch

Values = Callable[[Tensor, int], Tensor]
"""uint8 [M, S, H, W] and a task -> float32 [M, A]."""


@dataclass(frozen=True, slots=True)
class Recalled:
    """Some states of a task that was left: observation uint8 [M, S, H, W] and values float32 [M, A] as they were.

    strength  1: all values of a recalled state together count as much as the TD error of one replayed action
    """

    task: int
    observation: Tensor
    values: Tensor
    strength: float


def recall_loss(values: Tensor, kept: Tensor, strength: float) -> Tensor:
    """The sum over states of strength / 2 times the mean squared difference of their values, both float32 [M, A]."""
    return 0.5 * strength * (values - kept).square().mean(1).sum()


class Recall:
    """Keeps states and values of every task that was left, and draws from those of the others, task by task in turn.

    states    that a task keeps [0, or at least `HELD_OUT`]
    at_once   states recalled in an update
    strength  see `Recalled`; 0: nothing is recalled, only measured
    """

    def __init__(self, states: int, at_once: int, strength: float) -> None:
        self.states = states
        self.at_once = at_once
        self.strength = strength
        self.drawn = 0
        self._kept: dict[int, Kept] = {}
        self._departures: dict[int, int] = {}

    def measure(self, task: int, observations: Iterable[Tensor], values: Values) -> Kept | None:
        """The first of `observations` (uint8 [N, S, H, W] each) with their present values; None if nothing is to be
        kept. Changes nothing."""
        return Kept.of(task, observations, values, self.states) if self.states else None

    def leave(self, task: int, kept: Kept | None) -> None:
        """Keep what was measured of `task`, instead of what was kept of it before."""
        if kept is not None:
            self._kept[task], self._departures[task] = kept, self._departures.get(task, 0) + 1

    def draw(self, *without: int) -> Recalled | None:
        """States of one of the other tasks; None if there is none."""
        others = [task for task in sorted(self._kept) if task not in without]
        if not others or not self.strength:
            return None
        task = others[self.drawn % len(others)]
        kept = self._kept[task]
        places = np.random.default_rng([self.drawn, task]).integers(kept.held_out, len(kept), self.at_once)
        self.drawn += 1
        return Recalled(task, kept.observations(places), kept.values[places], self.strength)

    def agreements(self, active: int, values: Values) -> dict[int, float]:
        """{other task: the share of states that were never recalled in which the greedy action is what it was}."""
        return {task: kept.agreement(values) for task, kept in sorted(self._kept.items()) if task != active}

    def state_dict(self) -> dict[str, Any]:
        """What was kept as `segments`, whose names promise their content: the task and how often it was left."""
        segments = {self._name(task): kept.state_dict() for task, kept in self._kept.items()}
        return {"segments": segments, "departures": dict(self._departures), "drawn": self.drawn}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.drawn, self._departures = state["drawn"], dict(state["departures"])
        self._kept = {task: Kept.from_state(task, state["segments"][self._name(task)]) for task in self._departures}

    def _name(self, task: int) -> str:
        return f"task{task:04d}_departure{self._departures[task]:04d}"


@dataclass(frozen=True, slots=True)
class Kept:
    """Of one task: observations, each one block of bytes, compressed; their shape [S, H, W]; values float32 [M, A]."""

    task: int
    block: FrameBlock
    shape: tuple[int, ...]
    values: Tensor

    @classmethod
    def of(cls, task: int, observations: Iterable[Tensor], values: Values, count: int) -> Kept:
        """The first `count` of `observations`, uint8 [N, S, H, W] each, with what `values` says of them; 1 or more."""
        found: list[Tensor] = []
        block: FrameBlock | None = None
        shape: tuple[int, ...] = ()
        for observation in observations:
            observation = observation[: count - sum(map(len, found))]
            found.append(values(observation, task).float().cpu())
            shape = tuple(observation.shape[1:])
            block = block or FrameBlock(observation[0].numel(), compress=True)
            for each in observation.cpu().numpy():
                block.append(each)
            if sum(map(len, found)) == count:
                break
        assert block is not None, "nothing to keep"
        block.seal()
        return cls(task, block, shape, torch.cat(found))

    def __len__(self) -> int:
        return len(self.values)

    @property
    def held_out(self) -> int:
        """So many states at the beginning are never recalled."""
        return len(self) // HELD_OUT

    def observations(self, places: np.ndarray) -> Tensor:
        """uint8 [M, S, H, W]."""
        found = np.empty((len(places), *self.shape), np.uint8)
        for i, place in enumerate(places):
            found[i] = np.frombuffer(self.block.read(int(place)), np.uint8).reshape(self.shape)
        return torch.from_numpy(found)

    def agreement(self, values: Values) -> float:
        """The share of the states held out in which `values` has the greedy action that was kept."""
        same = 0
        for places in np.split(np.arange(self.held_out), range(_AT_ONCE, self.held_out, _AT_ONCE)):
            now = values(self.observations(places), self.task).cpu()
            same += int((now.argmax(1) == self.values[places].argmax(1)).sum())
        return same / self.held_out

    def state_dict(self) -> dict[str, Any]:
        """Observations and values; shared memory, which never changes."""
        return {"observations": self.block.state_dict(), "shape": list(self.shape), "values": self.values}

    @classmethod
    def from_state(cls, task: int, state: Mapping[str, Any]) -> Kept:
        """What `state_dict` was taken from."""
        shape = tuple(state["shape"])
        block = FrameBlock(int(np.prod(shape)), compress=True)
        block.load_state_dict(state["observations"])
        return cls(task, block, shape, state["values"])
