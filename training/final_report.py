"""The report at a run's end: tables for the console, and the run's pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from rich.table import Table

from configs.schema import Config
from evaluation import story
from evaluation.play import clipped_total
from evaluation.plots import save
from evaluation.story import Records
from evaluation.table import console_table, whole_moments
from tracking.run_directory import RunDirectory
from tracking.tables import text
from tracking.task_log import known_tasks
from training.pictures import pictures


def write_report(run: RunDirectory, config: Config, width: int | None = None) -> Iterator[str]:
    """Write report/scores.json and the pictures scores, heatmap and tasks (PNG and SVG) from the run's records and
    those of the run that `evaluation.reference` names; yields lines for a console of so many columns (None: any
    number). What cannot be told is a line that says why."""
    own, reference = story.read_records(run.path, "this run"), None
    if own.evaluations and config.evaluation.reference:
        try:
            reference = _reference(Path(config.evaluation.reference))
        except Exception as error:
            yield f"nothing to set beside this run: {_reason(error)}"
    parts: dict[str, Callable[[], str | None]] = {}
    if whole_moments(own.evaluations):
        final = [row for row in own.evaluations if row["frames"] == own.end]
        parts["scores.json"] = lambda: _write_scores(run, own, reference, final)
        parts["the scores"] = lambda: _text(console_table(own.end, _with_own_tasks(run, final, own.end), width), width)
        parts["the story"] = lambda: _text(story.story_table(own, reference, width), width)
    for name, draw in pictures(own, reference, config.frames).items():
        parts[f"{name}.png"] = partial(_save, draw, run.report / f"{name}.png")
    if run.confusion.is_file():
        parts["the tasks"] = lambda: _text(story.confusion_table(run.confusion, width), width)
    written = []
    for name, make in parts.items():
        try:
            shown = make()
        except Exception as error:  # the run is complete, whatever its pictures are
            yield f"warning: {name} could not be made: {_reason(error)}"
            continue
        if shown:
            yield shown
        else:
            written.append(str(run.report / name))
    yield f"written: {', '.join(written) or 'nothing, since nothing was evaluated'}"


def _reference(path: Path) -> Records:
    """The records of the run beside this one; raises what is wrong with them."""
    found = story.read_records(path, path.name.replace("_", " ").replace("dqn", "DQN"))
    story.game_summaries(found)
    return found


def _with_own_tasks(run: RunDirectory, rows: list[dict[str, Any]], frames: int) -> list[dict[str, Any]]:
    """The rows, with the task that each game was mostly played in, so that what was never met can be told from what was
    not recognised; as they are if the run's files do not tell."""
    try:
        own = known_tasks(run, frames)
    except (OSError, KeyError, ValueError, TypeError):
        return rows
    return [{**row, "own_task": own.get(row["game"], "")} for row in rows]


def _write_scores(run: RunDirectory, own: Records, reference: Records | None, final: list[dict[str, Any]]) -> None:
    total = clipped_total([row["human_normalised"] for row in final])
    told = story.as_json(own, reference)
    run.write_json(
        run.report / "scores.json", {"frames": own.end, "clipped_total": total, "games": final, "story": told}
    )


def _save(draw: Callable[[], Figure], path: Path) -> None:
    save(draw(), path)


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, OSError) else f"{type(error).__name__}: {error}"


def _text(table: Table, width: int | None) -> str:
    return f"\n{text(table, width)}\n"
