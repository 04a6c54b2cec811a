"""What came of a sweep: the agents over all sets of games and seeds, and a page for every set.

An agent here is what a sweep varies besides games and seeds: an agent of configs/agents at a point of the grid.
A run's score in a game is its human-normalised score, averaged over the run's last three evaluations; a game in each
set that it is played in is a task of its own. Written into the sweep's directory, under report/: sweep.html,
summary.csv, profile.svg, .png and .csv, and SET/report.html for every set (see `experiments.report`).

Axes: S seeds, T tasks, K thresholds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure

from configs.build import numpy_generator
from evaluation import aggregates, retention
from evaluation.plots import words
from experiments.report import command as report
from experiments.report import figures
from experiments.report import page as html
from experiments.report.agents import read_material
from experiments.report.data import ReportError, Run, read_run
from experiments.report.numbers import Row, normalised
from sweeps.node import place
from sweeps.plan import Sweep, Trial, sets_of, trials
from tracking.files import file_name, write_text

_RESAMPLES = 2000
_THRESHOLDS = 101
NAN = float("nan")


def write_report(sweep: Sweep, directory: Path) -> Iterator[str]:
    """Write the report on the runs that are finished; yields lines for the console. ReportError if there is none."""
    every = trials(sweep)
    done = [trial for trial in every if place(directory, trial.name).run.finished]
    for trial in list(done):
        status, frames = place(directory, trial.name).run.read_status() or {}, trial.config().frames
        if status.get("total_frames") != frames:  # it was resumed by hand with other --frames
            done.remove(trial)
            yield f"left out: {trial.name} ended after {status.get('total_frames'):,} frames, not after {frames:,}"
    runs: dict[str, Run] = {}
    for trial in list(done):
        try:
            runs[trial.name] = read_run(place(directory, trial.name).run.path)
        except ReportError as error:
            done.remove(trial)
            yield f"left out: {error}"
    if not done:
        raise ReportError(f"no run in {directory} is finished yet, and whole")
    out = directory / "report"
    out.mkdir(exist_ok=True)
    tables = score_tables(sweep, done, runs)
    rows = summary_rows(tables, agent_name(every[0]))
    missing = _missing(every, done)
    report.write_rows(out / "summary.csv", rows)
    profile = profile_rows(tables)
    picture = report.write_picture(out, "profile", profile, lambda: draw_profile(profile), _CAPTION)
    sections = [
        ("In single numbers", _summary(rows) + html.note(" ".join([_WORDS, *missing]))),
        ("Performance profiles", picture),
    ]
    pages = []
    for name in sets_of(sweep):
        several = [runs[trial.name].path for trial in done if trial.games == name]
        if several and len(runs[next(t.name for t in done if t.games == name)].games) > 1:
            try:
                material = read_material(several, [])
                pages.append(report.write_report(material, out / file_name(name or "games"), name or sweep.name))
            except ReportError as error:  # such as a grid over what makes no other agent
                yield f"no page on {name or 'the games'}: {error}"
    if pages:
        sections.append(("Every set of games", html.links({page.parent.name: page.relative_to(out) for page in pages})))
    page = out / "sweep.html"
    write_text(page, html.page(f"{sweep.name}: {len(done)} of {len(every)} runs", sections))
    for row in rows:
        if row["measure"] in ("total", "iqm"):
            yield f"{row['agent']}: {MEASURES[row['measure']]} {html.with_interval(row)}"
    yield from missing
    yield f"written: {page}"


# -- numbers --------------------------------------------------------------------------------------------------------

MEASURES = {
    "total": "total clipped human-normalised score, mean over sets",
    "iqm": "interquartile mean of human-normalised scores",
    "improvement": "probability of improvement over the first agent",
}


def _missing(every: Sequence[Trial], done: Sequence[Trial]) -> list[str]:
    """A sentence if the agents have not finished the same games and seeds."""
    played = {agent: {(t.games, t.seed) for t in done if agent_name(t) == agent} for agent in map(agent_name, every)}
    if len({frozenset(those) for those in played.values()}) == 1:
        return []
    counts = ", ".join(f"{agent} {len(those)}" for agent, those in played.items())
    return [
        f"Not every agent has the same runs yet, of {len(every) // len(played)} each ({counts}): their totals and "
        "interquartile means are of different games or seeds."
    ]


def agent_name(trial: Trial) -> str:
    """Of the agent at its point of the grid."""
    return ", ".join([trial.agent, *(f"{key.rsplit('.', 1)[-1]} {value}" for key, value in trial.point)])


def score_tables(sweep: Sweep, done: Sequence[Trial], runs: dict[str, Run]) -> dict[str, dict[str, np.ndarray]]:
    """{agent: {set of games: scores [S, T]}}; a seed whose run is not there is a row of NaN. What a set is called also
    names its games: a grid may be over them."""
    found: dict[str, dict[str, np.ndarray]] = {}
    for trial in done:
        run = runs[trial.name]
        scores = dict(zip(run.games, retention.retained(normalised(run), run.frames, run.visits), strict=True))
        sets = found.setdefault(agent_name(trial), {})
        table = sets.setdefault(f"{trial.games} {sorted(scores)}", np.full((len(sweep.seeds), len(scores)), NAN))
        table[sweep.seeds.index(trial.seed)] = [scores[game] for game in sorted(scores)]
    return found


def summary_rows(tables: dict[str, dict[str, np.ndarray]], first_agent: str) -> list[Row]:
    """agent, seeds, measure, mean, low, high. Improvement is over `first_agent`, in the sets that it has played."""
    rows: list[Row] = []
    first = tables.get(first_agent, {})
    for agent, sets in tables.items():
        every, strata = _pooled(sets)
        totals = np.stack([retention.total_clipped(scores.T) for scores in sets.values()], axis=1)  # [S, sets]
        shared = [name for name in sets if name in first]
        numbers = {
            "total": (float(retention.grand_mean(totals)), *_interval(totals, retention.grand_mean, range(len(sets)))),
            "iqm": (retention.iqm(every), *_interval(every, retention.whole_iqm, strata)),
        }
        if sets is not first and shared:
            (mine, common), (its, _) = (_pooled({name: each[name] for name in shared}) for each in (sets, first))
            generator = numpy_generator(0, "sweep")
            bounds = aggregates.improvement_interval(mine, its, generator, _RESAMPLES, strata=common)
            numbers["improvement"] = (aggregates.probability_of_improvement(mine, its), *bounds)
        seeds = int((~np.isnan(every)).any(1).sum())
        for measure, (mean, low, high) in numbers.items():
            rows.append({"agent": agent, "seeds": seeds, "measure": measure, "mean": mean, "low": low, "high": high})
    return rows


def profile_rows(tables: dict[str, dict[str, np.ndarray]]) -> list[Row]:
    """agent, threshold, share, low, high."""
    pooled = {agent: _pooled(sets) for agent, sets in tables.items()}
    least, most = (float(f([f(scores) for scores, _ in pooled.values()])) for f in (np.nanmin, np.nanmax))
    thresholds = np.linspace(min(0.0, least), max(1.0, most), _THRESHOLDS)
    rows: list[Row] = []
    for agent, (scores, strata) in pooled.items():
        shares = aggregates.performance_profile(scores, thresholds)
        generator = numpy_generator(0, "sweep")
        low, high = aggregates.profile_interval(scores, thresholds, generator, _RESAMPLES, strata=strata)
        for numbers in zip(thresholds.tolist(), shares.tolist(), low.tolist(), high.tolist(), strict=True):
            rows.append({"agent": agent, **dict(zip(("threshold", "share", "low", "high"), numbers, strict=True))})
    return rows


def _pooled(sets: dict[str, np.ndarray]) -> tuple[np.ndarray, list[int]]:
    """The scores [S, T] of all sets beside each other, and the number of every task's set, whose runs it is of."""
    return np.hstack([*sets.values()]), [i for i, scores in enumerate(sets.values()) for _ in range(scores.shape[1])]


def _interval(values: np.ndarray, statistic: retention.Statistic, strata: Sequence[int]) -> tuple[float, float]:
    generator = numpy_generator(0, "sweep")
    low, high = retention.stratified_bootstrap(values, statistic, generator, _RESAMPLES, strata=strata)
    return float(low), float(high)


# -- the page -------------------------------------------------------------------------------------------------------

_CAPTION = (
    "The share of runs whose human-normalised score in a game is above a threshold, mean over games; the band is the "
    "95 % interval, runs resampled within every set of games."
)
_WORDS = (
    "In brackets 95 % intervals, runs resampled within every set of games (stratified, Agarwal et al. 2021); a single "
    "seed has none. A run's score in a game is the mean of its last three evaluations, or of fewer if the game's last "
    "visit began later. The total is the paper's, of these: clipped at 1 and summed over the games of a set."
)


def _summary(rows: Sequence[Row]) -> Markup:
    agents = figures.by(rows, "agent")
    lines = [
        [agent, str(its[0]["seeds"]), *(_of(its, measure) for measure in MEASURES)] for agent, its in agents.items()
    ]
    return html.table(("agent", "seeds", *MEASURES.values()), lines)


def _of(rows: Sequence[Row], measure: str) -> str:
    return next((html.with_interval(row) for row in rows if row["measure"] == measure), "–")


def draw_profile(rows: Sequence[Row]) -> Figure:
    """A line per agent with its band."""
    figure = Figure(figsize=(figures.WIDTH, 3.6), layout="constrained")
    axes = figure.subplots()
    for i, (agent, its) in enumerate(figures.by(rows, "agent").items()):
        style = figures.line_style(i, len(its))
        x = [row["threshold"] for row in its]
        axes.plot(x, [row["share"] for row in its], **style, label=words(agent))
        axes.fill_between(
            x, [row["low"] for row in its], [row["high"] for row in its], color=style["color"], alpha=0.2, lw=0
        )
    axes.set_xlabel("human-normalised score")
    axes.set_ylabel("share of runs above it")
    axes.set_ylim(-0.02, 1.02)
    return figures.finished(figure, [axes])
