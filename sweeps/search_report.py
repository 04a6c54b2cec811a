"""What came of a search: the best trial and how to repeat it, all trials, and what mattered.

Written into the search's directory, under report/: search.html, trials.csv, importance.csv, and the
pictures values, slices and curves as .svg, .png and .csv.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from markupsafe import Markup
from matplotlib.figure import Figure

from configs.layers import as_text
from experiments.report import command as report
from experiments.report import page as html
from experiments.report.data import ReportError
from experiments.report.numbers import Row as Line
from sweeps.search_pictures import draw_curves, draw_slices, draw_trials
from sweeps.search_plan import GOALS, Search, trial_name
from sweeps.search_status import Row, rows, short
from sweeps.study import Study, settings_of
from tracking.files import write_text

_IMPORTANCE = (
    "Importance: how much a setting tells the best quarter of the finished trials from all of them (PED-ANOVA, shares "
    "of 1). Below some twenty finished trials it is a hint at best."
)
_NOISE = (
    "A trial is one run with one seed. Of many trials the best one was also lucky: its value promises too much, and "
    "only runs with other seeds tell how much."
)


def write_report(search: Search, study: Study, directory: Path) -> Iterator[str]:
    """Write the report on the trials so far; yields lines for the console. ReportError if none has a value."""
    every = rows(search, study, directory)
    valued = [row for row in every if row.value is not None]
    if not valued:
        raise ReportError(f"no trial in {directory} has been evaluated yet")
    out = directory / "report"
    out.mkdir(exist_ok=True)
    report.write_rows(out / "trials.csv", [_line(row) for row in every])
    shares = study.importances()
    counts = _counts(every)
    sections = [("The best trial", _best(search, study))]
    for heading, name, lines, draw, caption in _pictures(search, valued):
        picture = report.write_picture(out, name, lines, partial(draw, lines, search), caption)
        sections.append((heading, picture))
    if shares:
        report.write_rows(out / "importance.csv", [{"setting": key, "share": value} for key, value in shares.items()])
        table = html.table(("setting", "importance"), [(key, html.number(value)) for key, value in shares.items()])
        sections.append(("What mattered", table + html.note(_IMPORTANCE)))
    sections.append(("All trials", _table(search, every)))
    page = out / "search.html"
    write_text(page, html.page(f"{search.name}: {counts}", sections))
    yield f"{search.name}: {counts}"
    yield from summary(search, study)
    if shares:
        yield "importance: " + ", ".join(f"{key} {value:.2f}" for key, value in shares.items())
    yield f"written: {page}"


def summary(search: Search, study: Study) -> Iterator[str]:
    """The best trial with its settings and the command that repeats it, line by line; nothing before one has
    finished."""
    best = study.best
    if best is None:
        return
    settings = settings_of(best, search)
    yield f"best: {trial_name(best.number)}, {GOALS[search.goal]} {best.value:.3f}"
    for name, value in settings.items():
        yield f"  {name}: {as_text(value)}"
    yield f"to repeat it: {command(search, study)}"


def command(search: Search, study: Study) -> str:
    """What repeats the best trial, to be typed in a shell."""
    best = study.best
    trial = search.trial(best.number, settings_of(best, search))
    return shlex.join(["python", "train.py", *trial.arguments, "--run_dir", f"runs/{search.name}-best"])


def _line(row: Row) -> Line:
    value = "" if row.value is None else row.value
    frames = row.frames[-1] if row.frames else 0
    return {"trial": row.number, "state": row.state, "value": value, "evaluated_at": frames, **row.settings}


def _pictures(
    search: Search, valued: Sequence[Row]
) -> Iterator[tuple[str, str, list[Line], Callable[[Sequence[Line], Search], Figure], str]]:
    """(heading, name, rows, how it is drawn, caption) of each."""
    points = [{**_line(row), "state": _kind(row)} for row in valued]
    pruned = "A pruned trial has the value at which it was stopped."
    yield "Value over trials", "values", points, draw_trials, f"Every trial's value, and the best so far. {pruned}"
    yield "Value over each setting", "slices", points, draw_slices, f"Every trial's value over what was tried. {pruned}"
    lines = [
        {"trial": row.number, "state": _kind(row), "frames": frames, "value": value, "last": row.values[-1]}
        for row in valued
        for frames, value in zip(row.frames, row.values, strict=True)
    ]
    if lines:
        caption = "Every trial's evaluations, until it ended or was stopped; the best one's line is thicker."
        yield "Value over frames", "curves", lines, draw_curves, caption


def _kind(row: Row) -> str:
    return row.state if row.state in ("finished", "pruned") else "going on"


def _best(search: Search, study: Study) -> Markup:
    best = study.best
    if best is None:
        return html.note("No trial has finished yet.")
    lines = [(name, as_text(value)) for name, value in settings_of(best, search).items()]
    said = f"{trial_name(best.number)}: {GOALS[search.goal]} {html.number(best.value, 3)}. To repeat it:"
    shell = Markup("<pre>{}</pre>").format(command(search, study))
    return html.table(("setting", "value"), lines) + html.note(said) + shell + html.note(_NOISE)


def _table(search: Search, every: Sequence[Row]) -> Markup:
    names = [name.rsplit(".", 1)[-1] for name in search.ranges]
    lines = []
    for row in sorted(every, key=lambda row: (row.value is None, row.state != "finished", -(row.value or 0.0))):
        value = "–" if row.value is None else html.number(row.value, 3)
        settings = [short(row.settings[name]) for name in search.ranges]
        frames = f"{row.frames[-1]:,}" if row.frames else "–"
        lines.append([row.name, row.state, value, frames, *settings])
    return html.table(("trial", "state", "value", "evaluated at [frames]", *names), lines, names=2)


def _counts(every: Sequence[Row]) -> str:
    states = [row.state for row in every]
    kinds = ("finished", "pruned", "failed", "running", "stopping", "waiting")
    return f"{len(every)} trials, " + ", ".join(f"{states.count(kind)} {kind}" for kind in kinds if kind in states)
