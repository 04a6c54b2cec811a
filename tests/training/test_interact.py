"""The tape of the loop: what is called in which order and with what, and what each step says."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from agent.task_change import Abandoned
from envs.timestep import TimeStep
from tracking.metrics import PhaseTimer
from training.interact import Step, interact

B = 2
FRAMES = 4 * B  # of one step


def time_step(number: int) -> TimeStep:
    """One that no other is equal to."""
    return TimeStep(
        np.full((B, 4, 3, 3), number, np.uint8),
        np.full(B, number, np.float32),
        np.ones(B, np.float32),
        np.zeros(B, np.bool_),
    )


class Stream:
    """Plays a script of games, a step each: "a", or "a|" where the visit ends with it, or "a:" where only the
    emulators are seeded anew then. Writes on the tape."""

    def __init__(self, script: str, tape: list[Any]) -> None:
        self.script, self.tape = script.split(), tape
        self.now, self.frames, self.visit, self.cut = time_step(0), 0, 0, True

    @property
    def label(self) -> str:
        return self.script[self.frames // FRAMES][0]

    def send(self, action: np.ndarray) -> None:
        self.tape.append(("send", *action))

    def receive(self) -> TimeStep:
        mark = self.script[self.frames // FRAMES][1:]
        self.frames += FRAMES
        self.visit += mark == "|"
        self.cut = mark != ""
        self.now = time_step(self.frames // FRAMES)
        self.tape.append(("receive", number(self.now)))
        return self.now


class Agent:
    """Acts as its script says, in the task of that number; writes on the tape. `leaving` is called with its `stopped`
    when it acts."""

    def __init__(self, tape: list[Any], leaving: Callable[[Callable[[], bool]], None] = lambda stopped: None) -> None:
        self.tape, self.leaving, self.task, self.steps = tape, leaving, -1, 0

    def act(self, now: TimeStep, stopped: Callable[[], bool]) -> np.ndarray:
        self.leaving(stopped)
        self.tape.append(("act", number(now)))
        self.task = self.steps // 2
        self.steps += 1
        return np.array([self.steps, 10 * self.steps])

    def learn(self) -> list[dict[str, Any]]:
        self.tape.append(("learn",))
        return [{"loss": 0.5}] * (self.steps % 3)

    def observe(self, now: TimeStep, action: np.ndarray, following: TimeStep) -> None:
        self.tape.append(("observe", number(now), *action, number(following)))


def number(step: TimeStep) -> int:
    return int(step.reward[0])


def played(script: str, steps: int, **given: Any) -> tuple[list[Step], list[Any]]:
    """The steps of the loop and the tape. Between two steps the consumer speaks."""
    tape: list[Any] = []
    loop = interact(Stream(script, tape), Agent(tape), **given)  # type: ignore[arg-type]
    found = []
    for step in islice(loop, steps):
        tape.append(("step", step.frames))
        found.append(step)
    return found, tape


def test_the_order_of_the_loop() -> None:
    """Act on what is seen now, send, learn while the emulators work, receive, remember; then it is others' turn."""
    _, tape = played("a a a", 2)
    assert tape == [
        ("act", 0),
        ("send", 1, 10),
        ("learn",),
        ("receive", 1),
        ("observe", 0, 1, 10, 1),
        ("step", FRAMES),
        ("act", 1),
        ("send", 2, 20),
        ("learn",),
        ("receive", 2),
        ("observe", 1, 2, 20, 2),
        ("step", 2 * FRAMES),
    ]


def test_a_step_says_what_was_seen_done_and_answered() -> None:
    steps, _ = played("a a a a a", 4)
    assert [number(step.now) for step in steps] == [0, 1, 2, 3]
    assert [number(step.following) for step in steps] == [1, 2, 3, 4]
    assert [step.action.tolist() for step in steps] == [[1, 10], [2, 20], [3, 30], [4, 40]]
    assert [step.task for step in steps] == [0, 0, 1, 1]
    assert [step.updates for step in steps] == [[{"loss": 0.5}] * count for count in (1, 2, 0, 1)]
    assert [(step.before, step.frames) for step in steps] == [(8 * t, 8 * t + 8) for t in range(4)]


def test_a_step_belongs_to_the_game_that_was_acted_in() -> None:
    """A new visit to another game or the same ends the visit; re-seeding cuts what runs, and ends no visit."""
    steps, _ = played("a a| b: b| b c", 5)
    assert [step.label for step in steps] == ["a", "a", "b", "b", "b"]
    assert [step.visit_ended for step in steps] == [False, True, False, True, False]
    assert [step.cut for step in steps] == [False, True, True, True, False]


def test_it_ends_when_it_is_asked_to() -> None:
    """Before a step, and not in the middle of one."""
    answers = iter([False, False, True])
    steps, tape = played("a a a a", 9, stopped=lambda: next(answers))
    assert len(steps) == 2 and tape[-1] == ("step", 2 * FRAMES)
    assert played("a a", 9, stopped=lambda: True) == ([], [])


def test_a_departure_that_is_given_up_ends_it_without_a_step() -> None:
    """Nothing is sent, learned or remembered; the stream stands where it stood, to be saved there."""
    tape: list[Any] = []
    asked = False

    def leaving(stopped: Callable[[], bool]) -> None:
        nonlocal asked
        asked = len(tape) > 0  # in the second step
        if stopped():
            raise Abandoned

    stream, agent = Stream("a a a", tape), Agent(tape, leaving)
    steps = list(interact(stream, agent, stopped=lambda: asked))  # type: ignore[arg-type]
    assert [step.frames for step in steps] == [stream.frames] == [FRAMES]
    assert [entry[0] for entry in tape] == ["act", "send", "learn", "receive", "observe"]


def test_an_error_of_a_part_is_not_hidden() -> None:
    class Broken(Agent):
        def learn(self) -> list[dict[str, Any]]:
            raise ZeroDivisionError

    tape: list[Any] = []
    with pytest.raises(ZeroDivisionError):
        next(interact(Stream("a a", tape), Broken(tape)))  # type: ignore[arg-type]


def test_every_phase_of_a_step_is_timed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each by a clock that goes on by a second whenever it is read."""
    seconds = iter(range(1000))
    monkeypatch.setattr("tracking.metrics.time", SimpleNamespace(perf_counter=lambda: float(next(seconds))))
    timer = PhaseTimer()
    played("a a a a", 3, timer=timer)
    assert timer.pop(steps=1) == {f"time/{name}_ms": 3000.0 for name in ("act", "learn", "emulate", "remember")}
