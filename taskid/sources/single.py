"""One task for everything: a plain DQN with one replay buffer and one timer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from envs.timestep import TimeStep
from taskid.source import FixedTask, Inference


class SingleTask:
    """Every step belongs to task 0."""

    num_tasks = 1
    posterior = 1.0

    def infer(self, now: TimeStep) -> Inference:
        """Task 0, whatever is on screen."""
        return Inference(0, (0,))

    def restart(self) -> None:
        """Nothing is ever undecided."""

    def recogniser(self, label: str) -> FixedTask:
        """Task 0 for every game."""
        return FixedTask(0)

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        pass


def make() -> SingleTask:
    """The source of the one task."""
    return SingleTask()
