"""Catch in four variants: the shape of Atari without a ROM, learnable in seconds.

A ball crosses a grid of 6 x 6 cells in five steps, one row a step; the paddle moves one column a step along
the far side. An episode is five balls: +1 for a ball met (or, in `toy_avoid`, missed) and -1 otherwise. The
paddle stays where it is between balls and between episodes, and every ball can be mastered from anywhere.

As in Atari, actions with LEFT or RIGHT in them (six each of 18) move, and the other six do nothing. So under
uniformly random actions the paddle's column remains uniformly distributed, which makes the random score
exact.

The variants look and play differently, so that learning one after the other interferes:
toy_catch    white on black
toy_mirror   black on white, and left is right
toy_avoid    grey on a chequered ground; a paddle of half the width must not be hit
toy_rise     upside down on a gradient: the ball rises
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.states import tensor
from envs.timestep import ACTIONS, FRAME_SKIP, SIZE, STACK, TimeStep, checked_action

GRID = 6
CELL = SIZE // GRID
BALLS = 5  # per episode
STEPS = GRID - 1  # per ball
_BLANK = -1  # the index of the all-zero picture
_ARRAYS = ("paddle", "column", "row", "balls", "history", "reward", "discount", "first")  # of a state

# ALE's numbering: RIGHT, UPRIGHT, DOWNRIGHT and these with FIRE; likewise LEFT.
_MOVE = np.zeros(ACTIONS, dtype=np.int64)
_MOVE[[3, 6, 8, 11, 14, 16]] = 1
_MOVE[[4, 7, 9, 12, 15, 17]] = -1


@dataclass(frozen=True, slots=True)
class Variant:
    """How one toy looks and plays."""

    ball: int  # grey value
    paddle: int  # grey value
    width: int  # of the paddle, in cells
    right: int  # what RIGHT adds to the column: 1 or -1
    meet: bool  # whether the ball should be met or avoided
    rises: bool  # whether the picture is upside down


VARIANTS: dict[str, Variant] = {
    "toy_catch": Variant(ball=255, paddle=200, width=2, right=1, meet=True, rises=False),
    "toy_mirror": Variant(ball=0, paddle=60, width=2, right=-1, meet=True, rises=False),
    "toy_avoid": Variant(ball=220, paddle=170, width=3, right=1, meet=False, rises=False),
    "toy_rise": Variant(ball=250, paddle=10, width=2, right=1, meet=True, rises=True),
}


class CatchBatch:
    """An `EmulatorBatch` of `count` toys of one variant, sharing one generator made from `seed`."""

    def __init__(self, game: str, count: int, seed: int) -> None:
        if game not in VARIANTS:
            raise ValueError(f"{game!r} is not a toy; the toys are {', '.join(VARIANTS)}.")
        self.game = game
        self.num_envs = count
        self.seed = seed
        self.actions = ACTIONS
        self.frames_per_step = count * FRAME_SKIP
        self._variant = VARIANTS[game]
        self._now: TimeStep | None = None
        self._pending: NDArray[np.int64] | None = None
        self.final_observation: NDArray[np.uint8] | None = None

    @property
    def now(self) -> TimeStep:
        """The latest time step; RuntimeError before `reset` or `load_state_dict`."""
        if self._now is None:
            raise RuntimeError("the toys have not been started: call reset() or load_state_dict() first")
        return self._now

    @property
    def ball(self) -> NDArray[np.int64]:
        """int64 [B, 2]: the balls' rows and columns as played (row 5 is the paddle's)."""
        return np.stack([self._row, self._column], axis=1)

    @property
    def paddle(self) -> NDArray[np.int64]:
        """int64 [B]: the paddles' leftmost columns as played."""
        return self._paddle.copy()

    def reset(self) -> TimeStep:
        """Start (again) from the seed."""
        self._rng = np.random.default_rng(self.seed)
        self._paddle = self._rng.integers(0, GRID - self._variant.width + 1, size=self.num_envs)
        self._column = self._rng.integers(0, GRID, size=self.num_envs)
        self._row = np.zeros(self.num_envs, dtype=np.int64)
        self._balls = np.zeros(self.num_envs, dtype=np.int64)
        self._history = np.full((self.num_envs, STACK), _BLANK, dtype=np.int64)
        self._pending = None
        self.final_observation = None
        first = np.ones(self.num_envs, dtype=np.bool_)
        return self._show(np.zeros(self.num_envs, np.float32), np.ones(self.num_envs, np.float32), first)

    def send(self, action: NDArray[Any]) -> None:
        """Take an integer action [B] in 0..17; it is carried out by `receive`."""
        checked = checked_action(action, self.num_envs)
        if self._now is None or self._pending is not None:
            raise RuntimeError("send() needs a started batch and no step under way")
        self._pending = checked

    def receive(self) -> TimeStep:
        """Carry out the step that was sent."""
        if self._pending is None:
            raise RuntimeError("no step is under way: call send() before receive()")
        variant = self._variant
        move = _MOVE[self._pending] * variant.right
        self._pending = None
        self._paddle = np.clip(self._paddle + move, 0, GRID - variant.width)
        self._row = self._row + 1
        arrived = self._row == STEPS
        met = (self._column >= self._paddle) & (self._column < self._paddle + variant.width)
        reward = np.where(arrived, np.where(met == variant.meet, 1.0, -1.0), 0.0).astype(np.float32)
        self._balls = self._balls + arrived
        over = self._balls == BALLS
        self._balls[over] = 0
        self.final_observation = self._stacked(self._history)[0] if over.any() else None
        fresh = self._rng.integers(0, GRID, size=self.num_envs)
        self._column = np.where(arrived, fresh, self._column)
        self._row = np.where(arrived, 0, self._row)
        return self._show(reward, (~over).astype(np.float32), over)

    def step(self, action: NDArray[Any]) -> TimeStep:
        self.send(action)
        return self.receive()

    def state_dict(self) -> dict[str, Any]:
        """Positions, the numbers of the stacked pictures, the latest reward and ends, and the generator."""
        if self._pending is not None:
            raise RuntimeError("a step is under way: call receive() before state_dict()")
        now = self.now
        arrays: dict[str, NDArray[Any]] = {
            "paddle": self._paddle,
            "column": self._column,
            "row": self._row,
            "balls": self._balls,
            "history": self._history,
            "reward": now.reward,
            "discount": now.discount,
            "first": now.first,
        }
        tensors = {name: tensor(array) for name, array in arrays.items()}
        # As text, because the generator's integers have 128 bits.
        generator = json.dumps(self._rng.bit_generator.state)
        return {"game": self.game, "num_envs": self.num_envs, "seed": self.seed, "generator": generator, **tensors}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue exactly where `state` was taken; ValueError if it is another toy's or another count's."""
        for key, value in {"game": self.game, "num_envs": self.num_envs}.items():
            if state[key] != value:
                raise ValueError(f"the saved toys have {key} {state[key]}, but these have {value}.")
        self.seed = state["seed"]
        self._rng = np.random.default_rng(self.seed)
        self._rng.bit_generator.state = json.loads(state["generator"])
        arrays = {name: state[name].numpy().copy() for name in _ARRAYS}
        self._paddle, self._column = arrays["paddle"], arrays["column"]
        self._row, self._balls = arrays["row"], arrays["balls"]
        self._history = arrays["history"]
        self._pending = None
        self.final_observation = None
        pictures = picture_table(self.game)[self._history]
        self._now = TimeStep(pictures, arrays["reward"], arrays["discount"], arrays["first"])

    def close(self) -> None:
        """Nothing is running that could be stopped."""

    def _show(self, reward: NDArray[np.float32], discount: NDArray[np.float32], first: NDArray[np.bool_]) -> TimeStep:
        """Stack the current pictures on the older ones, or on zeros where an episode begins."""
        pictures, self._history = self._stacked(np.where(first[:, None], _BLANK, self._history))
        self._now = TimeStep(pictures, reward, discount, first)
        return self._now

    def _stacked(self, history: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """The present picture on the newest of `history`, as pictures [B, S, H, W] and as their numbers [B, S]."""
        newest = (self._row * GRID + self._column) * GRID + self._paddle
        numbers = np.concatenate([history[:, 1:], newest[:, None]], axis=1)
        return picture_table(self.game)[numbers], numbers


@cache
def picture_table(game: str) -> NDArray[np.uint8]:
    """uint8 [217, 84, 84]: the picture of every (row * 6 + column) * 6 + paddle, and a blank one last."""
    variant = VARIANTS[game]
    table = np.zeros((GRID**3 + 1, SIZE, SIZE), dtype=np.uint8)
    ground = background(game)
    for index in range(GRID**3):
        rest, paddle = divmod(index, GRID)
        row, column = divmod(rest, GRID)
        picture = ground.copy()
        picture[-CELL:, paddle * CELL : (paddle + variant.width) * CELL] = variant.paddle
        picture[row * CELL : (row + 1) * CELL, column * CELL : (column + 1) * CELL] = variant.ball
        table[index] = picture[::-1] if variant.rises else picture
    return table


def background(game: str) -> NDArray[np.uint8]:
    """uint8 [84, 84]: the variant's ground, before it is turned upside down."""
    y, x = np.mgrid[0:SIZE, 0:SIZE]
    grounds: dict[str, NDArray[Any]] = {
        "toy_catch": np.zeros((SIZE, SIZE)),
        "toy_mirror": np.full((SIZE, SIZE), 255),
        "toy_avoid": 40 + 50 * ((x // 7 + y // 7) % 2),
        "toy_rise": 60 + x,
    }
    return grounds[game].astype(np.uint8)
