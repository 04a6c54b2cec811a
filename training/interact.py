"""The loop of the paper, which everything that trains an agent shares."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from agent.continual import ContinualAgent
from agent.task_change import Abandoned, Stopped, never
from envs.stream import GameStream
from envs.timestep import TimeStep
from tracking.metrics import PhaseTimer


@dataclass(frozen=True, slots=True)
class Step:
    """One turn of the loop, of all B emulators.

    now          what the agent saw
    action       int64 [B], what it did
    following    what the emulators answered
    updates      the metrics of each update that was made meanwhile
    label        the game of `now`; for logs
    task         the task that the agent acted in
    before       the stream's frames at `now`
    frames       the same at `following`
    visit_ended  whether `following` begins another visit, to another game or the same
    cut          whether `following` begins freshly seeded emulators
    """

    now: TimeStep
    action: np.ndarray
    following: TimeStep
    updates: list[dict[str, Tensor]]
    label: str
    task: int
    before: int
    frames: int
    visit_ended: bool
    cut: bool


def interact(
    stream: GameStream, agent: ContinualAgent, timer: PhaseTimer | None = None, stopped: Stopped = never
) -> Iterator[Step]:
    """The steps of `agent` on `stream`, which is started; between two of them both can be saved.

    Ends when `stopped()` is true before a step, and without a step soon after it becomes true while the agent leaves a
    task; the agent's `change` then holds what was given up. `timer` measures the phases act, learn, emulate (what is
    left of it after learning) and remember.
    """
    timer = timer or PhaseTimer()
    while not stopped():
        now, label, visit, before = stream.now, stream.label, stream.visit, stream.frames
        try:
            with timer.phase("act"):
                action = agent.act(now, stopped)
        except Abandoned:
            return
        stream.send(action)  # the emulators work while the agent learns
        with timer.phase("learn"):
            updates = agent.learn()
        with timer.phase("emulate"):
            following = stream.receive()
        with timer.phase("remember"):
            agent.observe(now, action, following)
        yield Step(
            now=now,
            action=action,
            following=following,
            updates=updates,
            label=label,
            task=agent.task,
            before=before,
            frames=stream.frames,
            visit_ended=stream.visit != visit,
            cut=stream.cut,
        )
