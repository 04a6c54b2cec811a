"""The tables of a report, from the rows that its CSV files hold (see `experiments.report.numbers`), as HTML."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from experiments.report.agents import Material, differences
from experiments.report.data import Run
from experiments.report.figures import by
from experiments.report.numbers import BOTH_DRAWN, Row
from experiments.report.page import note, number, table, with_interval

MEASURES = {
    "retained": "retained, mean over games but the last played",
    "retained_first_minus_this": "the same, the first agent's minus this one's",
    "retained_first_minus_this_welch": "the same, with Student's interval",
    "learned_last": "learned, of the game played last",
    "learned": "learned, mean over games",
    "learned_first": "learned at the end of the first visit, mean over games",
    "final_score_mean": "final score, mean over games, not clipped",
    "total_clipped": "final score, total clipped at 1 per game",
    "final_score_iqm": "final score, interquartile mean",
    "score_after_visit_iqm": "score after the last visit, interquartile mean",
    "forgetting": "forgetting, mean over games",
    "backward_transfer": "backward transfer",
    "forward_transfer": "forward transfer",
    "final_score_mean_first_minus_this": "final score, mean over games, the first agent's minus this one's",
    "final_score_mean_first_minus_this_welch": "the same, with Student's interval",
}
PER_GAME = {
    "retained": "retained",
    "learned": "learned",
    "learned_first": "learned first",
    "final_score": "final score",
    "score_after_visit": "score after its last visit",
    "forgetting": "forgetting",
    "backward_transfer": "backward transfer",
    "forward_transfer": "forward transfer",
    BOTH_DRAWN: "retained, not clipped, single-game runs drawn anew too",
}


def runs_table(material: Material) -> Markup:
    """Every run and how it stands."""
    each = [(agent.name, run) for agent in material.agents for run in agent.runs]
    each += [("single game", run) for runs in material.single.values() for run in runs]
    lines = [
        [
            run.path.name,
            name,
            str(run.seed),
            run.status.get("state", "unknown"),
            f"{run.end:,} of {run.status.get('total_frames', run.settings.get('frames', run.end)):,}",
            _evaluations(run),
            str(run.settings.get("learner.precision", "unknown")),
            run.games[0] if len(run.games) == 1 else f"{len(run.games)} games",
        ]
        for name, run in each
    ]
    return table(("run", "agent", "seed", "state", "frames", "evaluations", "computed in", "plays"), lines, names=2)


def differences_table(material: Material) -> Markup:
    """The settings in which agents differ; a sentence if there is one agent."""
    if len(material.agents) == 1:
        return note("All runs have the same configuration but for the seed.")
    lines = [[name, *(_short(value) for value in its)] for name, its in differences(material.agents).items()]
    return table(("setting", *(agent.name for agent in material.agents)), lines)


def agents_table(rows: Sequence[Row]) -> Markup:
    """From the rows of `agent_rows`: a line per measure, a column per agent."""
    agents = by(rows, "agent")
    lines = []
    for measure, words in MEASURES.items():
        found = {row["agent"]: with_interval(row) for row in rows if row["measure"] == measure}
        if any(text != "–" for text in found.values()):
            lines.append([words, *(found.get(name, "") for name in agents)])
    heads = [f"{name} ({count(its[0]['seeds'], 'seed')})" for name, its in agents.items()]
    return table(("", *heads), lines)


def games_table(rows: Sequence[Row]) -> Markup:
    """From the rows of `game_rows`: a line per game and agent, a column per measure."""
    shown = [name for name in PER_GAME if any(r["measure"] == name and not math.isnan(r["mean"]) for r in rows)]
    lines = []
    for game, its in by(rows, "game").items():
        for agent, found in by(its, "agent").items():
            values = {row["measure"]: with_interval(row) for row in found}
            lines.append([game, agent, *(values[name] for name in shown)])
    return table(("game", "agent", *(PER_GAME[name] for name in shown)), lines, names=2)


def inference_table(rows: Sequence[Row]) -> Markup:
    """From the rows of `inference_rows`."""
    heads = ("agent", "seed", "tasks", "purity", "coverage", "delay, median", "delay, worst", "false switches")
    lines = [
        [
            row["agent"],
            str(row["seed"]),
            number(row["tasks"], 0),
            *(number(row[name], 4) for name in ("purity", "coverage")),
            *(number(row[name], 1) for name in ("delay_median", "delay_max", "false_switches")),
        ]
        for row in rows
    ]
    return table(heads, lines)


def confusion_table(rows: Sequence[Row], most: int = 6) -> Markup:
    """From the rows of `confusion_rows`: of every game the tasks that it was taken for, the commonest first."""
    lines = []
    for agent, seeds in by(rows, "agent").items():
        for seed, games in by(seeds, "seed").items():
            for game, its in by(games, "game").items():
                ordered = sorted(its, key=lambda row: -row["steps"])
                words = [f"{row['task']}: {row['steps']:,}" for row in ordered[:most]]
                if len(ordered) > most:
                    words.append(f"{len(ordered) - most} more: {sum(row['steps'] for row in ordered[most:]):,}")
                lines.append([agent, str(seed), game, "; ".join(words)])
    return table(("agent", "seed", "game", "task: vector steps"), lines, names=4)


def _evaluations(run: Run) -> str:
    """How many there were of every game and, in words, of one."""
    whole = int(run.whole.sum())
    return f"{whole} (+ {len(run.frames) - whole} of one game)" if whole < len(run.frames) else str(whole)


def _short(value: Any) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= 40 else f"{text[:38]}…"


def count(number: int, noun: str) -> str:
    """The number and its noun, such as "2 seeds"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
