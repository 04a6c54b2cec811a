"""What several tests of the worlds share."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from ale_py import ALEInterface

from envs.roms import find_rom
from envs.timestep import TimeStep


def through_disk(state: dict[str, Any]) -> dict[str, Any]:
    """The state after torch.save and a loading that executes nothing."""
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def assert_same(a: TimeStep, b: TimeStep) -> None:
    """Equal in every bit, shape and dtype."""
    for name in ("observation", "reward", "discount", "first"):
        left, right = getattr(a, name), getattr(b, name)
        assert left.dtype == right.dtype and left.shape == right.shape, name
        assert np.array_equal(left, right), name


def random_actions(seed: int, steps: int, count: int) -> np.ndarray:
    """int64 [T, B] over all 18 actions."""
    return np.random.default_rng(seed).integers(0, 18, size=(steps, count))


def raw_games(game: str, seed: int, actions: np.ndarray, sticky: float = 0.0) -> Iterator[tuple[float, bool, bool]]:
    """(reward, game over, life lost) of each four-frame step, straight from ALE's single emulator."""
    ale = ALEInterface()
    ale.setFloat("repeat_action_probability", sticky)
    ale.setInt("random_seed", seed)
    ale.loadROM(find_rom(game))
    ale.reset_game()
    lives = ale.lives()
    for action in actions:
        reward = 0.0
        for _ in range(4):
            reward += ale.act(int(action))
            if over := ale.game_over():
                break
        lost = not over and ale.lives() < lives
        if over:
            ale.reset_game()
        lives = ale.lives()
        yield reward, over, lost
