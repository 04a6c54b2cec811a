"""A report on runs of one game, where there is nothing to forget: the score over time, and what it came to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure

from evaluation import retention
from experiments.report import figures
from experiments.report.agents import Material
from experiments.report.numbers import Row, interval, normalised
from experiments.report.page import number, table, with_interval
from experiments.report.tables import count

_CAPTION = (
    "Raw score at every evaluation, a line per run. Dotted: random play; dashed: a human tester. The final score is "
    "the mean of the last three evaluations; human-normalised it is 0 for random and 1 for human play."
)
_INTERVAL = " In brackets is the 95 % interval of a bootstrap over runs, which is too narrow for few seeds."


def caption(material: Material) -> str:
    """Of the figure; of intervals only where there are any."""
    return _CAPTION + (_INTERVAL if any(len(agent.runs) > 1 for agent in material.agents) else "")


def curve_rows(material: Material) -> list[Row]:
    """agent, seed, frames, raw (score of that evaluation)."""
    return [
        {"agent": agent.name, "seed": run.seed, "frames": at, "raw": score}
        for agent in material.agents
        for run in agent.runs
        for at, score in zip(run.frames.tolist(), run.scores[0].tolist(), strict=True)
    ]


def run_rows(material: Material) -> list[Row]:
    """agent, seed, final (raw), final_score (human-normalised), best (raw), best_at (its frame): a row per run."""
    rows = []
    for agent in material.agents:
        for run in agent.runs:
            best = int(np.argmax(run.scores[0]))
            final = [retention.retained(each, run.frames, run.visits)[0] for each in (run.scores, normalised(run))]
            row = {"agent": agent.name, "seed": run.seed, "final": float(final[0]), "final_score": float(final[1])}
            rows.append({**row, "best": float(run.scores[0, best]), "best_at": int(run.frames[best])})
    return rows


def sentences(material: Material) -> list[tuple[str, str]]:
    """(agent, sentence that goes on after its name)."""
    said = []
    for agent, rows in figures.by(run_rows(material), "agent").items():
        final = np.array([row["final_score"] for row in rows])
        low, high = interval(final[:, None], retention.mean_over_seeds)
        normal = with_interval({"mean": float(final.mean()), "low": float(low[0]), "high": float(high[0])})
        raw = number(float(np.mean([row["final"] for row in rows])), 1)
        scale = f"random play {number(float(material.random[0]), 1)}, a human {number(float(material.human[0]), 1)}"
        seeds = count(len(rows), "seed")
        said.append((agent, f"ended at {raw} in {material.games[0]} ({scale}), human-normalised {normal} ({seeds})."))
    return said


def runs_table(rows: Sequence[Row]) -> Markup:
    """From the rows of `run_rows`."""
    heads = ("agent", "seed", "final score, raw", "final score, human-normalised", "best evaluation, raw", "at frame")
    lines = [
        [
            row["agent"],
            str(row["seed"]),
            number(row["final"], 1),
            number(row["final_score"]),
            number(row["best"], 1),
            f"{row['best_at']:,}",
        ]
        for row in rows
    ]
    return table(heads, lines)


def draw_curve(rows: Sequence[Row], random: float, human: float) -> Figure:
    """The raw score over frames, a line per run, coloured by agent."""
    figure = Figure(figsize=(figures.WIDTH, 3.6), layout="constrained")
    axes = figure.subplots()
    scale, unit = figures.frame_unit(max(row["frames"] for row in rows))
    for height, style in ((random, ":"), (human, "--")):
        axes.axhline(height, color="grey", linewidth=0.7, linestyle=style)
    for i, (agent, its) in enumerate(figures.by(rows, "agent").items()):
        for run in figures.by(its, "seed").values():
            x = [row["frames"] / scale for row in run]
            axes.plot(x, [row["raw"] for row in run], **figures.line_style(i, len(x)), label=figures.words(agent))
    axes.set_xlim(left=0)
    axes.set_xlabel(unit)
    axes.set_ylabel("raw score")
    return figures.finished(figure, [axes])
