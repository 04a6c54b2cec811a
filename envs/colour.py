"""One emulator shown in colour, for films: plays what emulator 0 of a batch with the same seed plays."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from ale_py import ALEVectorInterface
from numpy.typing import NDArray

from envs.atari import AtariSettings, action_table, vector_interface


class ColourScreen:
    """The pictures of one emulator, uint8 [210, 160, 3] (250 rows in some games), given its seed and actions."""

    def __init__(self, game: str, seed: int, settings: AtariSettings, rom_dir: str | Path | None = None) -> None:
        self.game = game
        self.seed = seed
        self.settings = replace(settings, stack=1, threads=1)
        self.rom_dir = rom_dir
        self._emulators: ALEVectorInterface | None = None

    def reset(self) -> NDArray[np.uint8]:
        """Start from the seed; the first picture."""
        self._emulators = vector_interface(
            self.game, 1, self.settings, self.rom_dir, height=210, width=160, grayscale=False
        )
        self._action_index = action_table(self._emulators)
        seeds = np.array([self.seed % 2**31], dtype=np.int64)
        observation, _ = self._emulators.reset(np.arange(1), seeds)
        return _picture(observation)

    def step(self, action: int) -> NDArray[np.uint8]:
        """The picture after an action in 0..17."""
        if self._emulators is None:
            raise RuntimeError("the screen has not been started: call reset() before step()")
        self._emulators.send(self._action_index[[action]], np.ones(1, dtype=np.float32))
        return _picture(self._emulators.recv()[0])

    def close(self) -> None:
        """Let go of the emulator; the screen cannot be used afterwards."""
        self._emulators = None


def _picture(observation: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return observation[0, -1]
