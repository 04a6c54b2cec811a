"""Raw frames of ALE's single emulator become what its vector environment shows."""

from __future__ import annotations

import math

import numpy as np
import pytest
from ale_py import ALEInterface

from envs.atari import AtariBatch, AtariSettings
from envs.games import all_games
from envs.raw_frames import RawFrames, grey, resized
from envs.roms import find_rom
from tests.envs.helpers import assert_same, random_actions


def emulator(game: str, seed: int, sticky: float = 0.0) -> ALEInterface:
    ale = ALEInterface()
    ale.setFloat("repeat_action_probability", sticky)
    ale.setInt("random_seed", seed)
    ale.loadROM(find_rom(game))
    ale.reset_game()
    return ale


@pytest.mark.parametrize(
    "game",
    ["breakout", "skiing", *(pytest.param(g, marks=pytest.mark.slow) for g in ("krull", "qbert"))],
)
def test_the_time_steps_are_the_vector_environments(game: str) -> None:
    batch = AtariBatch(game, 1, 7, AtariSettings(noop_max=0, sticky_actions=0.25, life_loss_terminal=False, threads=1))
    ale, frames, ends = emulator(game, 7, 0.25), RawFrames(), 0
    begun = frames.add(ale.getScreenRGB())
    assert begun is not None
    assert_same(begun, batch.reset())
    for action in random_actions(1, 250, 1):
        made = None
        while made is None:
            reward = ale.act(int(action[0]))
            if over := ale.game_over():
                ale.reset_game()
            made = frames.add(ale.getScreenRGB(), reward, over)
        ends += over
        assert_same(made, batch.step(action))
    assert ends or game != "breakout"
    batch.close()


ATARI = [game for game in all_games() if not game.startswith("toy_")]


@pytest.mark.parametrize("games", [ATARI[::20], pytest.param(ATARI, marks=pytest.mark.slow)])
def test_grey_levels_are_ales_own(games: list[str]) -> None:
    colours: set[bytes] = set()
    for game in games:
        ale = emulator(game, 0)
        for action in random_actions(0, 12, 1):
            for _ in range(5):
                ale.act(int(action[0]))
            if ale.game_over():
                ale.reset_game()
            shown = ale.getScreenRGB()
            assert np.array_equal(grey(shown), ale.getScreenGrayscale()), game
        colours |= {colour.tobytes() for colour in np.unique(shown.reshape(-1, 3), axis=0)}
    assert len(colours) > 10


@pytest.mark.parametrize("shape", [(210, 160), (250, 160), (100, 97), (84, 84)])
def test_areas_are_averaged_as_opencv_averages_them(shape: tuple[int, int]) -> None:
    cv2 = pytest.importorskip("cv2", reason="OpenCV is what is compared with")
    rng = np.random.default_rng(0)
    for levels in (2, 5, 256):  # few levels make many halves to round
        picture = (rng.integers(0, levels, shape) * (255 // (levels - 1))).astype(np.uint8)
        assert np.array_equal(resized(picture), cv2.resize(picture, (84, 84), interpolation=cv2.INTER_AREA))


def plain(level: int, rows: int = 210) -> np.ndarray:
    return np.full((rows, 160, 3), level, np.uint8)


def test_by_hand() -> None:
    """The maximum of the last two of four, summed rewards, and a stack that an end empties."""
    frames = RawFrames()
    first = frames.add(plain(9), reward=5.0, terminated=True)  # what came before the first frame does not count
    assert first is not None and first.first.all() and first.interrupted.all() and not first.reward.any()
    assert [frames.add(plain(level), reward=1.0) for level in (200, 150, 60)] == [None] * 3
    second = frames.add(plain(40), reward=-0.5)
    assert second is not None and second.reward == [2.5] and second.discount == [1] and not second.first.any()
    assert [int(picture[0, 0]) for picture in second.observation[0]] == [0, 0, 9, 60]
    assert frames.add(plain(70), reward=3.0) is None
    cut = frames.add(plain(30), reward=4.0, truncated=True)
    assert cut is not None and cut.interrupted.all() and cut.reward == [7.0]
    assert [int(picture[0, 0]) for picture in cut.observation[0]] == [0, 0, 0, 30]
    for terminated, truncated in ((True, False), (True, True)):  # an end wins over a cut
        end = frames.add(plain(50), 1.0, terminated, truncated)
        assert end is not None and end.first.all() and not end.interrupted.any() and end.discount == [0]


def test_a_game_of_another_height_may_only_begin_with_an_end() -> None:
    frames = RawFrames()
    for rows in (210, 250):
        assert frames.add(plain(10, rows), truncated=True) is not None
        assert [frames.add(plain(10, rows)) for _ in range(3)] == [None] * 3
        assert frames.add(plain(10, rows)) is not None
    assert [frames.add(plain(10, 250)) for _ in range(3)] == [None] * 3
    with pytest.raises(ValueError, match="must come as a truncation"):
        frames.add(plain(10, 210))


@pytest.mark.parametrize("frame", [plain(0)[..., 0], plain(0).astype(np.float32), plain(0)[None], [[0]]])
def test_what_is_no_frame_is_refused(frame: object) -> None:
    with pytest.raises(ValueError, match=r"uint8 \[rows, columns, 3\]"):
        RawFrames().add(frame)  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_a_reward_that_is_no_number_is_refused_before_it_can_be_learned(wrong: float) -> None:
    frames = RawFrames()
    frames.add(plain(10))
    with pytest.raises(ValueError, match="the reward must be a finite number"):
        frames.add(plain(10), wrong)
