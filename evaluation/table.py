"""The table of scores: on the console, as rows of a CSV file, as JSON."""

from __future__ import annotations

from collections.abc import Sequence
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


def report(frames: int, results: Sequence[GameResult]) -> dict[str, Any]:
    """The evaluation as a JSON-able object, single returns included."""
    games = {row.pop("game"): row for row in rows(frames, results)}
    for r in results:
        games[r.game]["returns"] = list(r.returns)
        games[r.game]["lengths"] = list(r.lengths)
    return {"frames": frames, "games": games, "clipped_total": clipped_total([r.human_normalised for r in results])}


def console_table(frames: int, lines: Sequence[dict[str, Any]]) -> Table:
    """The table a person reads, from `rows`."""
    table = Table(title=f"Evaluation at {frames:,} frames")
    for column in ("game", "task", "random", "human", "score", "human-normalised", "episodes", "mean frames"):
        table.add_column(column, justify="left" if column == "game" else "right")
    for row in lines:
        table.add_row(
            row["game"],
            "never met" if row["task"] == "" else str(row["task"]),
            f"{row['random']:,.1f}",
            f"{row['human']:,.1f}",
            f"{row['mean']:,.1f} ± {row['standard_error']:,.1f}",
            f"{row['human_normalised']:.2f}",
            str(row["episodes"]),
            f"{row['mean_length']:,.0f}",
        )
    table.add_section()
    total = clipped_total([row["human_normalised"] for row in lines])
    table.add_row("total, each game clipped at 1", "", "", "", "", f"{total:.2f}", "", "")
    return table
