"""Being asked to stop: SIGTERM and Ctrl-C only set a flag, which the loop reads at the end of a step."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any


class StopSignal:
    """`with StopSignal() as stop: … if stop.requested: break`. A second Ctrl-C raises KeyboardInterrupt at
    once.

    Outside the main thread no signal can be caught; there only `request` sets the flag.
    """

    def __init__(self) -> None:
        self.reason = ""
        self._interrupts = 0
        self._before: dict[signal.Signals, Any] = {}

    @property
    def requested(self) -> bool:
        """Whether anyone has asked; `reason` says who, and is "" until then."""
        return self.reason != ""

    def request(self, reason: str) -> None:
        """Ask to stop; the first reason stays."""
        self.reason = self.reason or reason

    def __enter__(self) -> "StopSignal":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, _: type[BaseException] | None, __: object, ___: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._before.clear()

    def _handle(self, number: int, _: FrameType | None) -> None:
        if number == signal.SIGINT:
            self._interrupts += 1
            if self._interrupts > 1:
                raise KeyboardInterrupt
        self.request("Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name)
