"""A pytest plugin: what each test takes of a processor, its fixtures and the programs that it starts included.

Wall time says little on a shared machine. `pytest -p tests.cpu --cpu 30` ends with the thirty dearest tests."""

from __future__ import annotations

import os
import resource
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

_seconds: dict[str, float] = defaultdict(float)
_children: dict[str, float] = defaultdict(float)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--cpu", type=int, default=0, metavar="N", help="end with the N dearest tests in CPU seconds")


def cpu_seconds() -> tuple[float, float]:
    """User and system time so far: of this process, and of all that it started, whether they have ended or not."""
    own, ended = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    started = ended.ru_utime + ended.ru_stime + sum(_of_family(pid) for pid in _children_of(os.getpid()))
    return own.ru_utime + own.ru_stime, started


def _of_family(pid: int) -> float:
    """Seconds of a process and its descendants; 0 where /proc does not tell."""
    try:
        times = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[11:15]  # its own and of its ended ones
    except OSError:
        return 0.0
    return sum(map(int, times)) / os.sysconf("SC_CLK_TCK") + sum(_of_family(child) for child in _children_of(pid))


def _children_of(pid: int) -> list[int]:
    try:
        return [int(c) for task in Path(f"/proc/{pid}/task").iterdir() for c in (task / "children").read_text().split()]
    except OSError:
        return []


_last = cpu_seconds()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Attaches to each phase's report the time since the last one; with xdist the worker measures."""
    global _last
    report: Any = yield
    now = cpu_seconds()
    report.cpu = [now[0] - _last[0], now[1] - _last[1]]
    _last = now
    return report


def pytest_runtest_logreport(report: Any) -> None:
    own, children = report.cpu
    _seconds[report.nodeid] += own + children
    _children[report.nodeid] += children


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    shown = config.getoption("--cpu")
    if not shown:
        return
    terminalreporter.section(f"CPU seconds, {sum(_seconds.values()):.0f} in all, of which in started programs")
    for test in sorted(_seconds, key=lambda test: _seconds[test], reverse=True)[:shown]:
        terminalreporter.write_line(f"{_seconds[test]:7.1f} {_children[test]:7.1f}  {test}")
