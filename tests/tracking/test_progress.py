"""Lines where there is no terminal, a bar where there is one."""

import io

from tracking.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_lines_at_most_every_interval() -> None:
    stream, clock = io.StringIO(), Clock()
    with Progress(100_000, stream, interval=30, clock=clock) as progress:
        for frames in range(40_000, 50_000, 100):  # resumed at 40 000: that says nothing about the speed
            progress.update(frames, game="pong", score=1.23456)
            clock.now += 1
        assert len(stream.getvalue().splitlines()) == 3
        progress.event("[task 1] → 2")
    *lines, event, last = stream.getvalue().splitlines()
    assert lines[0].startswith("43,000 of 100,000 frames (43.0 %)  game pong  score 1.235  100 frames/s")
    assert lines[0].endswith("0:09:30 left") and lines[2].startswith("49,000")
    assert event == "[task 1] → 2" and last.startswith("49,900")


def test_where_a_run_arrives_is_shown_once_and_before_what_is_said_of_it() -> None:
    stream, clock = io.StringIO(), Clock()
    with Progress(100, stream, clock=clock) as progress:
        progress.update(0)
        clock.now += 1
        progress.update(94)
        progress.arrive(100)
        progress.event("written")
    last, said = stream.getvalue().splitlines()
    assert last.startswith("100 of 100 frames (100.0 %)") and said == "written"


def test_only_events_when_nothing_progressed() -> None:
    stream = io.StringIO()
    with Progress(10, stream) as progress:
        progress.event("a\nb")
        progress.update(0)
    assert stream.getvalue() == "a\nb\n"


def test_a_terminal_gets_a_bar_and_whole_events() -> None:
    stream, clock = Terminal(), Clock()
    with Progress(1000, stream, clock=clock) as progress:
        progress.update(0, game="[bold]")
        clock.now += 2
        progress.update(500)
        progress.event("[red]switch[/red] " + "x" * 200)
    text = stream.getvalue()
    assert "[red]switch[/red] " + "x" * 200 in text
    assert "500 frames" in text and "250 frames/s" in text and "50%" in text and "game [bold]" in text
    assert "0:00:02 left" in text


def test_the_default_is_stderr(capsys) -> None:  # type: ignore[no-untyped-def]
    with Progress(10) as progress:
        progress.event("hello")
    assert capsys.readouterr().err == "hello\n"
