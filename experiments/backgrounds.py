"""What a network sees of games without what always stands on their screens: a picture, a row for every game.

    python -m experiments.backgrounds --games boxing,kung_fu_master,crazy_climber,krull --out runs/backgrounds.png

From left to right: a frame; the background, the median of 500 observations of a random agent; what is left of the frame
without it, in which grey is nothing (`learner.subtract_background`). A run's own backgrounds are from its own replay.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from agent.background import BACKGROUND_FRAMES, foreground, median_frame, picture
from configs.build import emulator_maker, numpy_generator
from configs.schema import Config
from envs.game_sets import games_of
from envs.timestep import ACTIONS
from tracking import command

_STEPS = 500
_LATE = 3  # steps before the last one is shown, when play is well under way
_SCALE = 2  # pixels of the picture for one of the screen


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = command.Parser(prog="python -m experiments.backgrounds", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--games", default="figure3", help="ROM ids and sets of games (default: figure3)")
    parser.add_argument("--out", type=Path, default=Path("runs/backgrounds.png"), help="default: runs/backgrounds.png")
    options = parser.parse_args(arguments)
    try:
        games = games_of(options.games)
        command.check_writable(options.out.parent)
    except ValueError as error:
        parser.error(str(error))
    rows = np.vstack([row(game) for game in games])
    height, width = rows.shape
    options.out.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rows).resize((_SCALE * width, _SCALE * height), Image.Resampling.NEAREST).save(options.out)
    print(f"{options.out}: a frame, the background, and what is left, of {', '.join(games)}")
    return 0


def row(game: str) -> NDArray[np.uint8]:
    """uint8 [H, 3 W]: a frame, the background, and what is left."""
    frames = torch.from_numpy(played(game))
    some = numpy_generator(0, "background").choice(len(frames), BACKGROUND_FRAMES, replace=False)
    background, frame = median_frame(frames[some]), frames[-_LATE]
    return torch.hstack([frame, background, picture(foreground(frame, background))]).numpy()


def played(game: str) -> NDArray[np.uint8]:
    """uint8 [F, H, W]: what a random agent sees in the emulators, step by step."""
    emulators = emulator_maker(Config())(game, 0)
    rng = numpy_generator(0, "exploration")
    try:
        found = [emulators.reset().observation[:, -1]]
        for _ in range(_STEPS):
            found.append(emulators.step(rng.integers(ACTIONS, size=emulators.num_envs)).observation[:, -1].copy())
    finally:
        emulators.close()
    return np.concatenate(found)


if __name__ == "__main__":
    command.run(main)
