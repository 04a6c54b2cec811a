"""The report at a run's end: tables for the console, and the scores of every game over the run as a picture."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from rich.console import Console, RenderableType

from configs.checks import ConfigError
from configs.run import build_schedule
from configs.schema import Config
from envs.schedule import timetable
from evaluation import story
from evaluation.play import clipped_total
from evaluation.story import Records
from evaluation.table import console_table, read_evaluations
from evaluation.tasks import Look, bars, draw_timeline, looks, read_changes
from tracking.run_directory import RunDirectory


def write_report(run: RunDirectory, config: Config) -> Iterator[str]:
    """Write report/scores.json, scores.png and tasks.png from the run's records, and those of the run that
    `evaluation.reference` names; yields lines for the console."""
    draw_timeline(read_changes(run.tasks), config.frames, run.report / "tasks.png")
    own = story.read_records(run.path, "this run")
    if not own.evaluations:
        return
    reference = None
    if config.evaluation.reference:
        path = Path(config.evaluation.reference)
        try:
            reference = story.read_records(path, path.name.replace("_", " ").replace("dqn", "DQN"))
        except OSError as error:
            yield f"nothing to set beside this run: {error}"
    final = [row for row in own.evaluations if row["frames"] == own.frames]
    total = clipped_total([row["human_normalised"] for row in final])
    scores = {"frames": own.frames, "clipped_total": total, "games": final, "story": story.as_json(own, reference)}
    run.write_json(run.report / "scores.json", scores)
    draw([own, reference] if reference else [own], config, run.report / "scores.png")
    yield _text(console_table(own.frames, final))
    yield _text(story.story_table(own, reference))
    yield _text(story.confusion_table(run.confusion))
    yield f"written: {', '.join(str(run.report / name) for name in ('scores.json', 'scores.png', 'tasks.png'))}"


def check_reference(config: Config) -> None:
    """Raise `ConfigError` unless the run that a new one is to be told beside is there and has played its games."""
    named = config.evaluation.reference
    if not named:
        return
    reference = RunDirectory(Path(named))
    for file in (reference.evaluations, reference.tasks):
        if not file.is_file():
            raise ConfigError(f"evaluation.reference: there is no run in {named}, it has no {file.name}")
    games = {row["game"] for row in read_evaluations(reference.evaluations)}
    missing = [game for game in build_schedule(config).games if game not in games]
    if missing:
        lacking = ", ".join(missing)
        raise ConfigError(f"evaluation.reference: the run in {named} was not evaluated in {lacking} (null: none)")


def draw(told: list[Records], config: Config, path: Path) -> None:
    """Human-normalised score of every game over frames, a panel for each run; the bar below shows which game was being
    played."""
    schedule = build_schedule(config)
    look = looks(schedule.games)
    figure, axes = plt.subplots(
        len(told) + 1,
        1,
        figsize=(8, 1.4 + 3.2 * len(told)),
        sharex=True,
        height_ratios=(*[12] * len(told), 1),
        layout="constrained",
    )
    *panels, bar = axes
    for panel, records in zip(panels, told, strict=True):
        _draw_scores(panel, records, look)
        panel.sharey(panels[0])
        if len(told) > 1:
            panel.set_title(records.name, loc="left", fontsize=10)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=5, frameon=False)
    figure.supylabel("human-normalised score (0 random, 1 human)", fontsize=10)
    for _, start, visit in timetable(schedule, config.frames):
        bars(bar, 0, start / 1e6, visit.frames / 1e6, look[visit.game], height=1)
        for axis in axes:
            axis.axvline(start / 1e6, color="white" if axis is bar else "lightgrey", linewidth=0.8)
    bar.set_yticks([])
    bar.set_ylabel("plays", rotation=0, ha="right", va="center")
    bar.set_xlabel("environment frames [millions]")
    bar.set_xlim(0, config.frames / 1e6)
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def _draw_scores(axis: Axes, records: Records, look: dict[str, Look]) -> None:
    styles = dict(zip(dict.fromkeys(hatch for _, hatch in look.values()), ("o-", "s--", "^:"), strict=False))
    for game, (colour, hatch) in look.items():
        rows = [row for row in records.evaluations if row["game"] == game]
        points = sorted((row["frames"] / 1e6, row["human_normalised"]) for row in rows)
        frames, scores = [at for at, _ in points], [score for _, score in points]
        axis.plot(frames, scores, styles[hatch], color=colour, label=game, markersize=4)
    axis.axhline(0, color="grey", linewidth=0.8, linestyle=":")
    axis.axhline(1, color="grey", linewidth=0.8, linestyle="--")


def _text(table: RenderableType) -> str:
    console = Console(width=140)
    with console.capture() as captured:
        console.print(table)
    return "\n" + captured.get()
