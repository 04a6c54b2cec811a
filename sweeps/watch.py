"""Shows how runs stand: a table that redraws itself, or where there is no terminal a line for every change."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress

from rich.console import Console
from rich.live import Live
from rich.table import Table

_SECONDS = 5.0  # between two pictures on a terminal
_PROGRESS_SECONDS = 600.0  # between two lines on a run's progress where there is no terminal


class Watch:
    """`draw(rows, width)` makes a table of at most so many rows; `states()` is {run: (state, words on it)}."""

    def __init__(self, draw: Callable[[int, int], Table], states: Callable[[], Mapping[str, tuple[str, str]]]) -> None:
        self.draw = draw
        self.states = states
        self.console = Console()
        self.live = Live(console=self.console, auto_refresh=False) if self.console.is_terminal else None
        self.shown: dict[str, str] = {}
        self.moment = time.monotonic()

    def __enter__(self) -> Watch:
        if self.live:
            self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.live:
            with suppress(OSError, ValueError):  # what cannot be shown ends nothing
                self._draw(self.live)
            self.live.stop()

    def _draw(self, live: Live) -> None:
        live.update(self.draw(self.console.height - 6, self.console.width), refresh=True)
        self.moment = time.monotonic()

    def __call__(self) -> None:
        """Once a second or so."""
        if self.live:
            if time.monotonic() - self.moment > _SECONDS:
                self._draw(self.live)
            return
        self._lines(time.monotonic() - self.moment > _PROGRESS_SECONDS)

    def last(self) -> None:
        """When all has ended: where there is no terminal, the lines that are still to be told."""
        if not self.live:
            self._lines(False)

    def _lines(self, tell: bool) -> None:
        for name, (now, words) in self.states().items():
            if now != self.shown.get(name, "waiting") or (tell and now == "running"):
                print(f"{name}: {now} {words}".rstrip(), flush=True)
                self.shown[name] = now
        if tell:
            self.moment = time.monotonic()
