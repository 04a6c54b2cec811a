"""Metrics between log events are state; a mean is a mean."""

import math
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tracking.checkpoints import load_file, save_file
from tracking.metrics import MetricWindow, PhaseTimer


def test_means_and_maxima() -> None:
    window = MetricWindow()
    window.add({"loss": 1.0, "norm_max": 3.0})
    window.add({"loss": 2.0, "norm_max": -5.0, "rare": 7})
    window.add({"loss": 6.0})
    assert window.pop() == {"loss": 3.0, "norm_max": 3.0, "rare": 7.0}
    assert window.pop() == {}
    window.add({"norm_max": -1.0})
    assert window.pop() == {"norm_max": -1.0}


def test_a_tensor_may_be_overwritten_after_it_was_added() -> None:
    window, static = MetricWindow(), torch.zeros((), dtype=torch.float64, requires_grad=True)
    for value in (1.0, 4.0, 2.0):
        static.data.fill_(value)
        window.add({"loss": static, "loss_max": static})
    assert window.pop() == {"loss": 7 / 3, "loss_max": 4.0}


def test_adding_reads_no_tensor(monkeypatch: pytest.MonkeyPatch) -> None:
    def synchronise(*_: object) -> None:
        raise AssertionError("a tensor was read")

    window = MetricWindow()
    with monkeypatch.context() as patch:
        for name in ("item", "__float__", "__bool__", "tolist", "numpy", "__int__"):
            patch.setattr(torch.Tensor, name, synchronise)
        for value in (3.0, 5.0):
            window.add({"a": torch.tensor(value), "b_max": torch.tensor(value)})
    assert window.pop() == {"a": 4.0, "b_max": 5.0}


def test_nan_stays_visible() -> None:
    for values in ([1.0, math.nan], [math.nan, 1.0]):
        for kind in (float, torch.tensor):
            window = MetricWindow()
            for value in values:
                window.add({"a": kind(value), "a_max": kind(value)})
            assert all(map(math.isnan, window.pop().values()))


VALUES = st.lists(st.tuples(st.floats(width=32, allow_nan=False, allow_infinity=False), st.booleans()), max_size=6)


@given(VALUES, VALUES)
def test_a_window_resumed_is_the_same_window(before: list[tuple[float, bool]], after: list[tuple[float, bool]]) -> None:
    """Bit for bit, also where numbers and float32 tensors come mixed."""

    def drive(window: MetricWindow, values: list[tuple[float, bool]]) -> None:
        for value, tensor in values:
            given_value = torch.tensor(value, dtype=torch.float32) if tensor else value
            window.add({"x": given_value, "x_max": given_value})

    a, b = MetricWindow(), MetricWindow()
    drive(a, before)
    b.load_state_dict(a.state_dict())
    drive(a, after)
    drive(b, after)
    assert a.state_dict() == b.state_dict() and list(a.state_dict()) == list(b.state_dict())
    assert a.pop() == b.pop()


def test_its_state_can_be_stored(tmp_path: Path) -> None:
    window, again = MetricWindow(), MetricWindow()
    window.add({"loss": torch.tensor(0.1), "n": 2})
    save_file(tmp_path / "w.pt", window.state_dict())
    again.load_state_dict(load_file(tmp_path / "w.pt"))
    assert again.pop() == window.pop()


def test_phases(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 1.0, 10.0, 10.5, 20.0, 22.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    timer = PhaseTimer()
    for name in ("act", "learn", "act"):
        with timer.phase(name):
            pass
    entries = dict(timer._entries)
    assert entries == {"act": 2, "learn": 1}
    assert timer.pop() == {"time/act_ms": 1500.0, "time/learn_ms": 500.0}
    assert timer.pop() == {}


def test_phases_per_step_and_when_one_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 2.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    timer = PhaseTimer()
    with pytest.raises(KeyError), timer.phase("act"):
        raise KeyError
    assert timer.pop(steps=8) == {"time/act_ms": 250.0}
