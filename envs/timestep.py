"""What the world says at each step, and what a batch of emulators can do.

Axes: B emulators (all playing the same game), S = 4 stacked frames, H = W = 84 pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

ACTIONS = 18  # ALE's full action set, offered in every game, so that one output head fits all of them
STACK = 4
SIZE = 84
FRAME_SKIP = 4  # frames that an action lasts


@dataclass(frozen=True, slots=True)
class TimeStep:
    """The answer of B emulators to one action each.

    The end of an episode and the beginning of the next are one and the same time step: `reward` and
    `discount` belong to the action just taken, `observation` to the episode that the next action is taken in.
    No step is a dummy and every action counts. The last picture of an episode is no part of it, because nothing
    is ever learned from it: after a real end its value is zero, and after a cut the transition is
    `interrupted`.

    observation  uint8 [B, S, H, W], newest frame last; where `first`, the S - 1 older frames are all zero
    reward       float32 [B], the raw change of the game's score during the last action
    discount     float32 [B], 0 where an episode just ended, or a life was lost if that counts as an end for
                 learning; else 1 (the learner multiplies it with its own discount factor)
    first        bool [B], the observation is the first of a new episode (a life loss alone does not set it)

    The very first time step after seeding has first = True, discount = 1 and reward = 0.
    """

    observation: NDArray[np.uint8]
    reward: NDArray[np.float32]
    discount: NDArray[np.float32]
    first: NDArray[np.bool_]

    @property
    def interrupted(self) -> NDArray[np.bool_]:
        """bool [B]: cut off rather than ended (frame cap, game replaced, re-seeded).

        The observation does not follow from the action, so there is nothing to bootstrap from.
        """
        return self.first & (self.discount > 0)


class EmulatorBatch(Protocol):
    """B emulators of one game, in step; `reset` or `load_state_dict` starts them, building does not."""

    @property
    def num_envs(self) -> int:
        """B, the number of emulators."""
        ...

    @property
    def frames_per_step(self) -> int:
        """Environment frames that one step advances, over all B emulators: B * frame_skip."""
        ...

    @property
    def actions(self) -> int:
        """The number of actions: each is an integer in [0, actions)."""
        ...

    @property
    def now(self) -> TimeStep:
        """The latest time step, also after `load_state_dict`."""
        ...

    @property
    def final_observation(self) -> NDArray[np.uint8] | None:
        """uint8 [B, S, H, W]: the last observation of every episode that the latest step ended, for those who ask; the
        other emulators' rows mean nothing. None if no episode ended. No part of the state."""
        ...

    def reset(self) -> TimeStep:
        """Start afresh from the seed; always gives the same time step."""
        ...

    def send(self, action: NDArray[Any]) -> None:
        """Begin one step with an integer action [B]; ValueError on a wrong type, shape or range."""
        ...

    def receive(self) -> TimeStep:
        """Wait for the step that was sent."""
        ...

    def step(self, action: NDArray[Any]) -> TimeStep:
        """One action of every emulator, int [B], and what it led to: `send`, then `receive`."""

    def state_dict(self) -> dict[str, Any]:
        """All that decides the future; RuntimeError between send and receive."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue exactly where `state` was taken; ValueError if game, num_envs or settings differ."""
        ...

    def close(self) -> None:
        """Stop the emulators and their threads; closing twice is harmless."""
        ...


def checked_action(action: NDArray[Any], count: int, actions: int = ACTIONS) -> NDArray[np.int64]:
    """`action` as int64 [count]; ValueError unless it is an integer array of that shape in [0, actions)."""
    if not isinstance(action, np.ndarray) or action.dtype.kind not in "iu":
        kind = action.dtype if isinstance(action, np.ndarray) else type(action).__name__
        raise ValueError(f"action must be a NumPy array of integers, not {kind}")
    if action.shape != (count,):
        raise ValueError(f"action must have shape ({count},), one per emulator, not {action.shape}")
    if action.min() < 0 or action.max() >= actions:
        raise ValueError(f"actions must lie in 0..{actions - 1}, not in {action.min()}..{action.max()}")
    return action.astype(np.int64)
