"""Signals set a flag, in a process of their own."""

import signal
import subprocess
import sys
import threading
from pathlib import Path

from tracking.stop import StopSignal

ROOT = Path(__file__).resolve().parents[2]
CHILD = """
import signal, sys, time
from tracking.stop import StopSignal
before = [signal.getsignal(s) for s in (signal.SIGTERM, signal.SIGINT)]
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
assert before == [signal.getsignal(s) for s in (signal.SIGTERM, signal.SIGINT)]
"""


def conversation(*signals: signal.Signals, wait: bool = False) -> list[str]:
    """What the child says between and after the signals; the next is sent when it has answered the last."""
    command = [sys.executable, "-c", CHILD, *(["wait"] if wait else [])]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        said = [child.stdout.readline().strip()]
        for number in signals:
            child.send_signal(number)
            said.append(child.stdout.readline().strip())
        assert child.wait() == 0
    return said


def test_sigterm() -> None:
    assert conversation(signal.SIGTERM) == ["ready", "SIGTERM"]


def test_control_c_twice() -> None:
    assert conversation(signal.SIGINT) == ["ready", "Ctrl-C"]
    assert conversation(signal.SIGINT, signal.SIGINT, wait=True) == ["ready", "Ctrl-C", "interrupted"]


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
