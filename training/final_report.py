"""The report at a run's end: tables for the console, and the scores of every game over the run as a picture."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.table import Table

from configs.schema import Config
from evaluation import story
from evaluation.play import clipped_total
from evaluation.plots import COLOURS, add_legend, bars, line, looks, words
from evaluation.story import Records
from evaluation.table import console_table
from evaluation.timeline import draw_timeline
from tracking.run_directory import RunDirectory
from tracking.tables import text
from tracking.task_log import known_tasks, visits

_TOGETHER = 10  # games whose lines can be told apart in one panel
_SEPARATED = 100  # visits whose borders do not make a panel grey
_COLUMNS = 5  # of panels
_DASHES = ("o-", "s--")  # of this run and the one beside it

Span = tuple[float, float]
"""First frame and length, in millions."""


def write_report(run: RunDirectory, config: Config, width: int | None = None) -> Iterator[str]:
    """Write report/scores.json, scores.png and tasks.png from the run's records, and those of the run that
    `evaluation.reference` names; yields lines for a console of so many columns (None: any number). What cannot be told
    is a line that says why."""
    own, reference = story.read_records(run.path, "this run"), None
    if own.evaluations and config.evaluation.reference:
        try:
            reference = _reference(Path(config.evaluation.reference))
        except Exception as error:
            yield f"nothing to set beside this run: {_reason(error)}"
    told = [own, reference] if reference else [own]
    parts: dict[str, Callable[[], str | None]] = {}
    if own.evaluations:
        final = [row for row in own.evaluations if row["frames"] == own.frames]
        parts["scores.json"] = lambda: _write_scores(run, own, reference, final)
        parts["scores.png"] = lambda: draw(told, run.report / "scores.png")
        parts["the scores"] = lambda: _text(
            console_table(own.frames, _with_own_tasks(run, final, own.frames), width), width
        )
        parts["the story"] = lambda: _text(story.story_table(own, reference, width), width)
    if own.changes:
        end = max(config.frames, own.changes[-1]["frames"])
        parts["tasks.png"] = lambda: draw_timeline(own.changes, end, run.report / "tasks.png")
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


def draw(told: Sequence[Records], path: Path) -> None:
    """Human-normalised score of every game over frames, and which game was being played. Of up to ten games the lines
    of a run share a panel, and a run beside it has its own; of more, every game has a panel, in which its own visits
    are shaded and the lines are the runs."""
    end = told[0].frames
    spans: dict[str, list[Span]] = {row["game"]: [] for row in told[0].evaluations}
    for game, start, stop in visits(told[0].changes, end):
        spans.setdefault(game, []).append((start / 1e6, (stop - start) / 1e6))
    figure = _together(told, spans) if len(spans) <= _TOGETHER else _one_by_one(told, spans)
    figure.axes[0].set_xlim(0, end / 1e6)
    for axis in figure.axes:
        axis.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)


def _together(told: Sequence[Records], spans: dict[str, list[Span]]) -> Figure:
    look = looks(list(spans))
    figure = Figure(figsize=(8, 0.9 + 3.2 * len(told)), layout="constrained")
    ratios = (*[12] * len(told), 1)
    *panels, bar = figure.subplots(len(told) + 1, 1, sharex=True, height_ratios=ratios)
    handles: dict[str, Any] = {}
    for panel, records in zip(panels, told, strict=True):
        for game in spans:
            handles.setdefault(words(game), _draw_scores(panel, records, game, line(look[game])))
        _reference_lines(panel)
        panel.sharey(panels[0])
        if len(told) > 1:
            panel.set_title(words(records.name), loc="left", fontsize=10)
    for game, its in spans.items():
        bars(bar, [(0, *span) for span in its], look[game], height=1)
    bar.set_ylim(-0.5, 0.5)
    starts = [start for its in spans.values() for start, _ in its]
    for axis in [*panels, bar] if len(starts) <= _SEPARATED else []:
        for start in starts:
            axis.axvline(start, color="white" if axis is bar else "lightgrey", linewidth=0.8)
    figure.supylabel("human-normalised score (0 random, 1 human)", fontsize=10)
    bar.set_yticks([])
    bar.set_ylabel("plays", rotation=0, ha="right", va="center")
    bar.set_xlabel("environment frames [millions]")
    add_legend(figure, handles, size=9)
    return figure


def _one_by_one(told: Sequence[Records], spans: dict[str, list[Span]]) -> Figure:
    rows = -(-len(spans) // _COLUMNS)
    figure = Figure(figsize=(11, 0.6 + 1.25 * rows), layout="constrained")
    panels = list(figure.subplots(rows, _COLUMNS, sharex=True, squeeze=False).flat)
    for panel in panels[len(spans) :]:
        panel.remove()
    handles: dict[str, Any] = {}
    for panel, (game, its) in zip(panels, spans.items(), strict=False):
        panel.broken_barh(its, (0, 1), transform=panel.get_xaxis_transform(), color="0.83", linewidth=0)
        for records, colour, dashes in zip(told, COLOURS, _DASHES, strict=False):
            style = {"color": colour, "marker": dashes[0], "linestyle": dashes[1:], "markersize": 2, "linewidth": 1}
            handles.setdefault(words(records.name), _draw_scores(panel, records, game, style))
        _reference_lines(panel)
        panel.set_title(words(game), loc="left", fontsize=8, pad=2)
        panel.tick_params(labelsize=7)
    for panel in panels[: len(spans)][-_COLUMNS:]:  # the lowest of every column
        panel.tick_params(labelbottom=True)
    figure.supylabel("human-normalised score (0 random, 1 human)", fontsize=9)
    figure.supxlabel("environment frames [millions]; grey: the game's own visits", fontsize=9)
    if len(told) > 1:
        add_legend(figure, handles, size=9)
    return figure


def _draw_scores(panel: Axes, records: Records, game: str, style: dict[str, Any]) -> Any:
    rows = [row for row in records.evaluations if row["game"] == game]
    points = sorted((row["frames"] / 1e6, row["human_normalised"]) for row in rows)
    return panel.plot([at for at, _ in points], [score for _, score in points], **style)[0]


def _reference_lines(panel: Axes) -> None:
    for height, style in ((0, ":"), (1, "--")):
        panel.axhline(height, color="grey", linewidth=0.8, linestyle=style)


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
        run.report / "scores.json", {"frames": own.frames, "clipped_total": total, "games": final, "story": told}
    )


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, OSError) else f"{type(error).__name__}: {error}"


def _text(table: Table, width: int | None) -> str:
    return f"\n{text(table, width)}\n"
