"""How far a run is: a live bar on a terminal, plain lines anywhere else."""

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Protocol, TextIO

from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn
from rich.progress import Progress as Bar

REFRESH_S = 0.2


class _Display(Protocol):
    def show(self, frames: int, speed: float, fields: dict[str, Any]) -> None: ...

    def line(self, text: str) -> None: ...

    def close(self) -> None: ...


class Progress:
    """`update` at every step, `event` for what deserves a line of its own (a switch, a checkpoint, a result).

    On a terminal the bar is redrawn a few times a second; elsewhere progress is a line every `interval`
    seconds of `clock`, and a last one at `close`.
    """

    def __init__(
        self,
        total_frames: int,
        stream: TextIO | None = None,
        interval: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        stream = sys.stderr if stream is None else stream
        terminal = stream.isatty()
        self._display: _Display = _Live(total_frames, stream) if terminal else _Lines(total_frames, stream)
        self._interval = REFRESH_S if terminal else interval
        self._clock = clock
        self._fields: dict[str, Any] = {}
        self._latest: int | None = None
        self._shown: tuple[int, float] | None = None  # frames and time of the last display
        self._speed = 0.0

    def update(self, frames: int, **fields: Any) -> None:
        """The run has come to `frames`. Fields (game, task, score, …) are shown as given and stay until
        replaced."""
        self._fields.update(fields)
        self._latest = frames
        now = self._clock()
        if self._shown is None:  # a resumed run starts here, which says nothing about its speed
            self._shown = (frames, now)
        elif now - self._shown[1] >= self._interval:
            self._show(now)

    def event(self, text: str) -> None:
        """Print text, of one or more lines, above the bar."""
        self._display.line(text)

    def arrive(self, frames: int) -> None:
        """The run has come to `frames`, its last: shown at once."""
        if self._shown is not None and frames != self._shown[0]:
            self._latest = frames
            self._show(self._clock())

    def close(self) -> None:
        """Show where it ended."""
        if self._latest is not None:
            self.arrive(self._latest)
        self._display.close()

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, _: type[BaseException] | None, __: object, ___: TracebackType | None) -> None:
        self.close()

    def _show(self, now: float) -> None:
        assert self._shown is not None and self._latest is not None
        frames, before = self._shown
        recent = (self._latest - frames) / max(now - before, 1e-9)
        weight = min(1.0, (now - before) / 10) if self._speed else 1.0  # smoothed over about ten seconds
        self._speed += weight * (recent - self._speed)
        self._shown = (self._latest, now)
        self._display.show(self._latest, self._speed, self._fields)


class _Lines:
    """Plain lines, for a file or a pipe."""

    def __init__(self, total_frames: int, stream: TextIO) -> None:
        self._total, self._stream = total_frames, stream

    def show(self, frames: int, speed: float, fields: dict[str, Any]) -> None:
        percent = 100 * frames / max(self._total, 1)
        self.line(
            f"{frames:,} of {self._total:,} frames ({percent:.1f} %)  {_words(speed, fields)}  "
            f"{_remaining(self._total - frames, speed)} left"
        )

    def line(self, text: str) -> None:
        print(text, file=self._stream, flush=True)

    def close(self) -> None:
        pass


class _Live:
    """rich's bar, on a terminal."""

    def __init__(self, total_frames: int, stream: TextIO) -> None:
        self._bar = Bar(
            TextColumn("{task.fields[words]}", markup=False),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[left]} left", markup=False),
            console=Console(file=stream, highlight=False),
            refresh_per_second=4,
        )
        self._total = total_frames
        self._task = self._bar.add_task("", total=total_frames, words="", left="?")
        self._bar.start()

    def show(self, frames: int, speed: float, fields: dict[str, Any]) -> None:
        words = f"{frames:,} frames  {_words(speed, fields)}"
        self._bar.update(self._task, completed=frames, words=words, left=_remaining(self._total - frames, speed))

    def line(self, text: str) -> None:
        self._bar.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def close(self) -> None:
        self._bar.stop()


def _words(speed: float, fields: dict[str, Any]) -> str:
    shown = {name: f"{value:.4g}" if isinstance(value, float) else value for name, value in fields.items()}
    return "  ".join([*(f"{name} {value}" for name, value in shown.items()), f"{speed:,.0f} frames/s"])


def _remaining(frames: int, speed: float) -> str:
    if speed <= 0:
        return "?"
    minutes, seconds = divmod(round(max(frames, 0) / speed), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}"
