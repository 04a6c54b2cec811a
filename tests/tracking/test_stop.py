"""Signals set a flag, in a process of their own."""

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tracking.stop import StopSignal

ROOT = Path(__file__).resolve().parents[2]
CHILD = """
import signal, sys, time
from tracking.stop import STOPPING, StopSignal
# However the tests were started.
signal.signal(signal.SIGHUP, signal.SIG_IGN if "nohup" in sys.argv else signal.SIG_DFL)
before = [signal.getsignal(s) for s in STOPPING]
try:
    with StopSignal() as stop:
        print("ready", flush=True)
        while not stop.requested:
            time.sleep(0.01)
        print(stop.reason, flush=True)
        if "wait" in sys.argv:
            while True:
                time.sleep(0.01)
except KeyboardInterrupt:
    print("interrupted", flush=True)
assert before == [signal.getsignal(s) for s in STOPPING]
"""


def conversation(*signals: signal.Signals, mode: str = "", unanswered: int = 0) -> list[str]:
    """What the child says between and after the signals; the next is sent when it has answered the last, or at once if
    that is one of the first `unanswered`."""
    command = [sys.executable, "-c", CHILD, mode]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        said = [child.stdout.readline().strip()]
        for sent, number in enumerate(signals, 1):
            child.send_signal(number)
            if sent <= unanswered:
                continue
            said.append(child.stdout.readline().strip())
        assert child.wait() == 0
    return said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1])
def test_each_sets_the_flag(number: signal.Signals) -> None:
    assert conversation(number) == ["ready", number.name]


def test_under_nohup_a_closed_terminal_stops_nothing() -> None:
    assert conversation(signal.SIGHUP, signal.SIGUSR1, mode="nohup", unanswered=1) == ["ready", "SIGUSR1"]


def test_control_c_twice() -> None:
    assert conversation(signal.SIGINT) == ["ready", "Ctrl-C"]
    assert conversation(signal.SIGINT, signal.SIGINT, mode="wait") == ["ready", "Ctrl-C", "interrupted"]


def test_in_another_thread_only_a_request_stops() -> None:
    before = signal.getsignal(signal.SIGTERM)
    seen: list[object] = []

    def work() -> None:
        with StopSignal() as stop:
            seen.extend([signal.getsignal(signal.SIGTERM), stop.requested])
            stop.request("enough")
            stop.request("more")
            seen.extend([stop.requested, stop.reason])

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before, False, True, "enough"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_where_there_is_nothing_to_save_a_request_is_obeyed_at_once(number: signal.Signals) -> None:
    with StopSignal() as stop:
        with pytest.raises(KeyboardInterrupt), stop.at_once():
            signal.raise_signal(number)
        assert stop.requested
        with pytest.raises(KeyboardInterrupt), stop.at_once():  # it was asked before
            pytest.fail("nothing is begun any more")
    with StopSignal() as stop:
        with stop.at_once():
            pass
        signal.raise_signal(signal.SIGTERM)  # and afterwards only a flag again
        assert stop.reason == "SIGTERM"
