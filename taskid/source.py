"""Where the task's number comes from: the role `TaskSource`, and the two sources that infer nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from envs.timestep import TimeStep


class Recogniser(Protocol):
    """Tells the task during an evaluation, without learning anything."""

    def identify(self, now: TimeStep) -> int | None:
        """The task that `now` belongs to, or None for one never met. Called once per step, in order."""


class TaskSource(Protocol):
    """Says which task the agent is in."""

    @property
    def tasks(self) -> int:
        """How many tasks have been met so far."""

    def infer(self, now: TimeStep) -> int:
        """The task of `now`, at most `tasks` before the call. Called once per step, in order."""

    def recogniser(self, label: str) -> Recogniser:
        """A recogniser for an evaluation of the game `label`, which only `TrueLabels` may look at."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None: ...


class FixedTask:
    """The recogniser that always gives one answer."""

    def __init__(self, task: int | None) -> None:
        self.task = task

    def identify(self, now: TimeStep) -> int | None:
        """The fixed task."""
        return self.task


class TrueLabels:
    """Tasks are the games themselves, numbered in order of appearance.

    The oracle of the paper's "EWC with true labels": `label` is asked for the name of the game on screen.
    """

    def __init__(self, label: Callable[[], str]) -> None:
        self.label = label
        self.numbers: dict[str, int] = {}

    @property
    def tasks(self) -> int:
        """How many games have been met."""
        return len(self.numbers)

    def infer(self, now: TimeStep) -> int:
        """The number of the game on screen; a new game gets the next number."""
        return self.numbers.setdefault(self.label(), len(self.numbers))

    def recogniser(self, label: str) -> FixedTask:
        """The task of the game `label`, or None if it was never met."""
        return FixedTask(self.numbers.get(label))

    def state_dict(self) -> dict[str, Any]:
        """The games by number."""
        return {"numbers": dict(self.numbers)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.numbers = dict(state["numbers"])


class SingleTask:
    """Everything is one task: a plain DQN with one replay buffer and one timer."""

    tasks = 1

    def infer(self, now: TimeStep) -> int:
        """Task 0."""
        return 0

    def recogniser(self, label: str) -> FixedTask:
        """Task 0 for every game."""
        return FixedTask(0)

    def state_dict(self) -> dict[str, Any]:
        """Nothing changes."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Nothing to restore."""
