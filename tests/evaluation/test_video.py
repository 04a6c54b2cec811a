"""What is shown is the median episode, as it was played."""

from __future__ import annotations

import io
from itertools import pairwise

import numpy as np
import pytest

from configs.build import for_evaluation
from configs.schema import Config
from envs.timestep import TimeStep
from envs.toy import CatchBatch
from evaluation import video
from evaluation.play import alone, play_game
from evaluation.video import Recorder, half_blocks, watch
from taskid.source import FixedTask


class Moving:
    """Plays at random, of a seed."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)

    def act(self, observation: np.ndarray, task: int | None) -> np.ndarray:
        return self.rng.integers(18, size=len(observation))

    def value(self, observation: np.ndarray, task: int | None) -> np.ndarray:
        return observation.reshape(len(observation), -1).mean(1)


def step(*rewards: float, first: tuple[bool, ...]) -> TimeStep:
    flags = np.array(first)
    return TimeStep(np.zeros((2, 4, 84, 84), np.uint8), np.array(rewards, np.float32), 1.0 - flags, flags)


def test_the_median_by_hand() -> None:
    recorder = Recorder(Moving())
    for now in (
        step(1, 5, first=(False, False)),
        step(2, 0, first=(True, False)),  # emulator 0: 3, steps 0 to 1
        step(9, 0, first=(True, True)),  # 0: 9, step 2; 1: 5, steps 0 to 2
        step(100, 7, first=(True, False)),  # one more than it owes
        step(0, 0, first=(False, True)),  # 1: 7, steps 3 to 4
    ):
        recorder.on_step(np.zeros(2, int), now)
    assert recorder.median(1) == (0, 0, 1) and recorder.median(2) == (0, 0, 1)  # of 3 and 5 the lower
    assert recorder.median(3) == (1, 0, 2)  # of 3, 5, 9
    assert recorder.median(4) == (1, 0, 2)  # of 3, 5, 7, 9 the lower


def test_the_pictures_are_those_of_the_episode() -> None:
    config = for_evaluation(Config(), 3, 400)
    batch, recorder, seen = CatchBatch("toy_catch", 3, 17), Recorder(Moving()), []
    start = batch.reset()

    def on_step(action: np.ndarray, now: TimeStep) -> None:
        recorder.on_step(action, now)
        seen.append(now)

    result = alone(play_game("toy_catch", recorder, FixedTask(2), batch, 6, on_step=on_step))
    emulator, first, last = recorder.median(6)
    pictures, told = zip(*recorder.pictures(config, "toy_catch", 17, 6), strict=True)
    assert len(pictures) == last - first + 1 == 25
    nows = [start, *seen][first : last + 1]
    for picture, now in zip(pictures, nows, strict=True):
        assert all(np.array_equal(picture[:, :, c], now.observation[emulator, -1]) for c in range(3))
    got = sum(float(now.reward[emulator]) for now in seen[first : last + 1])
    assert got == sorted(result.returns)[2]
    before = got - float(seen[last].reward[emulator])
    assert told[0][0] == "toy_catch   score 0" and told[-1][0] == f"toy_catch   score {before:,.0f}"
    assert told[0][1] == f"task 2   value {nows[0].observation[emulator].mean():.2f}"


def test_words_stand_below_the_picture() -> None:
    picture = video.captioned(np.full((210, 160, 3), 7, np.uint8), ["montezuma_revenge   score 1,234", "task 3"])
    assert picture.shape == (420 + video.BAND, 320, 3)
    assert (picture[:420] == 7).all() and picture[420:].max() == 255 and (picture[420:, -4:] == 0).all()


def test_two_pixels_are_a_character() -> None:
    picture = np.zeros((2, 2, 3), np.uint8)
    picture[0, 1], picture[1, 0] = (255, 0, 9), (1, 2, 3)
    left, right = half_blocks(picture, 80, 24).removesuffix("\x1b[0m").split("▀")[:2]
    assert left == "\x1b[38;2;0;0;0m\x1b[48;2;1;2;3m" and right == "\x1b[38;2;255;0;9m\x1b[48;2;0;0;0m"


@pytest.mark.parametrize(("columns", "lines"), [(80, 24), (20, 50), (200, 60), (3, 2)])
def test_a_picture_fits_the_terminal(columns: int, lines: int) -> None:
    rows = half_blocks(np.zeros((452, 320, 3), np.uint8), columns, lines).split("\n")
    assert 1 <= len(rows) <= lines and {row.count("▀") for row in rows} <= {*range(1, columns + 1)}
    assert len(rows) == lines or rows[0].count("▀") == columns


def test_a_game_is_shown_picture_after_picture_at_its_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("LINES", "20")
    waited: list[float] = []
    stream = io.StringIO()
    watch(stream, waited.append)(
        "pong", iter([(np.full((4, 4, 3), grey, np.uint8), [f"score {grey}"]) for grey in (1, 2, 3)])
    )
    shown = stream.getvalue()
    assert waited == 3 * [1 / 15]
    places = [shown.index(part) for n in (1, 2, 3) for part in (f"38;2;{n};{n};{n}m", f"\nscore {n}\x1b[K")]
    assert all(a < b for a, b in pairwise(places)) and shown.endswith("\x1b[?25h\x1b[0m\n")
