"""A memory per task, all under one limit of memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from envs.timestep import TimeStep
from replay.buffer import ReplayBuffer
from replay.pending import PendingRows, Row
from replay.transition import FrameBatch, Transition


def segment_prefix(task: int) -> str:
    """What the names of a task's segments begin with in a `PerTaskReplay`'s state."""
    return f"task{task:03d}-"


class PerTaskReplay:
    """One ring per task, created when the task first appears; tasks never share a row or a frame.

    *Budget*: while all rings together exceed `budget_bytes`, the oldest block of the largest ring (the lowest
    task among equals) is dropped. So a task that returns finds what it left unless others needed the room,
    large tasks pay first, and in the long run all are equally large. A task keeps its newest full block and
    its growing one whatever the budget: that much it may be exceeded by.

    *Steps in doubt*: a step waits until it is assigned to a task (`replay.roles.Replay`), so that what is seen before
    the task is inferred enters the right ring. Rewards are clipped to [-reward_clip, reward_clip] (0: not at all).
    """

    def __init__(self, make_buffer: Callable[[], ReplayBuffer], budget_bytes: int, reward_clip: float = 0.0) -> None:
        """make_buffer: returns a new, empty ring. budget_bytes: limit on `nbytes`, or ValueError if < 1."""
        if budget_bytes <= 0:
            raise ValueError("The replay's memory budget must be a positive number of bytes.")
        self._make_buffer, self._budget_bytes = make_buffer, budget_bytes
        self._reward_clip = reward_clip
        self._buffers: dict[int, ReplayBuffer] = {}
        self._pending = PendingRows()
        self._time = 0  # vector steps so far

    @property
    def task_ids(self) -> list[int]:
        """Every task that has a ring, in increasing order."""
        return sorted(self._buffers)

    @property
    def nbytes(self) -> int:
        """Bytes held by all rings."""
        return sum(buffer.nbytes for buffer in self._buffers.values())

    def buffer(self, task: int) -> ReplayBuffer:
        """The ring of `task`. KeyError if it was never seen."""
        return self._buffers[task]

    def size(self, task: int) -> int:
        """Transitions held of `task`; 0 if it was never seen."""
        return len(self._buffers[task]) if task in self._buffers else 0

    @property
    def time(self) -> int:
        """Vector steps that were handed over so far."""
        return self._time

    @property
    def pending(self) -> int:
        """Steps that wait for their task."""
        return len(self._pending)

    def defer(self, now: TimeStep, action: np.ndarray, following: TimeStep) -> None:
        """Keep a step until it is assigned."""
        if self._reward_clip:
            clipped = np.clip(following.reward, -self._reward_clip, self._reward_clip)
            following = replace(following, reward=clipped)
        self._pending.append(Row(self._time, now, action, following))
        self._time += 1

    def assign(self, task: int) -> None:
        """The oldest step that waits belongs to `task`."""
        row = self._pending.pop()
        self.add(task, row.time, row.before, row.action, row.after)

    def add(self, task: int, time: int, now: TimeStep, action: np.ndarray, following: TimeStep) -> None:
        """Remember a row of `task`; the rest as in `ReplayBuffer.add`."""
        if task not in self._buffers:
            self._buffers[task] = self._make_buffer()
        self._buffers[task].add(time, now, action, following)
        self._keep_budget()

    def can_sample(self, task: int) -> bool:
        """Whether `sample` finds anything."""
        return task in self._buffers and self._buffers[task].can_sample()

    def sample(self, task: int, size: int, rng: np.random.Generator) -> Transition:
        """`size` transitions of `task`, as in `ReplayBuffer.sample`. ValueError if it holds none."""
        if task not in self._buffers:
            raise ValueError(f"The replay has never seen task {task}.")
        return self._buffers[task].sample(size, rng)

    def minibatches(self, task: int, size: int, count: int, rng: np.random.Generator) -> Iterator[FrameBatch]:
        """The same transitions, `size` at a time, as in `ReplayBuffer.minibatches`."""
        if task not in self._buffers:
            raise ValueError(f"The replay has never seen task {task}.")
        return self._buffers[task].minibatches(size, count, rng)

    def state_dict(self) -> dict[str, Any]:
        """The rings' snapshots by task; all immutable blocks are under `segments`, each named after its task
        and its number."""
        states = {task: self._buffers[task].state_dict() for task in self.task_ids}
        segments = {
            f"{segment_prefix(task)}{name}": segment
            for task, state in states.items()
            for name, segment in state.pop("segments").items()
        }
        tasks = {str(task): state for task, state in states.items()}
        return {"segments": segments, "tasks": tasks, "pending": self._pending.state_dict(), "time": self._time}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Become the memory that `state` was taken from."""
        self._buffers = {}
        for key, rest in state["tasks"].items():
            prefix = segment_prefix(int(key))
            segments = {
                name.removeprefix(prefix): segment
                for name, segment in state["segments"].items()
                if name.startswith(prefix)
            }
            buffer = self._make_buffer()
            buffer.load_state_dict({**rest, "segments": segments})
            self._buffers[int(key)] = buffer
        self._pending.load_state_dict(state["pending"])
        self._time = state["time"]

    def _keep_budget(self) -> None:
        while self.nbytes > self._budget_bytes:
            droppable = [task for task in self.task_ids if self._buffers[task].full_blocks > 1]
            if not droppable:
                return
            self._buffers[max(droppable, key=lambda task: self._buffers[task].nbytes)].drop_oldest_block()
