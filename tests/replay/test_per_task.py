"""Tasks apart, one budget for all."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from replay.buffer import ReplayBuffer
from replay.per_task import PerTaskReplay
from tests.replay.streams import Stream, Twin, equal, keys


def ring() -> ReplayBuffer:
    return ReplayBuffer(2000, 3, 0.9, 8, compress=False)


def test_no_frame_of_one_task_is_found_under_another() -> None:
    memory = PerTaskReplay(ring, 10**7)
    twins = {task: Twin(2000, 3, 0.9) for task in (4, 7)}
    streams = {task: Stream(task, 2, tag=task * 10) for task in (4, 7)}
    rng = np.random.default_rng(0)
    for time in range(300):
        task = 7 if rng.random() < 0.3 else 4
        row = streams[task].step()
        memory.add(task, time, *row)
        twins[task].add(time, *row)
    assert memory.task_ids == [4, 7]
    for task in (4, 7):
        assert memory.size(task) == len(twins[task].rows) * 2
        batch = memory.sample(task, 500, rng)
        pixels = batch.observation[:, :, 0, 0]
        assert set(pixels.unique().tolist()) <= {0, task * 10}
        assert (batch.observation[:, -1, 0, 0] == task * 10).all()
        assert set(keys(batch)) <= set(twins[task].valid())


def test_the_largest_pays_and_its_newest_rows_stay() -> None:
    memory = PerTaskReplay(ring, 30_000)
    streams = [Stream(task, 2, side=10, tag=task + 1) for task in range(3)]
    twins = [Twin(2000, 3, 0.9) for _ in range(3)]
    lengths = (160, 30, 120)
    time = 0
    for task, length in enumerate(lengths):
        for _ in range(length):
            row = streams[task].step()
            memory.add(task, time, *row)
            twins[task].add(time, *row)
            time += 1
            assert memory.nbytes <= 30_000
        time += 5
    assert memory.size(1) == 60  # never the largest
    assert 0 < memory.size(0) < 320 and 0 < memory.size(2) < 240
    rng = np.random.default_rng(0)
    for task in range(3):
        twins[task].drop(memory.size(task) // 2)
        assert set(keys(memory.sample(task, 2000, rng))) == set(twins[task].valid())


def test_no_task_falls_below_a_full_block() -> None:
    memory = PerTaskReplay(ring, 1)
    streams = [Stream(task, 2) for task in range(3)]
    for time in range(240):
        memory.add(time // 80, time, *streams[time // 80].step())
    assert all(8 * 2 <= memory.size(task) <= 15 * 2 for task in range(3))


def test_mistakes_are_told_in_a_sentence() -> None:
    with pytest.raises(ValueError, match="budget"):
        PerTaskReplay(ring, 0)
    memory = PerTaskReplay(ring, 100)
    assert memory.size(3) == 0 and memory.nbytes == 0
    with pytest.raises(ValueError, match="task 3"):
        memory.sample(3, 1, np.random.default_rng(0))


# -- steps in doubt ----------------------------------------------------------------------------------------------


def test_steps_wait_until_they_are_assigned_and_land_in_order_with_their_own_time() -> None:
    """As if each had been added at once: a row's time is that of its step, whenever it is assigned."""
    memory, expected, stream = PerTaskReplay(ring, 10**7), PerTaskReplay(ring, 10**7), Stream(0, 2, fill="noise")
    tasks = [0, 0, 1, 1, 1, 0, 0, 1, 1, 0] * 4
    given, size = 0, 0
    for time, batch in enumerate([0, 0, 3, 0, 1, 2, 0, 0, 0, 4] * 4):
        row = stream.step()
        memory.defer(*row)
        expected.add(tasks[time], time, *row)
        for task in tasks[given : given + batch]:
            memory.assign(task)
        given, size = given + batch, size + 2 * batch
        assert memory.pending == time + 1 - given
        assert sum(memory.size(task) for task in (0, 1)) == size
    for task in (0, 1):
        rngs = np.random.default_rng(1), np.random.default_rng(1)
        assert equal(memory.sample(task, 300, rngs[0]), expected.sample(task, 300, rngs[1]))


@pytest.mark.parametrize("clip", [0.0, 1.0, 2.5])
def test_rewards_are_clipped_for_learning_only_where_asked(clip: float) -> None:
    clipped, stream, twin = PerTaskReplay(ring, 10**7, clip), Stream(3, 2, cuts=0.0), Twin(2000, 3, 0.9)
    for time in range(60):
        now, action, following = stream.step()
        clipped.defer(now, action, following)
        clipped.assign(5)
        raw = following.reward
        bounded = np.array([min(max(r, -clip), clip) for r in raw], np.float32) if clip else raw
        twin.add(time, now, action, replace(following, reward=bounded))
        assert np.abs(raw).max() <= 3 and following.reward is raw  # the step itself is as it was
    found = keys(clipped.sample(5, 800, np.random.default_rng(0)))
    assert set(found) <= set(twin.valid()) and len(set(found)) > 60
