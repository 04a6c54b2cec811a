"""Lines where there is no terminal, a bar where there is one."""

import io
import re

import pytest
from rich.console import Console

from tracking.progress import Progress, _Bar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def moment(form: str) -> str:
    return form.replace("%Y-%m-%d", "2026-11-29").replace("%H:%M:%S", "14:02:31")


NOW = "2026-11-29 14:02:31  "


def test_lines_at_most_every_interval() -> None:
    stream, clock = io.StringIO(), Clock()
    with Progress(100_000, stream, interval=30, clock=clock, moment=moment) as progress:
        for frames in range(40_000, 50_000, 100):  # resumed at 40 000: that says nothing about the speed
            progress.update(frames, game="pong", score=1.23456)
            clock.now += 1
        assert len(stream.getvalue().splitlines()) == 3
        progress.event("[task 1] → 2")
    *lines, event, last = stream.getvalue().splitlines()
    assert lines[0].startswith(f"{NOW}43,000 of 100,000 frames (43.0 %)  game pong  score 1.235  100 frames/s")
    assert lines[0].endswith("  9 min 30 s left") and lines[2].startswith(f"{NOW}49,000")
    assert event == f"{NOW}[task 1] → 2" and last.startswith(f"{NOW}49,900")


def test_without_a_terminal_it_is_a_line_a_minute() -> None:
    stream, clock = io.StringIO(), Clock()
    progress = Progress(10**6, stream, clock=clock, moment=moment)
    for second in range(601):
        clock.now = second
        progress.update(second * 100, score=12345.6)
    lines = stream.getvalue().splitlines()
    assert len(lines) == 10 and "score 12,346 " in lines[0]


def test_where_a_run_arrives_is_shown_once_and_before_what_is_said_of_it() -> None:
    stream, clock = io.StringIO(), Clock()
    with Progress(100, stream, clock=clock, moment=moment) as progress:
        progress.update(0)
        clock.now += 1
        progress.update(94)
        progress.arrive(100)
        progress.event("written")
    last, said = stream.getvalue().splitlines()
    assert last.startswith(f"{NOW}100 of 100 frames (100.0 %)") and said == f"{NOW}written"


def test_several_lines_are_printed_as_they_are_and_nothing_else_where_nothing_progressed() -> None:
    stream = io.StringIO()
    with Progress(10, stream, moment=moment) as progress:
        progress.event("a\nb")
        progress.update(0)
    assert stream.getvalue() == "a\nb\n"


def test_a_terminal_gets_a_bar_and_events_with_the_time_of_day(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    stream, clock = Terminal(), Clock()
    with Progress(1000, stream, clock=clock, moment=moment) as progress:
        progress.update(0, game="[bold]")
        clock.now += 2
        progress.update(500)
        progress.event("[red]switch[/red] " + "x" * 200)
        progress.event("written: " + " ".join(f"runs/a-run/{name}.png" for name in ("scores", "tasks", "retention")))
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue())
    assert "14:02:31  [red]switch[/red]\n          " + "x" * 200 in text
    assert "runs/a-run/tasks.png\n          runs/a-run/retention.png" in text
    assert "500 frames  250/s  [bold]  2 s left" in text and "50 %" in text


def drawn(width: int, *, ascii_only: bool = False, task: int = 3) -> str:
    """The bar of a long run in the middle of a game with a long name."""
    fields = {"game": "montezuma_revenge", "task": task, "score": "12,346"}
    file = io.TextIOWrapper(io.BytesIO(), encoding="ascii" if ascii_only else "utf-8")
    console = Console(file=file, width=width, force_terminal=False)
    with console.capture() as captured:
        console.print(_Bar(250_000_000, 500_000_000, 3100.0, fields))
    return captured.get()


@pytest.mark.parametrize("width", [80, 100, 120, 200])
def test_the_bar_is_one_line_with_all_that_matters(width: int) -> None:
    (line,) = drawn(width).splitlines()
    assert len(line) <= width
    bar, *words = line.split("  ")
    assert len(bar) >= 4 and bar.count("━") == bar.count("─")
    told = ["250.0 M frames", "3,100/s", "montezuma_revenge", "score 12,346", "22 h 24 min left"]
    assert [word for word in words if word in told] == told
    assert ("50 %" in words, "task 3" in words) == (width > 80, width >= 120)


def test_a_narrow_terminal_cuts_the_bar_and_never_breaks_it() -> None:
    for width in (20, 40, 60):
        (line,) = drawn(width).splitlines()
        assert len(line) <= width and line.startswith("250.0 M frames")


def test_the_bar_without_line_drawing_characters() -> None:
    assert "####" in drawn(120, ascii_only=True) and "━" not in drawn(120, ascii_only=True)


def test_the_default_is_stderr_and_the_present_moment(capsys) -> None:  # type: ignore[no-untyped-def]
    with Progress(10) as progress:
        progress.event("hello")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  hello\n", capsys.readouterr().err)
