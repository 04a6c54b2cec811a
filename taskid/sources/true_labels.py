"""The names of the games: the oracle of the paper's "EWC with true labels"."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from envs.timestep import TimeStep
from taskid.source import FixedTask, Inference


class TrueLabels:
    """Tasks are the games themselves, numbered in order of appearance; `label` is asked for the name of the game on
    screen."""

    posterior = 1.0

    def __init__(self, label: Callable[[], str]) -> None:
        self.label = label
        self.numbers: dict[str, int] = {}

    @property
    def num_tasks(self) -> int:
        """How many games have been met."""
        return len(self.numbers)

    def infer(self, now: TimeStep) -> Inference:
        """The number of the game on screen; a new game gets the next number."""
        task = self.numbers.setdefault(self.label(), len(self.numbers))
        return Inference(task, (task,))

    def restart(self) -> None:
        """Nothing is ever undecided."""

    def recogniser(self, label: str) -> FixedTask:
        """The task of the game `label`, or None if it was never met."""
        return FixedTask(self.numbers.get(label))

    def state_dict(self) -> dict[str, Any]:
        """The games by number."""
        return {"numbers": dict(self.numbers)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.numbers = dict(state["numbers"])


def make(label: Callable[[], str]) -> TrueLabels:
    """A source that has met nothing; `label` tells the name of the game on screen."""
    return TrueLabels(label)
