"""Where the task's number comes from: the role `TaskSource`, and the two sources that infer nothing.

`taskid.forget_me_not` has the one that does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from envs.timestep import TimeStep


@dataclass(frozen=True, slots=True)
class Inference:
    """What a source says at one time step.

    task     the task to act in
    settled  the tasks of the oldest steps that were not settled before, oldest first; the last may be this step.
             A source that is in doubt settles nothing for some steps, then all of them at once: what was seen in
             the meantime belongs to the task that is settled, whatever task was acted in.
    """

    task: int
    settled: tuple[int, ...]


class Recogniser(Protocol):
    """Tells the task during an evaluation, without learning anything."""

    @property
    def posterior(self) -> float:
        """The probability of the latest answer; 1 for those who do not doubt."""

    def identify(self, now: TimeStep) -> int | None:
        """The task that `now` belongs to, or None for one never met. Called once per step, in order."""


class TaskSource(Protocol):
    """Says which task the agent is in."""

    @property
    def tasks(self) -> int:
        """How many tasks have been met so far, at least 1 after the first step."""

    @property
    def posterior(self) -> float:
        """The probability of the current task, given all that was seen; 1 for those who do not doubt."""

    def infer(self, now: TimeStep) -> Inference:
        """The task of `now`, below `tasks`. Called once per step, in order."""

    def restart(self) -> None:
        """Keep what is known of tasks for another stream; what was undecided is dropped."""

    def recogniser(self, label: str) -> Recogniser:
        """A recogniser for an evaluation of the game `label`, which only `TrueLabels` may look at."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None: ...


class FixedTask:
    """The recogniser that always gives one answer."""

    posterior = 1.0

    def __init__(self, task: int | None) -> None:
        self.task = task

    def identify(self, now: TimeStep) -> int | None:
        """The fixed task."""
        return self.task


class TrueLabels:
    """Tasks are the games themselves, numbered in order of appearance.

    The oracle of the paper's "EWC with true labels": `label` is asked for the name of the game on screen.
    """

    posterior = 1.0

    def __init__(self, label: Callable[[], str]) -> None:
        self.label = label
        self.numbers: dict[str, int] = {}

    @property
    def tasks(self) -> int:
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


class SingleTask:
    """Everything is one task: a plain DQN with one replay buffer and one timer."""

    tasks = 1
    posterior = 1.0

    def infer(self, now: TimeStep) -> Inference:
        """Task 0."""
        return Inference(0, (0,))

    def restart(self) -> None:
        """Nothing is ever undecided."""

    def recogniser(self, label: str) -> FixedTask:
        """Task 0 for every game."""
        return FixedTask(0)

    def state_dict(self) -> dict[str, Any]:
        """Nothing changes."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Nothing to restore."""
