"""Time steps out of an emulator's raw frames, as ale-py's emulators make them, bit for bit.

Every action is held for four frames. A picture is the maximum of the last two, in ALE's grey levels, 84 x 84 by area
averaging; an observation is the last four pictures. H, W: rows and columns of a raw frame, 210 x 160 in most games.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.states import tensor
from envs.timestep import SIZE, STACK, TimeStep

_RED, _GREEN, _BLUE = (np.float32(share) for share in (0.2989, 0.5870, 0.1140))  # of grey, in ALE


class RawFrames:
    """Turns the frames of one emulator into time steps with B = 1."""

    def __init__(self, frame_skip: int = 4) -> None:
        """frame_skip: how many frames an action is held for, at least 2."""
        self.frame_skip = frame_skip
        self.now: TimeStep | None = None  # the latest one
        self._before: NDArray[np.uint8] | None = None  # the last frame but one of a step, in grey
        self._held = 0
        self._reward = 0.0

    def add(
        self, frame: NDArray[np.uint8], reward: float = 0.0, terminated: bool = False, truncated: bool = False
    ) -> TimeStep | None:
        """The time step that ends with `frame`, uint8 [H, W, 3]; None while the action is to be held on.

        An end that cuts the four frames short completes the step, and `frame` begins what comes next: a real end has
        discount 0, a cut is `interrupted`. The very first frame is the first of an episode, whatever came before.
        ValueError for another shape or type, a change of size within an episode, or a reward that is no number.
        """
        _check(frame)
        if not math.isfinite(reward):
            raise ValueError(f"the reward must be a finite number, is {reward}.")
        if self.now is None:
            return self._begin(frame, 0.0, False)
        self._held += 1
        self._reward += reward
        if terminated or truncated:
            return self._begin(frame, self._reward, terminated)
        if self._held < self.frame_skip - 1:
            return None
        shown = grey(frame)
        if self._held < self.frame_skip:
            self._before = shown
            return None
        if self._before is None or self._before.shape != shown.shape:
            raise ValueError("a frame changed its size within an episode: a switch of games must come as a truncation.")
        newest = resized(np.maximum(shown, self._before))
        stack = np.concatenate([self.now.observation[0, 1:], newest[None]])
        return self._completed(stack, self._reward, False, False)

    def state_dict(self) -> dict[str, Any]:
        """The latest time step, and what is known of the step under way."""
        now = {} if self.now is None else {each.name: tensor(getattr(self.now, each.name)) for each in fields(TimeStep)}
        before = {} if self._before is None else {"before": tensor(self._before)}
        return {"now": now, **before, "held": self._held, "reward": self._reward}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue exactly where `state` was taken."""
        now = {name: value.numpy().copy() for name, value in state["now"].items()}
        self.now = TimeStep(**now) if now else None
        self._before = state["before"].numpy().copy() if "before" in state else None
        self._held, self._reward = state["held"], state["reward"]

    def _begin(self, frame: NDArray[np.uint8], reward: float, terminated: bool) -> TimeStep:
        stack = np.zeros((STACK, SIZE, SIZE), np.uint8)
        stack[-1] = resized(grey(frame))
        return self._completed(stack, reward, terminated, True)

    def _completed(self, stack: NDArray[np.uint8], reward: float, terminated: bool, first: bool) -> TimeStep:
        self._held, self._reward, self._before = 0, 0.0, None
        self.now = TimeStep(
            observation=stack[None],
            reward=np.array([reward], np.float32),
            discount=np.array([not terminated], np.float32),
            first=np.array([first]),
        )
        return self.now


def grey(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """uint8 [H, W, 3] -> uint8 [H, W]: the grey levels that ALE has for the colours of its palette."""
    red, green, blue = (frame[..., channel].astype(np.float32) for channel in range(3))
    return np.rint(red * _RED + green * _GREEN + blue * _BLUE).astype(np.uint8)


def resized(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """uint8 [H, W] -> uint8 [84, 84] by area averaging, rounded as OpenCV's INTER_AREA rounds, which ale-py uses: the
    same sums of single precision in the same order. Sizes that are multiples of 84 may differ from it by 1."""
    rows, columns = (_shares(length) for length in picture.shape)
    wide = picture.astype(np.float32)
    narrow = np.zeros((len(wide), SIZE), np.float32)
    for source, share in zip(*columns, strict=True):
        narrow += wide[:, source] * share
    total = np.zeros((SIZE, SIZE), np.float32)
    for source, share in zip(*rows, strict=True):
        total += share[:, None] * narrow[source]
    return np.rint(total).astype(np.uint8)


@cache
def _shares(length: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """int64 and float32 [K, 84]: the K source pixels of each of 84, in order, and how much each counts (0: fillers)."""
    scale = length / SIZE
    found: list[list[tuple[int, float]]] = []
    for target in range(SIZE):
        start, end = target * scale, (target + 1) * scale
        inner = range(math.ceil(start), min(math.floor(end), length - 1))
        width = min(scale, length - start)
        parts = [(inner.start - 1, (inner.start - start) / width)] if inner.start - start > 1e-3 else []
        parts += [(source, 1 / width) for source in inner]
        parts += [(inner.stop, min(end - inner.stop, 1.0, width) / width)] if end - inner.stop > 1e-3 else []
        found.append(parts)
    most = max(map(len, found))
    filled = np.array([parts + [(0, 0.0)] * (most - len(parts)) for parts in found])
    return filled[..., 0].T.astype(np.int64), filled[..., 1].T.astype(np.float32)


def _check(frame: Any) -> None:
    if not isinstance(frame, np.ndarray) or frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
        found = f"{frame.dtype} {list(frame.shape)}" if isinstance(frame, np.ndarray) else type(frame).__name__
        raise ValueError(f"a frame must be a NumPy array of colours, uint8 [rows, columns, 3], not {found}.")
