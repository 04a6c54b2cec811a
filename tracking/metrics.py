"""Metrics between two log events. What is not yet logged is state; what a clock said is not."""

import math
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any

import torch

Scalar = float | torch.Tensor


CLOCKS = ("time/", "charts/speed_", "charts/time_left_")
"""How the names of scalars begin that are clock readings, which differ from process to process."""


class MetricWindow:
    """Means of what the parts returned since the last log event; names that end in `_max` take the maximum.

    A metric may be a number or a tensor of one element on any device, which is read (a synchronisation) only
    by `pop` and `state_dict`. All is summed in float64, in the order of arrival.
    """

    def __init__(self) -> None:
        self._totals: dict[str, Scalar] = {}
        self._counts: dict[str, int] = {}

    def add(self, metrics: Mapping[str, Scalar]) -> None:
        """Count one more value of each of these metrics. A tensor may be overwritten afterwards."""
        for name, given in metrics.items():
            value = _double(given)
            total = self._totals.get(name)
            if total is None:
                self._totals[name] = value
            else:
                self._totals[name] = _maximum(total, value) if name.endswith("_max") else total + value
            self._counts[name] = self._counts.get(name, 0) + 1

    def pop(self) -> dict[str, float]:
        """{name: mean or maximum} in the order in which the names first came; forgets them all."""
        means = {
            name: float(total) / (1 if name.endswith("_max") else self._counts[name])
            for name, total in self._totals.items()
        }
        self._totals, self._counts = {}, {}
        return means

    def state_dict(self) -> dict[str, Any]:
        """{name: (total or maximum, count)} since the last `pop`."""
        return {name: (float(total), self._counts[name]) for name, total in self._totals.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._totals = {name: total for name, (total, _) in state.items()}
        self._counts = {name: count for name, (_, count) in state.items()}


class PhaseTimer:
    """Seconds spent in each phase: `with timer.phase("act"): …`. No state: these are clock readings.

    On an accelerator a phase lasts until its work is queued, not until it is done. Phases may be nested; a
    phase inside itself is counted twice.
    """

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}
        self._entries: dict[str, int] = {}

    def phase(self, name: str) -> "_Phase":
        """A context whose duration is added to the phase's."""
        return _Phase(self, name)

    def pop(self, steps: int | None = None) -> dict[str, float]:
        """{"time/act_ms": milliseconds per step}, or per time the phase was entered if no `steps` are given;
        starts again from nothing."""
        result = {
            f"time/{name}_ms": 1000 * seconds / (steps or self._entries[name])
            for name, seconds in self._seconds.items()
        }
        self._seconds, self._entries = {}, {}
        return result

    def _add(self, name: str, seconds: float) -> None:
        self._seconds[name] = self._seconds.get(name, 0.0) + seconds
        self._entries[name] = self._entries.get(name, 0) + 1


class _Phase:
    def __init__(self, timer: PhaseTimer, name: str) -> None:
        self._timer, self._name = timer, name

    def __enter__(self) -> None:
        self._start = time.perf_counter()

    def __exit__(self, _: type[BaseException] | None, __: object, ___: TracebackType | None) -> None:
        self._timer._add(self._name, time.perf_counter() - self._start)


def _double(value: Scalar) -> Scalar:
    """A float64 of its own: a sum goes on alike whether it was restored, as a number, or is still a
    tensor."""
    if isinstance(value, torch.Tensor):
        return value.detach().reshape(()).to(torch.float64, copy=True)
    return float(value)


def _maximum(a: Scalar, b: Scalar) -> Scalar:
    """The larger; NaN if either is."""
    if isinstance(a, torch.Tensor) or isinstance(b, torch.Tensor):
        a, b = torch.as_tensor(a, dtype=torch.float64), torch.as_tensor(b, dtype=torch.float64)
        # Unlike torch.maximum, this takes a host and a device scalar together.
        return torch.where((a > b) | a.isnan(), a, b)
    return math.nan if math.isnan(a) or math.isnan(b) else max(a, b)
