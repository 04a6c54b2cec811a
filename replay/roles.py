"""The role of the replay: remembers steps, gives them to tasks, and samples transitions of one task."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import numpy as np

from envs.timestep import TimeStep
from replay.transition import FrameBatch, Transition


class Replay(Protocol):
    """Axes: B emulators in lockstep."""

    def defer(self, now: TimeStep, action: np.ndarray, following: TimeStep) -> None:
        """Keep one step of all emulators, `action` (integers [B]) at `now` led to `following`, until it is assigned."""

    def assign(self, task: int) -> None:
        """The oldest step that waits belongs to `task`."""

    def sample(self, task: int, size: int, rng: np.random.Generator) -> Transition:
        """`size` transitions of `task`, independent and uniform; ValueError if it has none."""

    def can_sample(self, task: int) -> bool:
        """Whether `sample` finds anything."""

    def minibatches(self, task: int, size: int, count: int, rng: np.random.Generator) -> Iterator[FrameBatch]:
        """The `size * count` transitions that `sample` would draw, `size` at a time, as frames in host memory. They are
        unpacked when they are asked for; nothing may be added in between."""

    def size(self, task: int) -> int:
        """Transitions held of `task`."""

    @property
    def nbytes(self) -> int:
        """Bytes of memory held by all tasks' transitions."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None: ...
