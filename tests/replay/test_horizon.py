"""How n falls."""

import numpy as np
import pytest

from configs.build import build_memory
from configs.schema import Config, LearnerConfig
from replay.horizon import Horizon
from tests.replay.streams import Stream

GAMMA = 0.9


def test_it_falls_by_the_same_factor_for_every_transition():
    horizon = Horizon(16, 1, 400)
    assert [horizon(stored) for stored in (0, 100, 200, 300, 400, 10**9)] == [16, 8, 4, 2, 1, 1]
    assert [Horizon(10, 3, 15_000)(k) for k in (0, 7_500, 15_000)] == [10, 5, 3]  # 5.48 is nearest to 5
    assert {Horizon(3, 3)(stored) for stored in range(9)} == {3}


def test_frames_of_the_task_decide_in_every_task_of_its_own():
    """Toys of 2 emulators: a step is 8 frames. Rewards aside, n shows in the discount of what has not ended."""
    learner = LearnerConfig(n_step=1, n_step_first=4, n_step_frames=64, discount=GAMMA)
    memory, rng = build_memory(Config(learner=learner)), np.random.default_rng(0)
    for task in (3, 8):
        stream, longest = Stream(task, 2, ends=0, lives=0, cuts=0), []
        for time in range(1, 11):
            memory.add(task, 100 * task + time, *stream.step())
            if time >= 5:
                least = float(memory.sample(task, 64, rng).discount.min())
                longest.append(round(np.log(least) / np.log(GAMMA)))
        assert longest == [round(4 * 0.25 ** min(1, 8 * time / 64)) for time in range(5, 11)]


@pytest.mark.parametrize("wrong", [(3, 10, 100), (3, 0, 100), (3, 3, 0)])
def test_what_does_not_fall_is_refused(wrong):
    with pytest.raises(ValueError, match="falls from first to last"):
        Horizon(*wrong)
