"""An mp4 of one episode, in colour and at the game's own resolution.

The agent sees small grey frames; the film shows a second emulator with the same seed that is given the same
actions, which plays the same game frame by frame.
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np

from configs.build import colour_screen
from configs.schema import Config
from envs.colour import ColourScreen
from envs.timestep import TimeStep

_FRAMES_PER_SECOND = 15  # 60 frames of the console, of which an agent step shows every fourth
_ZOOM = 2


class Recorder:
    """Films the first episode of emulator 0 into `directory`/GAME.mp4; does nothing if `directory` is None."""

    def __init__(self, config: Config, game: str, seed: int, directory: Path | None) -> None:
        self.directory = directory
        self.game = game
        self._config, self._seed = config, seed
        self._screen: ColourScreen | None = None
        self._writer: Generator[None, Any, None] | None = None
        self._done = directory is None

    def on_step(self, action: np.ndarray, now: TimeStep) -> None:
        """Show the frame that follows the action of emulator 0."""
        if self._done:
            return
        if self._screen is None:
            self._screen = colour_screen(self._config, self.game, self._seed)
            if self._screen is not None:
                self._write(self._screen.reset())
        if now.first[0]:
            self.close()
        elif self._screen is None:  # a toy: what the agent sees is all there is
            self._write(np.repeat(now.observation[0, -1][:, :, None], 3, axis=2))
        else:
            self._write(self._screen.step(int(action[0])))

    def close(self) -> None:
        """Finish the file, after which no frame is added."""
        self._done = True
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        if self._screen is not None:
            self._screen.close()
            self._screen = None

    def _write(self, frame: np.ndarray) -> None:
        big = np.ascontiguousarray(frame.repeat(_ZOOM, axis=0).repeat(_ZOOM, axis=1))
        if self._writer is None:
            assert self.directory is not None
            self.directory.mkdir(parents=True, exist_ok=True)
            path = self.directory / f"{self.game}.mp4"
            self._writer = imageio_ffmpeg.write_frames(
                str(path), (big.shape[1], big.shape[0]), fps=_FRAMES_PER_SECOND, macro_block_size=2
            )
            self._writer.send(None)
        self._writer.send(big)
