"""Where the task's number comes from: the role `TaskSource`, whose variants are the files of `taskid/sources`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from envs.timestep import TimeStep


@dataclass(frozen=True, slots=True)
class Inference:
    """What a source says at one time step.

    task      the task to act in
    assigned  the tasks of the oldest steps that had none before, oldest first; the last may be this step. A source that
              is in doubt assigns nothing for some steps, then all of them at once: what was seen in the meantime
              belongs to the task that it is assigned, whatever task was acted in.
    """

    task: int
    assigned: tuple[int, ...]


class TaskRecogniser(Protocol):
    """Tells the task during an evaluation, without learning anything."""

    @property
    def posterior(self) -> float:
        """The probability of the latest answer; 1 for those who do not doubt."""

    def identify(self, now: TimeStep) -> int | None:
        """The task that `now` belongs to, or None for one never met. Called once per step, in order."""


class TaskSource(Protocol):
    """Says which task the agent is in."""

    @property
    def num_tasks(self) -> int:
        """How many tasks have been met so far, at least 1 after the first step."""

    @property
    def posterior(self) -> float:
        """The probability of the current task, given all that was seen; 1 for those who do not doubt."""

    def infer(self, now: TimeStep) -> Inference:
        """The task of `now`, below `num_tasks`. Called once per step, in order."""

    def restart(self) -> None:
        """Keep what is known of tasks for another stream; what was undecided is dropped."""

    def recogniser(self, label: str) -> TaskRecogniser:
        """A recogniser for an evaluation of the game `label`, which only `TrueLabels` may look at. Each is an object of
        its own: several games are recognised in turn."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None: ...


class FixedTask:
    """The recogniser that always gives one answer."""

    posterior = 1.0

    def __init__(self, task: int | None) -> None:
        self.task = task

    def identify(self, now: TimeStep) -> int | None:
        """The fixed task, whatever is on screen."""
        return self.task
