"""In which task a game is evaluated, and how often the agent recognised it: what tells forgetting from mistaking one
game for another.

A game's *own task* is the one in which the run played it longest (see `tracking.task_log.own_tasks`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from agent.continual import ContinualAgent
from configs.schema import Config
from envs.timestep import TimeStep
from taskid.source import FixedTask, TaskRecogniser
from tracking.snapshots import UNTOLD


class Recognition(Protocol):
    """Chooses a recogniser for every game, and reports on it when the game has been played."""

    columns: tuple[str, ...]
    """What `report` tells, for tables."""

    def recogniser(self, game: str) -> TaskRecogniser:
        """Says in which task this game is played."""

    def report(self, game: str) -> dict[str, Any]:
        """{column: value} of a game that was played with its recogniser."""


def choose_recognition(
    task_source: str, config: Config, agent: ContinualAgent, snapshot: Mapping[str, Any], own: Mapping[str, int]
) -> Recognition:
    """What a choice of --task_source means for the agent of a snapshot whose run played the games in their `own` tasks.
    ValueError with one sentence for what the run cannot do or does not tell."""
    source, untold = agent.task_source, snapshot["label"] == UNTOLD
    if isinstance(source.recogniser(snapshot["label"]), FixedTask):
        if task_source == "inferred":
            raise ValueError(
                f"--task_source inferred: this run (task_source: {config.task_source}) has not learned to tell games "
                "apart"
            )
        return AgentTask(source.recogniser)
    if untold and task_source == "true":
        raise ValueError("--task_source true: nobody told this agent which game is which; leave it out")
    if not untold and not own and agent.learner.num_tasks:
        raise ValueError(
            f"neither the snapshot nor the run's task_changes.csv tells which task this run gave to each game by "
            f"{snapshot['frames']:,} frames"
        )
    if task_source == "true":
        return OracleTask(own)
    return UncheckedTask(source.recogniser) if untold else InferredTask(source.recogniser, own)


class CountingRecogniser:
    """A recogniser whose answers are counted."""

    def __init__(self, recogniser: TaskRecogniser) -> None:
        self._recogniser = recogniser
        self.answers: Counter[int | None] = Counter()

    @property
    def posterior(self) -> float:
        return self._recogniser.posterior

    def identify(self, now: TimeStep) -> int | None:
        """The recogniser's answer, which is counted."""
        task = self._recogniser.identify(now)
        self.answers[task] += 1
        return task


class AgentTask:
    """The agent's own recogniser, of an agent that was told its tasks or has only one."""

    columns: tuple[str, ...] = ("own_task",)

    def __init__(self, recogniser: Callable[[str], TaskRecogniser]) -> None:
        self._recogniser = recogniser
        self._counted: dict[str, CountingRecogniser] = {}

    def recogniser(self, game: str) -> TaskRecogniser:
        self._counted[game] = CountingRecogniser(self._recogniser(game))
        return self._counted[game]

    def report(self, game: str) -> dict[str, Any]:
        """own_task    the one that it always answers with; empty if the game was never met"""
        (own,) = self._counted[game].answers
        return {"own_task": "" if own is None else own}


class OracleTask:
    """Every game is played in its own task, in none if it was never met: the scores without the inference's errors."""

    columns: tuple[str, ...] = ("own_task",)

    def __init__(self, own: Mapping[str, int]) -> None:
        self._own = own

    def recogniser(self, game: str) -> TaskRecogniser:
        """One that always answers with the game's own task."""
        return FixedTask(self._own.get(game))

    def report(self, game: str) -> dict[str, Any]:
        """own_task    the game's own task; empty if the run had not met it"""
        return {"own_task": self._own.get(game, "")}


class UncheckedTask:
    """The agent recognises every game from the screen; nobody knows whether rightly."""

    columns: tuple[str, ...] = ()

    def __init__(self, recogniser: Callable[[str], TaskRecogniser]) -> None:
        self._recogniser = recogniser

    def recogniser(self, game: str) -> TaskRecogniser:
        """The agent's own one, as it is."""
        return self._recogniser(game)

    def report(self, game: str) -> dict[str, Any]:
        """Nothing: in which task it was played stands in the table anyhow."""
        return {}


class InferredTask:
    """The agent recognises every game from the screen; how often in its own task is counted."""

    columns: tuple[str, ...] = ("own_task", "recognised")

    def __init__(self, recogniser: Callable[[str], TaskRecogniser], own: Mapping[str, int]) -> None:
        self._recogniser = recogniser
        self._own = own
        self._counted: dict[str, CountingRecogniser] = {}

    def recogniser(self, game: str) -> TaskRecogniser:
        """The agent's, counted afresh."""
        self._counted[game] = CountingRecogniser(self._recogniser(game))
        return self._counted[game]

    def report(self, game: str) -> dict[str, Any]:
        """own_task    the game's own task; empty if the run had not met it
        recognised  the share of decisions (vector steps) made in that task; of a game that was not met, the share of
                    those in which the agent took it for none that it knows
        """
        own, answers = self._own.get(game), self._counted[game].answers
        return {"own_task": "" if own is None else own, "recognised": answers[own] / answers.total()}
