"""The report at a run's end: the last table, and the scores of every game over the run as a picture."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from rich.console import Console

from configs.run import build_schedule
from configs.schema import Config
from envs.schedule import timetable
from evaluation.play import clipped_total
from evaluation.table import console_table
from evaluation.tasks import COLOURS, draw_timeline, read_changes
from tracking.run_directory import RunDirectory


def write_report(run: RunDirectory, config: Config) -> Iterator[str]:
    """Write report/scores.json and report/scores.png from evaluations.csv, report/tasks.png from tasks.csv; yields
    lines for the console."""
    draw_timeline(read_changes(run.tasks), config.frames, run.report / "tasks.png")
    rows = read_evaluations(run.evaluations)
    if not rows:
        return
    last = max(row["frames"] for row in rows)
    final = [row for row in rows if row["frames"] == last]
    total = clipped_total([row["human_normalised"] for row in final])
    run.write_json(run.report / "scores.json", {"frames": last, "clipped_total": total, "games": final})
    draw(rows, config, run.report / "scores.png")
    yield _table_text(last, final)
    yield f"written: {', '.join(str(run.report / name) for name in ('scores.json', 'scores.png', 'tasks.png'))}"


def read_evaluations(path: Path) -> list[dict[str, Any]]:
    """The rows of an evaluations.csv with numbers as numbers."""
    with open(path, newline="") as file:
        return [
            {name: value if name == "game" or value == "" else _number(value) for name, value in row.items()}
            for row in csv.DictReader(file)
        ]


def _number(text: str) -> int | float:
    return int(text) if text.lstrip("-").isdigit() else float(text)


def draw(rows: list[dict[str, Any]], config: Config, path: Path) -> None:
    """Human-normalised score of every game over frames; the bar below shows which game was being played."""
    schedule = build_schedule(config)
    colours = {game: COLOURS[i % len(COLOURS)] for i, game in enumerate(schedule.games)}
    figure, (top, bar) = plt.subplots(2, 1, figsize=(8, 4.6), sharex=True, height_ratios=(12, 1), layout="constrained")
    for game, colour in colours.items():
        points = sorted((r["frames"] / 1e6, r["human_normalised"]) for r in rows if r["game"] == game)
        top.plot(*zip(*points, strict=True), "o-", color=colour, label=game, markersize=4)
    top.axhline(0, color="grey", linewidth=0.8, linestyle=":")
    top.axhline(1, color="grey", linewidth=0.8, linestyle="--")
    top.set_ylabel("human-normalised score\n(0 random, 1 human)")
    figure.legend(loc="outside upper center", ncols=5, frameon=False)
    for _, start, visit in timetable(schedule, config.frames):
        bar.barh(0, visit.frames / 1e6, left=start / 1e6, color=colours[visit.game], height=1)
        for axis in (top, bar):
            axis.axvline(start / 1e6, color="white" if axis is bar else "lightgrey", linewidth=0.8)
    bar.set_yticks([])
    bar.set_ylabel("plays", rotation=0, ha="right", va="center")
    bar.set_xlabel("environment frames [millions]")
    bar.set_xlim(0, config.frames / 1e6)
    for axis in (top, bar):
        axis.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def _table_text(frames: int, final: list[dict[str, Any]]) -> str:
    console = Console(width=110)
    with console.capture() as captured:
        console.print(console_table(frames, final))
    return "\n" + captured.get()
