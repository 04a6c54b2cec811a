"""Being asked to stop: a signal only sets a flag, which the loop reads at the end of a step."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType, TracebackType
from typing import Any

# Ctrl-C, a polite end, a closed terminal, and what SLURM sends before the time is up (--signal=USR1@120).
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
Handler = Callable[[int, FrameType | None], Any]


def catch(handler: Handler) -> dict[signal.Signals, Any]:
    """Let `handler` have the signals that ask to stop; what had them before, for `give_back`. A SIGHUP that is ignored
    stays so: that is what nohup asks for. None outside the main thread, where no signal can be caught."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    nohup = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    caught = [number for number in STOPPING if not (nohup and number == signal.SIGHUP)]
    return {number: signal.signal(number, handler) for number in caught}


def give_back(before: dict[signal.Signals, Any]) -> None:
    """Undo `catch`, from what it returned."""
    for number, handler in before.items():
        signal.signal(number, signal.SIG_DFL if handler is None else handler)


class StopSignal:
    """`with StopSignal() as stop: … if stop.requested: break`. A second Ctrl-C raises KeyboardInterrupt at
    once, and so does any request within `at_once`.

    Outside the main thread no signal can be caught; there only `request` sets the flag.
    """

    def __init__(self) -> None:
        self.reason = ""
        self._interrupts = 0
        self._at_once = False
        self._before: dict[signal.Signals, Any] = {}

    @property
    def requested(self) -> bool:
        """Whether anyone has asked; `reason` says who, and is "" until then."""
        return self.reason != ""

    def request(self, reason: str) -> None:
        """Ask to stop; the first reason stays."""
        self.reason = self.reason or reason

    @contextlib.contextmanager
    def at_once(self) -> Iterator[None]:
        """While nothing is done that is not saved already, whoever asks need not wait: KeyboardInterrupt is raised."""
        if self.requested:
            raise KeyboardInterrupt
        self._at_once = True
        try:
            yield
        finally:
            self._at_once = False

    def __enter__(self) -> "StopSignal":
        self._before = catch(self._handle)
        return self

    def __exit__(self, _: type[BaseException] | None, __: object, ___: TracebackType | None) -> None:
        give_back(self._before)
        self._before = {}

    def _handle(self, number: int, _: FrameType | None) -> None:
        if number == signal.SIGINT:
            self._interrupts += 1
        self.request("Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name)
        if self._interrupts > 1 or self._at_once:
            raise KeyboardInterrupt
