"""The ring against its slow twin, and its laws one by one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from envs.timestep import TimeStep
from replay.buffer import ReplayBuffer
from replay.device_cache import DeviceFrameCache
from replay.horizon import Horizon
from tests.replay.streams import Stream, Twin, equal, keys

GAMMA = 0.5


def fill(rings: list, stream: Stream, rows: int, seams: float = 0.0, time: int = 0) -> int:
    """Add `rows` rows of `stream` to all rings; at seams it moves on unseen. Returns the next time."""
    for _ in range(rows):
        while stream.rng.random() < seams:
            stream.step()
            time += 1
        row = stream.step()
        for ring in rings:
            ring.add(time, *row)
        time += 1
    return time


def whole(ring: ReplayBuffer) -> list:
    """Every transition that the ring can sample, once."""
    numbers = ring.sampleable()
    return keys(ring.transitions(numbers)) if len(numbers) else []


@given(
    seed=st.integers(0, 10**6),
    batch=st.integers(1, 3),
    stack=st.sampled_from([1, 2, 4]),
    n_step=st.integers(1, 5),
    rows=st.integers(1, 60),
    capacity_rows=st.integers(7, 70),
    block_rows=st.sampled_from([1, 3, 8, 100]),
    compress=st.booleans(),
    fill_with=st.sampled_from(["zeros", "copies", "noise"]),
    seams=st.sampled_from([0.0, 0.1, 0.4]),
    ends=st.sampled_from([0.0, 0.05, 0.3]),
)
def test_it_holds_exactly_what_the_twin_holds(
    seed: int,
    batch: int,
    stack: int,
    n_step: int,
    rows: int,
    capacity_rows: int,
    block_rows: int,
    compress: bool,
    fill_with: str,
    seams: float,
    ends: float,
) -> None:
    capacity = capacity_rows * batch + batch // 2
    ring = ReplayBuffer(capacity, n_step, GAMMA, block_rows, compress)
    twin = Twin(capacity, n_step, GAMMA)
    stream = Stream(seed, batch, stack, fill=fill_with, ends=ends, lives=ends, cuts=ends)
    time = 0
    for count in (rows // 2, rows - rows // 2):
        time = fill([ring, twin], stream, count, seams, time)
        expected = twin.valid()
        assert Counter(whole(ring)) == Counter(expected)
        assert len(ring) == len(twin.rows) * batch
        assert ring.count_sampleable() == len(expected)
        if expected:
            assert set(keys(ring.sample(40, np.random.default_rng(seed)))) <= set(expected)
        else:
            assert not ring.can_sample()
            with pytest.raises(ValueError, match="no transition"):
                ring.sample(1, np.random.default_rng(seed))


def test_windows_shorten_as_transitions_come() -> None:
    horizon, stream = Horizon(5, 1, 48), Stream(5, 2)
    ring, twin, time = ReplayBuffer(60, horizon, GAMMA, 8), Twin(60, 5, GAMMA), 0
    for rows in range(1, 41):
        time = fill([ring, twin], stream, 1, seams=0.1, time=time)
        twin.n_step = horizon(2 * rows)
        assert Counter(whole(ring)) == Counter(twin.valid())
        assert ring.can_sample() == bool(twin.valid())
    assert twin.n_step == 1


@pytest.mark.parametrize("n_step", [1, 3])
def test_sampling_is_uniform_over_what_is_valid(n_step: int) -> None:
    ring, twin = ReplayBuffer(40, n_step, GAMMA, 4), Twin(40, n_step, GAMMA)
    fill([ring, twin], Stream(3, 2), 30, seams=0.1)
    expected = twin.valid()
    assert len(set(expected)) == len(expected)
    rng = np.random.default_rng(0)
    counts = Counter(key for _ in range(300) for key in keys(ring.sample(32, rng)))
    assert set(counts) == set(expected)
    mean = 300 * 32 / len(expected)
    chi_square = sum((counts[key] - mean) ** 2 / mean for key in expected)
    freedom = len(expected) - 1
    assert abs(chi_square - freedom) < 4 * np.sqrt(2 * freedom)


def test_a_single_valid_transition_among_many_is_found() -> None:
    ring, twin = ReplayBuffer(4000, 1, GAMMA, 64), Twin(4000, 1, GAMMA)
    fill([ring, twin], Stream(0, 1, ends=0, lives=0, cuts=1), 3000)
    fill([ring, twin], Stream(1, 1, ends=1, lives=0, cuts=0), 1, time=3000)
    assert len(twin.valid()) == 1
    assert set(keys(ring.sample(5, np.random.default_rng(0)))) == set(twin.valid())


@pytest.mark.parametrize(("capacity", "good"), [(10, {3, 4, 30, 31, 59}), (100, {3, 90})])
def test_whether_anything_can_be_sampled_is_known_after_every_row(
    capacity: int, good: set[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when all that could be sampled is evicted, and when it is older than the rows looked at first."""
    monkeypatch.setattr("replay.buffer._CHUNK", 16)
    ring, seen = ReplayBuffer(capacity, 2, GAMMA, 8), []
    for time in range(100):
        stream = Stream(time, 1, stack=1, ends=float(time in good), lives=0, cuts=float(time not in good))
        if time not in (50, 51):
            ring.can_sample()  # what it remembers is no less right later
        fill([ring], stream, 1, time=time)
        seen.append(ring.can_sample())
        assert seen[-1] == (ring.count_sampleable() > 0)
    assert True in seen and False in seen


def test_open_windows_wait_for_their_end() -> None:
    ring, stream = ReplayBuffer(100, 3, GAMMA, 8), Stream(0, 2, ends=0, lives=0, cuts=0)
    for rows, valid in ((1, 0), (2, 0), (3, 0), (4, 2), (5, 4)):
        fill([ring], stream, 1, time=rows)
        assert ring.count_sampleable() == valid
    now, action, _ = stream.step()
    over = TimeStep(now.observation, np.ones(2, np.float32), np.zeros(2, np.float32), np.ones(2, np.bool_))
    ring.add(6, now, action, over)  # a terminal closes all of them
    assert ring.count_sampleable() == len(ring) == 12


def test_a_seam_costs_the_row_before_it_and_bootstraps_from_its_state() -> None:
    ring, stream = ReplayBuffer(100, 3, GAMMA, 8), Stream(0, 1, ends=0, lives=0, cuts=0)
    time = fill([ring], stream, 4)
    assert ring.count_sampleable() == 1
    stream.step()
    fill([ring], stream, 1, time=time + 1)
    assert ring.count_sampleable() == 3
    batch = ring.sample(64, np.random.default_rng(0))
    assert set(batch.discount.tolist()) == {GAMMA**m for m in (1, 2, 3)}


@pytest.mark.parametrize("n_step", [1, 4])
def test_raw_and_compressed_are_equal_whatever_the_blocks(n_step: int) -> None:
    rings = [ReplayBuffer(90, n_step, GAMMA, rows, lz) for rows in (5, 64) for lz in (False, True)]
    fill(rings, Stream(7, 3, fill="noise"), 50, seams=0.1)
    batches = [ring.sample(50, np.random.default_rng(2)) for ring in rings]
    assert all(equal(batches[0], batch) for batch in batches[1:])


def mirror_maker(made: list[DeviceFrameCache], given: int | None = None) -> Callable[[int, int, int], DeviceFrameCache]:
    def make(slots: int, height: int, width: int) -> DeviceFrameCache:
        made.append(DeviceFrameCache(given or slots, height, width, "cpu"))
        return made[-1]

    return make


@pytest.mark.parametrize("slots", [1000, 40])
@pytest.mark.parametrize("ends", [0.0, 0.3])
def test_a_mirror_shows_the_same_frames_also_after_a_resume(slots: int, ends: float) -> None:
    made: list[DeviceFrameCache] = []
    plain = ReplayBuffer(90, 3, GAMMA, 5)
    mirrored = ReplayBuffer(90, 3, GAMMA, 5, make_mirror=mirror_maker(made, slots))
    stream, time = Stream(7, 3, fill="noise", ends=ends), 0
    for _ in range(12):  # more than the ring holds, so that blocks are dropped
        time = fill([plain, mirrored], stream, 7, seams=0.1, time=time)
        batches = [ring.sample(50, np.random.default_rng(time)) for ring in (plain, mirrored)]
        assert equal(*batches)
    assert made[0].full == (slots == 40)
    resumed = ReplayBuffer(90, 3, GAMMA, 5, make_mirror=mirror_maker(made, 1000))
    resumed.load_state_dict(plain.state_dict())
    fill([plain, resumed], stream, 9, time=time)
    assert not made[1].full
    assert equal(*(ring.sample(50, np.random.default_rng(5)) for ring in (plain, resumed)))


def test_a_mirror_gives_its_slots_back() -> None:
    made: list[DeviceFrameCache] = []
    ring = ReplayBuffer(60, 1, GAMMA, 5, make_mirror=mirror_maker(made))
    fill([ring], Stream(0, 2, ends=0.0), 2000)
    assert not made[0].full


def test_a_minibatch_is_split_into_its_rows_in_order() -> None:
    ring = ReplayBuffer(100, 2, GAMMA)
    fill([ring], Stream(0, 2, fill="noise"), 40)
    whole_batch = ring.sample(12, np.random.default_rng(1))
    parts = list(whole_batch.split(4))
    assert [len(part) for part in parts] == [4, 4, 4]
    for name in ("observation", "action", "reward", "discount", "next_observation"):
        assert torch.equal(torch.cat([getattr(part, name) for part in parts]), getattr(whole_batch, name))


def test_the_minibatch_has_the_promised_types() -> None:
    ring = ReplayBuffer(100, 2)
    fill([ring], Stream(0, 2), 20)
    batch = ring.sample(5, np.random.default_rng(0)).to("cpu")
    assert len(batch) == 5 and batch.observation.shape == batch.next_observation.shape == (5, 4, 3, 3)
    assert batch.observation.dtype == batch.next_observation.dtype == torch.uint8
    assert batch.action.dtype == torch.int64
    assert batch.reward.dtype == batch.discount.dtype == torch.float32
    assert batch.observation.is_contiguous() and batch.next_observation.is_contiguous()


def test_the_streams_buffers_may_be_reused() -> None:
    """The ring keeps nothing of the caller's arrays."""
    ring, twin = ReplayBuffer(100, 1, GAMMA, 8, False), Twin(100, 1, GAMMA)
    stream = Stream(0, 2)
    for time in range(20):
        now, action, following = stream.step()
        mine = TimeStep(*(array.copy() for array in (now.observation, now.reward, now.discount, now.first)))
        ring.add(time, mine, action, following)
        twin.add(time, now, action, following)
        mine.observation[:] = 99
    assert Counter(whole(ring)) == Counter(twin.valid())


def test_memory_is_bounded_and_counted() -> None:
    ring = ReplayBuffer(64, 1, GAMMA, 8, compress=False)
    stream = Stream(0, 2, side=20, ends=0, lives=0, cuts=0)
    sizes = []
    for _ in range(25):
        fill([ring], stream, 4, time=len(sizes) * 4)
        sizes.append(ring.nbytes)
    rows = 32 + 8  # the capacity and a block
    assert max(sizes) <= rows * 2 * (400 + 40) + rows // 8 * 2 * 3 * 410 + 2 * 4 * 400
    assert min(sizes[12:]) >= 64 * 400
    assert len(ring) == 64


def test_mistakes_are_told_in_a_sentence() -> None:
    stream = Stream(0, 2)
    ring = ReplayBuffer(100)
    with pytest.raises(ValueError, match="no transition"):
        ring.sample(1, np.random.default_rng(0))
    fill([ring], stream, 3)
    with pytest.raises(ValueError, match="order of time"):
        ring.add(2, *stream.step())
    with pytest.raises(ValueError, match="observations"):
        ring.add(5, *Stream(0, 3).step())
    with pytest.raises(ValueError, match="too small"):
        ReplayBuffer(6, n_step=3).add(0, *stream.step())
    for wrong in ({"capacity": 0}, {"n_step": 0}, {"gamma": 1.1}, {"block_rows": 0}):
        with pytest.raises(ValueError, match="needs"):
            ReplayBuffer(**{"capacity": 10, **wrong})
    with pytest.raises(ValueError, match="block_rows"):
        ReplayBuffer(100, block_rows=3).load_state_dict(ring.state_dict())
    with pytest.raises(ValueError, match="last full block"):
        ring.drop_oldest_block()
