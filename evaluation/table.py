"""The table of scores: on the console, as rows of a CSV file, as JSON."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from envs.games import game
from evaluation.play import GameResult, clipped_total

COLUMNS = (
    "frames",
    "game",
    "task",
    "posterior",
    "episodes",
    "mean",
    "standard_error",
    "random",
    "human",
    "human_normalised",
    "mean_length",
)


def rows(frames: int, results: Sequence[GameResult]) -> list[dict[str, Any]]:
    """One row per game under `COLUMNS`; `frames` is the moment of the run [frames], mean_length in frames."""
    return [
        {
            "frames": frames,
            "game": r.game,
            "task": "" if r.task is None else r.task,
            "posterior": r.posterior,
            "episodes": len(r.returns),
            "mean": r.mean,
            "standard_error": r.standard_error,
            "random": game(r.game).random,
            "human": game(r.game).human,
            "human_normalised": r.human_normalised,
            "mean_length": sum(r.lengths) / len(r.lengths),
        }
        for r in results
    ]


def read_evaluations(path: Path) -> list[dict[str, Any]]:
    """The rows of an evaluations.csv with numbers as numbers."""
    with open(path, newline="") as file:
        return evaluations(file.read())


def evaluations(text: str) -> list[dict[str, Any]]:
    """The same from the file's text. ValueError if it has content and is no such table."""
    reader = csv.DictReader(io.StringIO(text, newline=""))
    if text and not {"frames", "game", "mean"} <= {*(reader.fieldnames or ())}:
        raise ValueError("its first line names no columns frames, game and mean")
    return [
        {name: value if name == "game" or value == "" else _number(value) for name, value in row.items()}
        for row in reader
    ]


def _number(text: str) -> int | float:
    return int(text) if text.lstrip("-").isdigit() else float(text)


def report(frames: int, lines: Sequence[dict[str, Any]], results: Sequence[GameResult]) -> dict[str, Any]:
    """The evaluation as a JSON-able object: its `rows`, also with more in them, and the single returns."""
    games = {line["game"]: {name: value for name, value in line.items() if name != "game"} for line in lines}
    for r in results:
        games[r.game]["returns"] = list(r.returns)
        games[r.game]["lengths"] = list(r.lengths)
    return {"frames": frames, "games": games, "clipped_total": clipped_total([r.human_normalised for r in results])}


def console_table(frames: int, lines: Sequence[dict[str, Any]]) -> Table:
    """The table a person reads, from `rows`; with a column on recognition where they tell of it (see
    `evaluation.recognition.Inferred`)."""
    counted = any("recognised" in row for row in lines)
    table = Table(title=f"Evaluation at {frames:,} frames", caption=_caption(lines) if counted else None)
    recognised = ["recognised"] if counted else []
    scores = ("random", "human", "score", "human-normalised", "episodes", "mean frames")
    for column in ("game", "task", *recognised, *scores):
        table.add_column(column, justify="left" if column == "game" else "right", no_wrap=column == "task")
    for row in lines:
        table.add_row(
            row["game"],
            _task(row),
            *([f"{row['recognised']:.0%}"] if counted else []),
            f"{row['random']:,.1f}",
            f"{row['human']:,.1f}",
            f"{row['mean']:,.1f} ± {row['standard_error']:,.1f}",
            f"{row['human_normalised']:.2f}",
            str(row["episodes"]),
            f"{row['mean_length']:,.0f}",
        )
    table.add_section()
    total = clipped_total([row["human_normalised"] for row in lines])
    gap = [""] * (4 + len(recognised))
    table.add_row("total, each game clipped at 1", *gap, f"{total:.2f}", "", "")
    return table


def _task(row: dict[str, Any]) -> str:
    """The task in which the game was played at the end, and the game's own where that is known and another."""
    played, own = row["task"], row.get("own_task")
    if own == "":
        return "never met" if played == "" else f"{played}, never met"
    if played == "":
        return "not recognised at the end"
    return str(played) if own in (None, played) else f"{played}, not {own}"


def _caption(lines: Sequence[dict[str, Any]]) -> str:
    """What the column on recognition says, and which games the run has made one task of."""
    shares: dict[int, list[str]] = {}
    for row in lines:
        if row["own_task"] != "":
            shares.setdefault(row["own_task"], []).append(row["game"])
    merged = [f"; {' and '.join(games)} were one task in the run" for games in shares.values() if len(games) > 1]
    return (
        "recognised: share of decisions in the task that the run gave the game most often; of a game never met, in "
        f"no known task{''.join(merged)}"
    )
