"""How far a run is: a live bar on a terminal, plain lines anywhere else."""

import sys
import textwrap
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Protocol, TextIO

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.text import Text

from tracking.durations import spoken

REFRESH_S = 0.2
_LEAST_BAR = 4  # columns


class _Display(Protocol):
    def show(self, frames: int, speed: float, fields: dict[str, Any]) -> None: ...

    def line(self, text: str) -> None: ...

    def close(self) -> None: ...


class Progress:
    """`update` at every step, `event` for what deserves a line of its own (a switch, a checkpoint, a result).

    On a terminal the bar is redrawn a few times a second; elsewhere progress is a line every `interval`
    seconds of `clock`, and a last one at `close`. An event of one line begins with `moment()`: the time of day,
    and outside a terminal, where lines are kept, the date.
    """

    def __init__(
        self,
        total_frames: int,
        stream: TextIO | None = None,
        interval: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
        moment: Callable[[str], str] = time.strftime,
    ) -> None:
        stream = sys.stderr if stream is None else stream
        terminal = stream.isatty()
        self.width = Console(file=stream).width if terminal else None
        """Columns of the terminal; None where lines may be of any length."""
        self._display: _Display
        if terminal:
            self._display = _Live(total_frames, stream, lambda: moment("%H:%M:%S"))
        else:
            self._display = _Lines(total_frames, stream, lambda: moment("%Y-%m-%d %H:%M:%S"))
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
            if self.width is not None:
                self._display.show(frames, self._speed, self._fields)
        elif now - self._shown[1] >= self._interval:
            self._show(now)

    def event(self, text: str) -> None:
        """Print text, of one or more lines, above the bar; several lines, such as a table, as they are."""
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

    def __init__(self, total_frames: int, stream: TextIO, moment: Callable[[], str]) -> None:
        self._total, self._stream, self._moment = total_frames, stream, moment

    def show(self, frames: int, speed: float, fields: dict[str, Any]) -> None:
        words = [f"{name} {_shown(value)}" for name, value in fields.items()]
        percent = 100 * frames / max(self._total, 1)
        parts = [f"{frames:,} of {self._total:,} frames ({percent:.1f} %)", *words, f"{speed:,.0f} frames/s"]
        self.line("  ".join([*parts, _left(self._total - frames, speed)]))

    def line(self, text: str) -> None:
        print(text if "\n" in text else f"{self._moment()}  {text}", file=self._stream, flush=True)

    def close(self) -> None:
        pass


class _Live:
    """A line that is redrawn, on a terminal."""

    def __init__(self, total_frames: int, stream: TextIO, moment: Callable[[], str]) -> None:
        self._total, self._moment = total_frames, moment
        self._console = Console(file=stream, highlight=False)
        self._live = Live(Text(), console=self._console, refresh_per_second=4)
        self._live.start()

    def show(self, frames: int, speed: float, fields: dict[str, Any]) -> None:
        self._live.update(_Bar(frames, self._total, speed, dict(fields)))

    def line(self, text: str) -> None:
        if "\n" not in text:  # broken between words, so that a path or a command can be copied
            room = {"width": self._console.width, "break_long_words": False, "break_on_hyphens": False}
            text = textwrap.fill(f"{self._moment()}  {text}", subsequent_indent=10 * " ", **room)  # type: ignore[arg-type]
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def close(self) -> None:
        self._live.stop()


class _Bar:
    """One line that fits the terminal as it is when it is drawn: frames, speed, game, score and time left always, the
    share that is done as a bar, and other fields and the percentage where there is room."""

    def __init__(self, frames: int, total: int, speed: float, fields: dict[str, Any]) -> None:
        done = min(1.0, frames / max(total, 1))
        self._done = done
        others = [(2, f"{name} {_shown(value)}") for name, value in fields.items() if name not in ("game", "score")]
        self._parts = [  # (when it leaves: the highest number first, 0 never; text)
            (1, f"{100 * done:.0f} %"),
            (0, f"{frames / 1e6:.{2 if total < 1e8 else 1}f} M frames" if total >= 1e6 else f"{frames:,} frames"),
            *([(0, f"{speed:,.0f}/s")] if speed > 0 else []),
            *((0, str(value)) for name, value in fields.items() if name == "game"),
            *others,
            *((0, f"{name} {_shown(value)}") for name, value in fields.items() if name == "score"),
            (0, _left(total - frames, speed)),
        ]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for stays in (2, 1, 0):
            words = "  ".join(text for leaves, text in self._parts if leaves <= stays)
            bar = options.max_width - cell_len(words) - 2
            if bar >= 3 * _LEAST_BAR or stays == 0:
                break
        length = max(0, min(bar, 40))
        full = round(self._done * length)
        done, rest = ("#", ".") if options.ascii_only else ("━", "─")
        line = Text(no_wrap=True, overflow="ellipsis", end="")
        if length >= _LEAST_BAR:
            line.append(done * full, "green").append(rest * (length - full), "dim").append("  ")
        yield line.append(words)


def _shown(value: Any) -> Any:
    if not isinstance(value, float):
        return value
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _left(frames: int, speed: float) -> str:
    return f"{spoken(max(frames, 0) / speed)} left" if speed > 0 else "? left"
