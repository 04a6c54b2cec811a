"""sweep.py in processes of its own, and in this one."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable

import pytest

import sweep
from tests.commands import code_of
from tests.integration.runs import ROOT
from tracking.run_directory import BAD_INPUT

PATIENCE = 1200  # seconds, of which a free machine needs thirty


def start(*arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "sweep.py", *map(str, arguments), "--unmeasured"]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=PATIENCE)
    return process.returncode, out, err


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The line with which sweep.py refuses its arguments; in this process."""
    assert code_of(sweep.main, arguments) == BAD_INPUT
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1
    return said


def wait_for(condition: Callable[[], object], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
