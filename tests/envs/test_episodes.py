import numpy as np
import pytest

from envs.episodes import EpisodeReturns
from envs.schedule import Listed, Visit
from envs.stream import GameStream
from envs.timestep import TimeStep
from envs.toy import CatchBatch
from tests.envs.helpers import random_actions, through_disk


def step(reward, discount, first):
    blank = np.zeros((len(reward), 4, 84, 84), dtype=np.uint8)
    return TimeStep(blank, np.array(reward, np.float32), np.array(discount, np.float32), np.array(first, np.bool_))


def test_interrupted_means_first_without_an_end():
    assert step([0] * 4, [0, 1, 0, 1], [1, 1, 0, 0]).interrupted.tolist() == [False, True, False, False]


def test_returns_by_hand():
    episodes = EpisodeReturns(2, frame_skip=4)
    assert episodes.update(step([1, 10], [1, 1], [0, 0]), cut=False) == []
    assert episodes.update(step([2, 10], [0, 0], [0, 1]), cut=False) == [(20.0, 8)]  # a lost life ends nothing
    assert episodes.update(step([4, 0.5], [1, 1], [1, 0]), cut=False) == [(7.0, 12)]  # the frame cap ends an episode
    assert episodes.update(step([100, 100], [0, 1], [1, 1]), cut=True) == []  # cut from outside: dropped
    assert episodes.update(step([3, 4], [0, 0], [1, 1]), cut=False) == [(3.0, 4), (4.0, 4)]


def test_every_episode_of_a_stream_is_counted_once():
    """Visits of 60 steps hold two whole episodes of 25 steps, and a third that is dropped."""
    schedule = Listed((Visit("toy_catch", 60 * 12), Visit("toy_avoid", 60 * 12)))
    stream = GameStream(schedule, lambda game, seed: CatchBatch(game, 3, seed), 0, 10**9)
    stream.start()
    episodes = EpisodeReturns(3)
    finished = [e for row in random_actions(0, 240, 3) for e in episodes.update(stream.step(row), stream.cut)]
    assert len(finished) == 3 * 2 * 4
    assert all(length == 25 * 4 and -5 <= score <= 5 and score % 2 == 1 for score, length in finished)


@pytest.mark.parametrize("taken", [0, 7, 33])
def test_twins_stay_alike(taken):
    batch = CatchBatch("toy_mirror", 2, 0)
    batch.reset()
    steps = [batch.step(row) for row in random_actions(1, 90, 2)]
    a, b = EpisodeReturns(2), EpisodeReturns(2)
    for each in steps[:taken]:
        a.update(each, cut=False)
    b.load_state_dict(through_disk(a.state_dict()))
    for each in steps[taken:]:
        assert a.update(each, cut=False) == b.update(each, cut=False)
