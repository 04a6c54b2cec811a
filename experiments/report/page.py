"""The page of a report: HTML that needs nothing but itself, with its figures inside."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape as escape_letters
from pathlib import Path
from typing import Any
from urllib.parse import quote

from experiments.report.agents import Material, differences
from experiments.report.figures import by
from experiments.report.numbers import BOTH_DRAWN, Row
from tracking.files import printable

_CSS = """
:root { color-scheme: light; }
body { margin: 0 auto; max-width: 60rem; padding: 1rem; background: #fff; color: #1a1a1a;
       font: 1rem/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; line-height: 1.25; } h2 { font-size: 1.15rem; margin: 2.2rem 0 .4rem; }
p, figcaption, li { overflow-wrap: anywhere; }
figure { margin: 0; max-width: 46rem; } figure img { display: block; width: 100%; height: auto; }
figcaption, .note { color: #444; font-size: .88rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .88rem; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .6rem; text-align: right; white-space: nowrap; border-bottom: 1px solid #ddd; }
th { border-bottom: 2px solid #888; } th:first-child, td:first-child, .name { text-align: left; }
small { color: #555; }
"""

MEASURES = {
    "total_clipped": "retained, total clipped at 1 per game",
    "retained_iqm": "retained, interquartile mean",
    "learned_iqm": "learned, interquartile mean",
    "single_fraction": "retained fraction, mean over games but the last played",
    "single_fraction_first_minus_this": "the same, the first agent's minus this one's",
    "single_fraction_first_minus_this_welch": "the same, with Student's interval",
    "last_plasticity": "plasticity in the game played last",
    "forgetting": "forgetting, mean over games",
    "plasticity": "plasticity, mean over games",
    "backward_transfer": "backward transfer",
    "forward_transfer": "forward transfer",
    "retained_mean_first_minus_this": "retained, mean over games, the first agent's minus this one's",
    "retained_mean_first_minus_this_welch": "the same, with Student's interval",
}
PER_GAME = {
    "learned": "learned",
    "retained": "retained",
    "forgetting": "forgetting",
    "backward_transfer": "backward transfer",
    "forward_transfer": "forward transfer",
    "plasticity": "plasticity",
    "retained_fraction": "retained fraction",
    BOTH_DRAWN: "the same, single-game runs drawn anew too",
}
DEFINITIONS = """
<ul>
<li>Scores are human-normalised, (score − random) / (human − random), unless they are called raw. Frames are environment
frames over all emulators.</li>
<li><b>Learned</b>: score at the end of the game's own last visit, which is the first evaluation at or after that end.
<b>Retained</b>: mean of the run's last three evaluations, of none from before the game's own last visit began.
<b>Forgetting</b>: learned − retained.</li>
<li><b>Plasticity</b>: learned, and <b>retained fraction</b>: retained, both as a share of what the single-game runs of
that game have learned at their end, after however many frames those had.</li>
<li><b>Backward transfer</b>: score at the last evaluation − learned, of all games but the one played last.
<b>Forward transfer</b>: score at the last evaluation before a game's first visit, of all games but the one
played first; random play is 0 (Lopez-Paz and Ranzato 2017).</li>
<li>The <b>interquartile mean</b> leaves out the lowest and the highest quarter of all games and seeds together
(Agarwal et al. 2021).</li>
<li>Numbers are means over seeds; in brackets is the 95 % percentile interval of a bootstrap that draws whole runs
anew; the mean of the single-game runs is taken as it is unless said otherwise. There is no interval of a single seed.
<b>Of few seeds a bootstrap is too narrow</b>: with three it holds the mean in 75 % of cases, that of a difference
in about 80 %. Student's interval (Welch's, for unequal spreads) does not have that flaw, but takes the runs' numbers
for normal. A dash: there is no such number, because a game was never visited, was not evaluated after its visit, or has
no single-game run that has learned it (0.05 at least).</li>
</ul>
"""


@dataclass(frozen=True)
class Picture:
    """A figure on the page: its files are called `name`.svg, .png and .csv; `svg` is the first one's content."""

    name: str
    svg: bytes
    caption: str


def escape(text: str) -> str:
    """Text from anywhere, files and names of folders included, as HTML that shows it letter by letter."""
    return escape_letters(printable(text))


def page(title: str, sections: Sequence[tuple[str, str]]) -> str:
    """The whole document; every section is a heading (words) and its body (HTML)."""
    body = "\n".join(f"<section>\n<h2>{escape(heading)}</h2>\n{content}\n</section>" for heading, content in sections)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_CSS}</style>\n</head>\n<body>\n<h1>{escape(title)}</h1>\n"
        f"{body}\n</body>\n</html>\n"
    )


def picture(its: Picture) -> str:
    """The figure with its caption and the names of its files."""
    data = base64.b64encode(its.svg).decode()
    return (
        f'<figure>\n<img alt="{escape(its.caption)}" src="data:image/svg+xml;base64,{data}">\n'
        f"<figcaption>{escape(its.caption)} <small>({escape(its.name)}.svg, .png, .csv)</small></figcaption>\n</figure>"
    )


def note(text: str) -> str:
    """A paragraph of plain words."""
    return f'<p class="note">{escape(text)}</p>'


def links(pages: Mapping[str, Path]) -> str:
    """A list of links, {words: where to}; the ways are relative."""
    each = (f'<li><a href="{quote(way.as_posix())}">{escape(words)}</a></li>' for words, way in pages.items())
    return f"<ul>{''.join(each)}</ul>"


def table(head: Sequence[str], lines: Sequence[Sequence[str]], names: int = 1) -> str:
    """A table of words; the first `names` columns are not numbers."""

    def cells(tag: str, words: Sequence[str]) -> str:
        kinds = ['class="name"' if i < names else "" for i in range(len(words))]
        return "".join(f"<{tag} {kind}>{escape(word)}</{tag}>" for kind, word in zip(kinds, words, strict=True))

    rows = "\n".join(f"<tr>{cells('td', line)}</tr>" for line in lines)
    return f'<div class="wide"><table>\n<tr>{cells("th", head)}</tr>\n{rows}\n</table></div>'


def number(value: float, digits: int = 2) -> str:
    """With a true minus sign; a dash where there is none."""
    if math.isnan(value):
        return "–"
    return f"{round(value, digits) + 0.0:,.{digits}f}".replace("-", "−")


def with_interval(row: Mapping[str, Any]) -> str:
    """mean [low, high], or the mean alone."""
    if math.isnan(row["low"]) or math.isnan(row["mean"]):
        return number(row["mean"])
    return f"{number(row['mean'])} [{number(row['low'])}, {number(row['high'])}]"


# -- the tables -----------------------------------------------------------------------------------------------------


def runs_table(material: Material) -> str:
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
            str(len(run.frames)),
            str(run.settings.get("learner.precision", "unknown")),
            run.games[0] if len(run.games) == 1 else f"{len(run.games)} games",
        ]
        for name, run in each
    ]
    return table(("run", "agent", "seed", "state", "frames", "evaluations", "computed in", "plays"), lines, names=2)


def differences_table(material: Material) -> str:
    """The settings in which agents differ; a sentence if there is one agent."""
    if len(material.agents) == 1:
        return note("All runs have the same configuration but for the seed.")
    lines = [[name, *(_short(value) for value in its)] for name, its in differences(material.agents).items()]
    return table(("setting", *(agent.name for agent in material.agents)), lines)


def agents_table(rows: Sequence[Row]) -> str:
    """From the rows of `agent_rows`: a line per measure, a column per agent."""
    agents = by(rows, "agent")
    lines = []
    for measure, words in MEASURES.items():
        found = {row["agent"]: with_interval(row) for row in rows if row["measure"] == measure}
        if any(text != "–" for text in found.values()):
            lines.append([words, *(found.get(name, "") for name in agents)])
    heads = [f"{name} ({_count(its[0]['seeds'], 'seed')})" for name, its in agents.items()]
    return table(("", *heads), lines)


def games_table(rows: Sequence[Row]) -> str:
    """From the rows of `game_rows`: a line per game and agent, a column per measure."""
    shown = [name for name in PER_GAME if any(r["measure"] == name and not math.isnan(r["mean"]) for r in rows)]
    lines = []
    for game, its in by(rows, "game").items():
        for agent, found in by(its, "agent").items():
            values = {row["measure"]: with_interval(row) for row in found}
            lines.append([game, agent, *(values[name] for name in shown)])
    return table(("game", "agent", *(PER_GAME[name] for name in shown)), lines, names=2)


def inference_table(rows: Sequence[Row]) -> str:
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


def confusion_table(rows: Sequence[Row], most: int = 6) -> str:
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


def _short(value: Any) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= 40 else f"{text[:38]}…"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
