"""The one law of state: after b.load_state_dict(a.state_dict()), b behaves like a for ever."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from replay.buffer import ReplayBuffer
from replay.per_task import PerTaskReplay
from tests.conformance.alike import assert_alike
from tests.replay.streams import Stream, equal


def leaves(tree: Any, path: str = "") -> dict[str, Any]:
    """The leaves of nested dicts by path."""
    if not isinstance(tree, dict):
        return {path: tree}
    return {key: leaf for name, sub in tree.items() for key, leaf in leaves(sub, f"{path}/{name}").items()}


def same(a: Any, b: Any) -> bool:
    """Two trees are equal bit for bit."""
    x, y = leaves(a), leaves(b)
    return x.keys() == y.keys() and all(
        u.equal(y[k]) if isinstance(u, torch.Tensor) else u == y[k] for k, u in x.items()
    )


def through_a_file(state: Any) -> Any:
    """Saved and loaded, executing nothing."""
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


@given(
    seed=st.integers(0, 10**6),
    rows=st.integers(0, 50),
    n_step=st.integers(1, 3),
    compress=st.booleans(),
    on_disk=st.booleans(),
)
def test_a_loaded_ring_is_its_twin(seed: int, rows: int, n_step: int, compress: bool, on_disk: bool) -> None:
    make: Callable[[], ReplayBuffer] = lambda: ReplayBuffer(50, n_step, 0.9, 6, compress)  # noqa: E731
    a, b, stream = make(), make(), Stream(seed, 2, fill="noise")
    for time in range(rows):
        a.add(time + (time > 20), *stream.step())
    other = Stream(seed + 1, 2)
    for time in range(13):  # what b held before is gone
        b.add(time, *other.step())
    state = through_a_file(a.state_dict()) if on_disk else a.state_dict()
    b.load_state_dict(state)
    assert (len(a), a.nbytes, a.full_blocks) == (len(b), b.nbytes, b.full_blocks)
    rng_a, rng_b = np.random.default_rng(1), np.random.default_rng(1)
    for time in range(rows + 2, rows + 40):
        row = stream.step()
        a.add(time, *row)
        b.add(time, *row)
        if a.count_sampleable():
            assert equal(a.sample(8, rng_a), b.sample(8, rng_b))
    assert a.nbytes == b.nbytes
    assert same(a.state_dict(), b.state_dict())


@pytest.mark.parametrize("compress", [False, True])
def test_a_snapshot_stays_as_it_is_and_shares_the_full_blocks(compress: bool) -> None:
    ring, stream = ReplayBuffer(60, 1, 0.9, 8, compress), Stream(0, 2)
    names: dict[str, Any] = {}
    states, copies = [], []
    for time in range(100):
        ring.add(time, *stream.step())
        state = ring.state_dict()
        states.append(state)
        copies.append(copy.deepcopy(state))
        for name, segment in state["segments"].items():
            first = names.setdefault(name, copy.deepcopy(segment))
            assert same(first, segment)  # the same name, the same content
    assert all(same(state, kept) for state, kept in zip(states, copies, strict=True))
    early, late = states[-9]["segments"], states[-1]["segments"]
    shared = early.keys() & late.keys()
    assert shared and len(names) == 12
    for name in shared:
        assert early[name]["frames"]["frames"].data_ptr() == late[name]["frames"]["frames"].data_ptr()


def test_leaves_are_what_a_checkpoint_may_hold() -> None:
    ring, stream = ReplayBuffer(60, 1, 0.9, 8), Stream(0, 2)
    assert ring.state_dict()["growing"] is None
    for time in range(20):
        ring.add(time, *stream.step())
    for leaf in leaves(ring.state_dict()).values():
        assert leaf is None or type(leaf) in (torch.Tensor, int, float, str, bytes)


def test_the_memory_of_all_tasks_is_resumed() -> None:
    make = lambda: PerTaskReplay(lambda: ReplayBuffer(60, 2, 0.9, 4), budget_bytes=12_000)  # noqa: E731
    a, b = make(), make()
    streams = [Stream(task, 2, tag=task) for task in range(3)]
    for time in range(150):
        a.add(time // 10 % 3, time, *streams[time // 10 % 3].step())
    state = through_a_file(a.state_dict())
    assert {name.split("-")[0] for name in state["segments"]} == {"task000", "task001", "task002"}
    b.load_state_dict(state)
    rngs = np.random.default_rng(1), np.random.default_rng(1)
    for time in range(150, 300):
        task, row = time // 10 % 3, streams[time // 10 % 3].step()
        a.add(task, time, *row)
        b.add(task, time, *row)
        assert equal(a.sample(task, 4, rngs[0]), b.sample(task, 4, rngs[1]))
        assert a.nbytes == b.nbytes and a.size(task) == b.size(task)
    assert same(a.state_dict(), b.state_dict())


def test_steps_that_wait_for_their_task_are_resumed() -> None:
    make = lambda: PerTaskReplay(lambda: ReplayBuffer(60, 2, 0.9, 4), 10**7, reward_clip=1.0)  # noqa: E731
    a, b, stream = make(), make(), Stream(0, 2, fill="noise")
    for time in range(40):
        a.defer(*stream.step())
        if time not in (20, 37, 38, 39):
            a.assign(time // 10 % 2)
    b.defer(*stream.step())  # is gone
    b.load_state_dict(through_a_file(a.state_dict()))
    assert a.pending == b.pending == 4
    for _ in range(20):
        row = stream.step()
        for each in (a, b):
            each.defer(*row)
            each.assign(0)
    rngs = np.random.default_rng(1), np.random.default_rng(1)
    assert equal(a.sample(0, 50, rngs[0]), b.sample(0, 50, rngs[1]))
    assert_alike(a.state_dict(), b.state_dict())
