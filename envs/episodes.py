"""Returns and lengths of the episodes in a stream. Axis: B emulators."""

from __future__ import annotations

from typing import Any

import numpy as np

from envs.states import tensor
from envs.timestep import TimeStep


class EpisodeReturns:
    """Adds up each emulator's raw rewards until its episode ends, or is cut by the frame cap."""

    def __init__(self, count: int, frame_skip: int = 4) -> None:
        self.count = count
        self.frame_skip = frame_skip
        self._returns = np.zeros(count, dtype=np.float64)
        self._steps = np.zeros(count, dtype=np.int64)

    def update(self, following: TimeStep, cut: bool) -> list[tuple[float, int]]:
        """(raw return, environment frames) of each episode that this step finished, in the emulators' order.

        `cut` says that `following` begins a freshly seeded batch: the running episodes were then ended from
        outside, so their returns are dropped. Life losses end nothing here. Not to be called with the very
        first time step.
        """
        self._returns += following.reward
        self._steps += 1
        finished: list[tuple[float, int]] = []
        if not cut:
            for b in np.flatnonzero(following.first):
                finished.append((float(self._returns[b]), int(self._steps[b]) * self.frame_skip))
        self._returns[following.first] = 0.0
        self._steps[following.first] = 0
        return finished

    def state_dict(self) -> dict[str, Any]:
        """The running returns float64 [B] and steps int64 [B]."""
        return {
            "returns": tensor(self._returns),
            "steps": tensor(self._steps),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue exactly where `state` was taken."""
        self._returns = state["returns"].numpy().copy()
        self._steps = state["steps"].numpy().copy()
