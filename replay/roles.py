"""The role of the replay: remembers steps, gives them to tasks, and samples transitions of one task."""

from __future__ import annotations

from collections.abc import Mapping
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

    def sample_frames(self, task: int, size: int, rng: np.random.Generator) -> FrameBatch:
        """The transitions that `sample` would draw, as frames in host memory."""

    def size(self, task: int) -> int:
        """Transitions held of `task`."""

    @property
    def nbytes(self) -> int:
        """Bytes of memory held by all tasks' transitions."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None: ...
