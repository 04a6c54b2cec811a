"""Real play, recorded once and added to a replay as often as it takes to fill it.

Axes: T vector steps, B emulators, H x W pixels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from configs.build import emulator_maker
from configs.schema import Config
from envs.timestep import ACTIONS, STACK, TimeStep
from replay.per_task import PerTaskReplay


@dataclass(frozen=True)
class Recording:
    """T steps of B emulators: frames uint8 [T + 1, B, H, W], the newest of every stack; actions uint8 [T, B]; reward
    float32, discount float32 and first bool [T + 1, B]."""

    frames: NDArray[np.uint8]
    actions: NDArray[np.uint8]
    reward: NDArray[np.float32]
    discount: NDArray[np.float32]
    first: NDArray[np.bool_]

    def rows(self, stack: int = STACK) -> Iterator[tuple[TimeStep, NDArray[np.uint8], TimeStep]]:
        """Every step as a run adds it to its replay: now, action, following."""
        now = self._time_step(0, np.zeros((self.frames.shape[1], stack, *self.frames.shape[2:]), np.uint8))
        for t, action in enumerate(self.actions):
            following = self._time_step(t + 1, now.observation)
            yield now, action, following
            now = following

    def _time_step(self, t: int, before: NDArray[np.uint8]) -> TimeStep:
        observation = np.empty_like(before)
        observation[:, :-1] = before[:, 1:]
        observation[self.first[t]] = 0
        observation[:, -1] = self.frames[t]
        return TimeStep(observation, self.reward[t], self.discount[t], self.first[t])


def record(config: Config, game: str, transitions: int, path: Path) -> None:
    """Play `game` at random and store a `Recording`, rewards clipped as for learning."""
    batch = emulator_maker(config)(game, config.seed)
    shape = -(-transitions // batch.num_envs), batch.num_envs
    actions = np.random.default_rng(config.seed).integers(0, ACTIONS, shape).astype(np.uint8)
    steps = [_newest_frames(batch.reset())]
    for action in actions:
        steps.append(_newest_frames(batch.step(action)))
    batch.close()
    np.savez(
        path,
        frames=np.stack([step.observation for step in steps]),
        actions=actions,
        reward=np.stack([step.reward for step in steps]).clip(-1, 1),
        discount=np.stack([step.discount for step in steps]),
        first=np.stack([step.first for step in steps]),
    )


def _newest_frames(step: TimeStep) -> TimeStep:
    return replace(step, observation=step.observation[:, -1].copy())


def load(path: Path) -> Recording:
    """What `record` stored."""
    with np.load(path) as stored:
        return Recording(**stored)


class Filler:
    """Adds recordings to a replay as if they were played; `time` is the run's count of vector steps."""

    def __init__(self, memory: PerTaskReplay) -> None:
        self.memory = memory
        self.time = 0

    def add(self, task: int, recording: Recording, transitions: int) -> float:
        """At least so many new rows' worth of transitions; returns the seconds that the replay took."""
        seconds, left = 0.0, transitions
        while left > 0:
            self.time += 1  # a seam: what comes next does not follow from what came before
            for now, action, following in recording.rows():
                begin = perf_counter()
                self.memory.add(task, self.time, now, action, following)
                seconds += perf_counter() - begin
                self.time += 1
                left -= len(action)
                if left <= 0:
                    break
        return seconds
