"""Plays every game of every moment, and shows what came of it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from evaluation import table
from evaluation.moments import Asked, Moment
from evaluation.play import GameResult
from evaluation.playable import Playable
from evaluation.results import Results
from evaluation.video import watch
from tracking import command
from tracking.tables import console, terminal_width

Rows = dict[int, list[dict[str, Any]]]
"""{frames of a moment: the table's rows of its games}."""


def play(asked: Asked, playable: Playable, results: Results, video: bool) -> tuple[list[dict[str, Any]], Rows]:
    """Every game at every moment, each kept as soon as it is played; all as reports and as rows. What is kept already
    is not played again, unless it is to be filmed and was not."""
    answers: dict[str, Any] = {}
    before, total = 0, len(playable.snapshots) * len(asked.games)
    shown = {"console": Console(stderr=True), "transient": True, "disable": not sys.stderr.isatty()}
    for name, answer, played in track(_answers(asked, playable, results, video), "playing", total, **shown):  # type: ignore[arg-type]
        answers[name] = answer
        before += not played
    if before:
        print(f"of {total} games {before} had been played before: {results.plays.path}")
    reports, rows = [], {}
    for path in playable.snapshots:
        found = [answers[_name(path, game)] for game in asked.games]
        frames, scores = found[0]["frames"], [GameResult.of(answer["result"]) for answer in found]
        recognised = [answer["recognition"] for answer in found]
        rows[frames] = [{**row, **more} for row, more in zip(table.rows(frames, scores), recognised, strict=True)]
        reports.append(table.report(frames, rows[frames], scores))
    return reports, rows


def _answers(
    asked: Asked, playable: Playable, results: Results, video: bool
) -> Iterator[tuple[str, dict[str, Any], bool]]:
    """Names, answers, and whether they were played just now; moment by moment, so that one agent is in memory at a
    time."""
    for path in playable.snapshots:
        left = []
        for game in asked.games:
            answer = results.plays.get(_name(path, game))
            if answer is not None and (not video or results.filmed(path.stem, game)):
                yield _name(path, game), answer, False
            else:
                left.append(game)
        show = results.film(path.stem) if video else None
        for result, answer in Moment(asked, playable, path).play(left, show) if left else ():
            results.plays.put(_name(path, result.game), answer)
            yield _name(path, result.game), answer, True


def _name(path: Path, game: str) -> str:
    return f"{path.stem}/{game}"


def watch_games(moment: Moment, games: Sequence[str]) -> int:
    """Every game in the terminal, one after the other, until Ctrl-C; nothing is written. Returns the exit code."""
    try:
        for game in games:
            ((result, _),) = moment.play([game], watch(sys.stdout))
            print(f"{game}: {result.mean:,.1f} (human-normalised {result.human_normalised:.2f})")
    except KeyboardInterrupt:
        return command.INTERRUPTED
    return 0


def print_rows(rows: Rows) -> None:
    """One table: of the games, or of the games and moments."""
    width = terminal_width(sys.stdout)
    one = table.console_table(*next(iter(rows.items())), width) if len(rows) == 1 else None
    console(width).print(one or table.moments_table(rows, width))


def print_written(files: Sequence[Path]) -> None:
    """Which files were written, in a line."""
    print(f"written: {', '.join(map(str, files))}" if files else "no file was written; --output FOLDER keeps them")
