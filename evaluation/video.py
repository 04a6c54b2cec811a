"""Shows the median episode of a game, in colour and at the game's own resolution: as an mp4, or in the terminal.

What was done is noted while the episodes are played. Then one of them is played again: the same emulators from the same
seed, given the same actions, play the same game, and so does a second emulator in colour.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TextIO

import imageio_ffmpeg
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from configs.build import colour_screen, emulator_maker
from configs.schema import Config
from envs.timestep import TimeStep
from evaluation.play import Policy

FRAMES_PER_SECOND = 15  # 60 frames of the console, of which an agent step shows every fourth
BAND = 32  # rows below the game, for words
_ZOOM = 2
_SIZE = 12  # of the words

Frame = NDArray[np.uint8]
"""uint8 [H, W, 3]."""
Picture = tuple[Frame, Sequence[str]]
"""A frame, and lines of words that belong to it."""
Show = Callable[[str, Iterable[Picture]], None]
"""Shows the pictures of a game of this name, one after the other."""


class Recorder:
    """A policy that notes what it does, so that an episode can be shown afterwards."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._tasks: list[int | None] = []
        self._actions: list[NDArray[np.int64]] = []
        self._rewards: list[NDArray[np.float32]] = []
        self._firsts: list[NDArray[np.bool_]] = []

    def act(self, observation: np.ndarray, task: int | None) -> np.ndarray:
        """The policy's actions, which are noted."""
        self._tasks.append(task)
        self._actions.append(self._policy.act(observation, task))
        return self._actions[-1]

    def on_step(self, action: np.ndarray, now: TimeStep) -> None:
        """Note the rewards and ends that followed the actions."""
        self._rewards.append(now.reward.copy())
        self._firsts.append(now.first.copy())

    def median(self, episodes: int) -> tuple[int, int, int]:
        """(emulator, first step, last step) of the episode with the median return, the lower one of two, among so many
        spread evenly over the emulators."""
        rewards, firsts = np.array(self._rewards), np.array(self._firsts)
        count, found = firsts.shape[1], []
        for b in range(count):
            ends = np.flatnonzero(firsts[:, b])[: episodes // count + (b < episodes % count)]
            starts = [0, *(ends + 1)]
            found += [
                (float(rewards[s : e + 1, b].sum()), b, int(s), int(e)) for s, e in zip(starts, ends, strict=False)
            ]
        return sorted(found)[(len(found) - 1) // 2][1:]

    def pictures(self, config: Config, game: str, seed: int, episodes: int) -> Iterator[Picture]:
        """The median of so many episodes of `emulator_maker(config)(game, seed)`: a picture for every action, and with
        it the game's name, the score so far, the task that the game was taken for and, of a policy that tells one
        (`Player.value`), the value."""
        b, start, stop = self.median(episodes)
        value = getattr(self._policy, "value", None)
        screen = colour_screen(config, game, seed + b)
        batch = emulator_maker(config)(game, seed)
        try:
            now, score = batch.reset(), 0.0
            colours = screen.reset() if screen else None
            for step in range(stop + 1):
                task = self._tasks[step]
                if step >= start:
                    told = [f"{game}   score {score:,.0f}", "no known task" if task is None else f"task {task}"]
                    told[1] += f"   value {float(value(now.observation, task)[b]):.2f}" if value else ""
                    grey = now.observation[b, -1]  # of a toy, what the agent sees is all there is
                    yield np.repeat(grey[:, :, None], 3, axis=2) if colours is None else colours, told
                now = batch.step(self._actions[step])
                score += float(now.reward[b]) if step >= start else 0.0
                colours = screen.step(int(self._actions[step][b])) if screen else None
        finally:
            batch.close()
            if screen:
                screen.close()


def film_of(directory: Path, game: str) -> Path:
    """The file that `film` writes."""
    return directory / f"{game}.mp4"


def film(directory: Path) -> Show:
    """Writes the pictures of every game into a file of `directory`."""

    def show(game: str, pictures: Iterable[Picture]) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        writer = None
        for frame, words in pictures:
            picture = captioned(frame, words)
            if writer is None:
                size = (picture.shape[1], picture.shape[0])
                path = str(film_of(directory, game))
                writer = imageio_ffmpeg.write_frames(path, size, fps=FRAMES_PER_SECOND, macro_block_size=2)
                writer.send(None)
            writer.send(np.ascontiguousarray(picture))
        if writer is not None:
            writer.close()

    return show


def watch(stream: TextIO, wait: Callable[[float], None] = time.sleep) -> Show:
    """On a terminal, at the speed of the game: two pixels a character, one above the other, in 24-bit colours."""

    def show(game: str, pictures: Iterable[Picture]) -> None:
        stream.write("\x1b[2J\x1b[?25l")  # clear the screen, hide the cursor
        try:
            for frame, words in pictures:
                columns, lines = shutil.get_terminal_size()
                stream.write("\x1b[H" + half_blocks(frame, columns, lines - len(words) - 1))
                stream.write("".join(f"\n{line[:columns]}\x1b[K" for line in words))
                stream.flush()
                wait(1 / FRAMES_PER_SECOND)
        finally:
            stream.write("\x1b[?25h\x1b[0m\n")

    return show


def half_blocks(picture: Frame, columns: int, lines: int) -> str:
    """As many lines of characters as fit, each with the colours of an upper and a lower pixel."""
    height, width = picture.shape[:2]
    scale = min(columns / width, 2 * lines / height, 1.0)
    size = (max(1, int(width * scale)), max(2, int(height * scale) // 2 * 2))
    small = np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BOX))
    return "\n".join(
        "".join(
            f"\x1b[38;2;{u[0]};{u[1]};{u[2]}m\x1b[48;2;{d[0]};{d[1]};{d[2]}m▀"
            for u, d in zip(upper, lower, strict=True)
        )
        + "\x1b[0m"
        for upper, lower in zip(small[::2], small[1::2], strict=True)
    )


def captioned(frame: Frame, told: Sequence[str]) -> Frame:
    """Twice as large, with two lines below."""
    big = frame.repeat(_ZOOM, axis=0).repeat(_ZOOM, axis=1)
    image = Image.new("RGB", (big.shape[1], big.shape[0] + BAND))
    image.paste(Image.fromarray(np.ascontiguousarray(big)))
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(_SIZE)
    for number, line in enumerate(told):
        draw.text((4, big.shape[0] + 1 + 15 * number), line, fill=(255, 255, 255), font=font)
    return np.asarray(image)
