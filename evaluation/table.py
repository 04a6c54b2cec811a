"""The table of scores: on the console, as rows of a CSV file, as JSON."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from envs.games import game
from evaluation.play import GameResult, clipped_total
from tracking.tables import Column, fitted, table

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


def markdown(results: Sequence[GameResult], kept: Mapping[str, float]) -> str:
    """The same for TensorBoard's Text tab, with the kept fraction of the games that were left."""
    lines = [
        f"| {r.game} | {r.mean:,.1f} \u00b1 {r.standard_error:,.1f} | {r.human_normalised:.2f} | "
        f"{f'{kept[r.game]:.0%}' if r.game in kept else '-'} | {'-' if r.task is None else r.task} |"
        for r in results
    ]
    head = ["| game | score | human-normalised | kept | task it was taken for |", "|---|---|---|---|---|"]
    return "\n".join([*head, *lines])


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


def whole_moments(rows: Sequence[Mapping[str, Any]], games: Iterable[str] = ()) -> list[int]:
    """The frames at which every game that these rows or `games` name was evaluated, rising; at others only the game
    just left."""
    found: dict[int, set[str]] = {}
    for row in rows:
        found.setdefault(row["frames"], set()).add(row["game"])
    every = set(games).union(*found.values())
    return sorted(frames for frames, its in found.items() if its == every)


def _number(text: str) -> int | float:
    return int(text) if text.lstrip("-").isdigit() else float(text)


def report(frames: int, lines: Sequence[dict[str, Any]], results: Sequence[GameResult]) -> dict[str, Any]:
    """The evaluation as a JSON-able object: its `rows`, also with more in them, and the single returns."""
    games = {line["game"]: {name: value for name, value in line.items() if name != "game"} for line in lines}
    for r in results:
        games[r.game]["returns"] = list(r.returns)
        games[r.game]["lengths"] = list(r.lengths)
    return {"frames": frames, "games": games, "clipped_total": clipped_total([r.human_normalised for r in results])}


def console_table(frames: int, lines: Sequence[dict[str, Any]], width: int | None = None) -> Table:
    """The table a person reads, from `rows`, in so many columns (None: any number); with one on recognition where they
    tell of it (see `evaluation.recognition.InferredTask`)."""
    counted = any("recognised" in row for row in lines)
    total = clipped_total([row["human_normalised"] for row in lines])
    told = {
        "game": [row["game"] for row in lines],
        "task": [_task(row) for row in lines],
        "recognised": [f"{row['recognised']:.0%}" for row in lines] if counted else [],
        "random": [f"{row['random']:,.1f}" for row in lines],
        "human": [f"{row['human']:,.1f}" for row in lines],
        "score": [score(row["mean"], row["standard_error"], row["episodes"]) for row in lines],
        "human-normalised": [_two_digits(row["human_normalised"]) for row in lines],
        "episodes": [str(row["episodes"]) for row in lines],
        "mean frames": [f"{row['mean_length']:,.0f}" for row in lines],
    }
    last = {"game": "clipped total", "human-normalised": _two_digits(total)}
    columns = [
        Column(name, [*cells, last.get(name, "")], _LEAVES.get(name, 0), left=name == "game")
        for name, cells in told.items()
        if cells
    ]
    caption = _caption(lines) if counted else None
    return table(columns, width, f"Evaluation at {frames:,} frames", caption, total=True)


_LEAVES = {"mean frames": 6, "random": 5, "human": 4, "episodes": 3, "recognised": 2, "task": 1}


def moments_table(moments: Mapping[int, Sequence[dict[str, Any]]], width: int | None = None) -> Table:
    """Human-normalised scores, a line a game and a column a moment, from {frames: its `rows`} of the same games. Where
    not all moments have room, the last, the first and some between them are shown."""
    games = [row["game"] for row in next(iter(moments.values()))]
    columns = [Column("game", [*games, "clipped total"], left=True)]
    leaves = _leaving(len(moments))
    for number, (frames, lines) in enumerate(moments.items()):
        scores = [row["human_normalised"] for row in lines]
        title = f"{frames / 1e6:.4g} M" if max(moments) >= 100_000 else f"{frames:,}"
        columns.append(
            Column(title, [_two_digits(value) for value in (*scores, clipped_total(scores))], leaves[number])
        )
    shown = fitted(columns, width)
    caption = "columns: frames of the run"
    if len(shown) < len(columns):
        caption = f"{caption}; {len(shown) - 1} of {len(moments)} moments, the others are in the files"
    return table(shown, width, "Human-normalised scores", caption, total=True)


def _leaving(count: int) -> list[int]:
    """When each of so many moments leaves: the last never, and those stay longest that halve what is between others."""
    order, gaps = [count - 1, 0], [(0, count - 1)]
    for first, last in gaps:  # which grows
        if last - first > 1:
            order.append((first + last) // 2)
            gaps += [(first, order[-1]), (order[-1], last)]
    ranks = {number: rank for rank, number in enumerate(dict.fromkeys(order))}
    return [ranks[number] for number in range(count)]


def _two_digits(value: float) -> str:
    return f"{round(value, 2) + 0.0:.2f}"  # not -0.00


def score(mean: float, standard_error: float, episodes: int) -> str:
    """A mean with its standard error, which a single episode has not."""
    return f"{mean:,.1f} ± {standard_error:,.1f}" if episodes > 1 else f"{mean:,.1f}"


def _task(row: dict[str, Any]) -> str:
    """The task in which the game was played at the end, and the game's own where that is known and another."""
    played, own = row["task"], row.get("own_task")
    if own == "":
        return "never met" if played == "" else f"{played}, never met"
    if played == "":
        return "not recognised"
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
