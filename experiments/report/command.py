"""One page about many runs: figures 3 and 4 of the paper, and what was learned, kept and confused.

    python -m experiments.report runs/ewc-1 runs/ewc-2 runs/none-1 [--single runs/krull-1 runs/boxing-1] [--out DIR]
        [--perturbation runs/perturbation_krull]

Runs of the same configuration but for the seed are one agent, named after the directory of its first run without the
trailing seed (`ewc-1` → `ewc`). Runs of a single game, wherever they are named, are what the others are measured by.
Runs may be under way; everything comes from the files in their directories, and nothing there is written.

Writes report.html, which needs no other file, and every figure as .svg, .png and .csv, the tables as .csv too. The
same runs give the same words and numbers, but for the day, the commit and the command below the title.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import shlex
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib
from markupsafe import Markup
from matplotlib.figure import Figure

from evaluation import retention
from evaluation.plots import DPI
from experiments.perturbation import report as perturbation_report
from experiments.report import figures, logs, numbers, single_game, tables, verdict
from experiments.report import page as html
from experiments.report.agents import Material, read_material, yardsticks
from experiments.report.data import ReportError
from experiments.report.numbers import Row
from tracking import command
from tracking.files import file_name, write_text
from tracking.run_directory import BAD_INPUT
from tracking.shortage import shortage
from tracking.versions import program

_SVG: Any = {"svg.hashsalt": "report", "svg.fonttype": "path"}
_NOTHING_SAID = {"Creator": None, "Date": None, "Format": None, "Type": None}  # no clock and no version in the file


def write_report(
    material: Material, out: Path, title: str | None, audits: Sequence[Path] = (), made: html.Made | None = None
) -> Path:
    """Write the page and its files into `out`; returns the page's path. `audits`: what `experiments.perturbation` has
    written, its folders; `title`: None for that of the material; `made`: what the page says of its origin."""
    read = [_audit(folder) for folder in audits]
    out.mkdir(parents=True, exist_ok=True)
    path = out / "report.html"
    if len(material.games) == 1:
        opening, sections = _opening_of_one(material, out), list(_sections_of_one(material, out, read))
    else:
        opening, sections = _opening(material, out), list(_sections(material, out, read))
    write_text(path, html.page(title or _title(material), sections, opening, made))
    return path


def _opening(material: Material, out: Path) -> Markup:
    """The verdict, what makes it doubtful, and the main figure."""
    rows = numbers.agent_rows(material)
    said = html.verdict(verdict.sentences(rows, len(material.games)))
    notes = [words(material) for words in (_unequal, _mixed_types, _mixed_yardsticks, _unused)]
    rows = numbers.total_rows(material)
    caption = f"Figure 3B. Total clipped human-normalised score, {_seeds_shown(rows)}."
    if any(row["agent"] in numbers.PAPER for row in rows):
        caption += (
            " The paper's curves, read off its figure, are means over ten sets of ten games and four seeds; where "
            "they go on much longer, frames are on a logarithmic axis."
        )
    draw = partial(figures.draw_totals, rows, len(material.games))
    return Markup("\n").join([said, *notes, write_picture(out, "figure_3b", rows, draw, caption)])


def _mean_of_seeds(material: Material) -> str:
    """What a curve with a band is of."""
    several = any(len(agent.runs) > 1 for agent in material.agents)
    return "mean over seeds, and their range as a band" if several else "one seed"


def _seeds_shown(rows: Sequence[Row]) -> str:
    """What a curve of these rows is of so many seeds, which has an interval of several only."""
    counts = {row["agent"]: row["seeds"] for row in rows if row["agent"] not in (numbers.SINGLE, *numbers.PAPER)}
    alone = [name for name, seeds in counts.items() if seeds == 1]
    if len(alone) == len(counts):
        return "of one seed each, which tells no interval" if len(alone) > 1 else "of one seed, which tells no interval"
    said = "mean over seeds, and its 95 % interval as a band"
    return f"{said} ({', '.join(alone)}: one seed, no interval)" if alone else said


def _sections(material: Material, out: Path, audits: Sequence[_Audit]) -> Iterator[tuple[str, Markup]]:
    """(heading, HTML) of every section, after its files are written."""
    games = material.games
    rows = numbers.agent_rows(material)
    write_rows(out / "agents.csv", rows)
    yield "In single numbers", tables.agents_table(rows)

    rows = numbers.game_rows(material)
    write_rows(out / "games.csv", rows)
    yield "Learned and retained, game by game", _fractions(material) + tables.games_table(rows)

    schedule, rows = numbers.schedule_rows(material), numbers.score_rows(material)
    write_rows(out / "figure_3a_schedule.csv", schedule)
    draw = partial(figures.draw_scores, schedule, rows, games)
    yield "Game by game over time", write_picture(out, "figure_3a", rows, draw, _schedule_caption(material))

    times: Counter[str] = Counter()
    for audit in audits:
        yield _perturbations(audit, out, times)

    rows = numbers.own_play_rows(material)
    caption = (
        "Figure 4. Raw score over the frames of the game itself at the first evaluation after so much play: "
        f"{_mean_of_seeds(material)}, or a line per run where the runs played unequally much; the tail at each point "
        "leads to the last evaluation before the game was played again or the run ended. "
        "Dotted: random play; dashed: a human tester."
    )
    if rows:
        draw = partial(figures.draw_own_play, rows, games, material.random.tolist(), material.human.tolist())
        yield "Beside single-game runs", write_picture(out, "figure_4", rows, draw, caption)
    else:
        yield "Beside single-game runs", html.note("No game was evaluated after it had been played.")

    yield "Which game is this?", _inference(material, out)
    yield from _logged(material, out)
    yield "What differs between the agents", tables.differences_table(material)
    yield "The runs", tables.runs_table(material)
    yield "What the numbers mean", html.definitions()


def _opening_of_one(material: Material, out: Path) -> Markup:
    """Verdict and score over time of runs of a single game."""
    rows = single_game.curve_rows(material)
    draw = partial(single_game.draw_curve, rows, float(material.random[0]), float(material.human[0]))
    said = html.verdict(single_game.sentences(material))
    picture = write_picture(out, "score", rows, draw, single_game.caption(material))
    return Markup("\n").join([said, _unequal(material), _mixed_types(material), picture])


def _sections_of_one(material: Material, out: Path, audits: Sequence[_Audit]) -> Iterator[tuple[str, Markup]]:
    """(heading, HTML) of every section on runs of a single game."""
    rows = single_game.run_rows(material)
    write_rows(out / "runs.csv", rows)
    yield "In single numbers", single_game.runs_table(rows)
    times: Counter[str] = Counter()
    for audit in audits:
        yield _perturbations(audit, out, times)
    rows = logs.metric_rows(material, list(figures.LEARNING))
    if rows:
        draw = partial(figures.draw_metrics, rows, figures.LEARNING, [agent.name for agent in material.agents])
        caption = f"Learning over frames: {_mean_of_seeds(material)}."
        yield "Learning", write_picture(out, "learning", rows, draw, caption)
    if len(material.agents) > 1:
        yield "What differs between the agents", tables.differences_table(material)
    yield "The runs", tables.runs_table(material)


@dataclass(frozen=True)
class _Audit:
    """What `experiments.perturbation` wrote into a folder."""

    name: str
    game: str
    rows: list[dict[str, Any]]
    figure: Figure


def _audit(audit: Path) -> _Audit:
    """That of this folder; ReportError if it is none."""
    try:
        result = json.loads((audit / "perturbation.json").read_text())
        rows, game = perturbation_report.plain(result["points"]), str(result["game"])
        if not rows:
            raise ValueError("it has no points")
        figure = perturbation_report.figure(rows, perturbation_report.title(result))
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise ReportError(f"--perturbation {audit}: experiments.perturbation did not write this ({error})") from None
    return _Audit(audit.name, game, rows, figure)


def _perturbations(audit: _Audit, out: Path, times: Counter[str]) -> tuple[str, Markup]:
    """Heading and figure 3C of one audit; `times`: how many of each game there were before, for the names of files."""
    rows, game, figure = audit.rows, audit.game, audit.figure
    caption = (
        f"Figure 3C in {game} ({audit.name}). Noise on the shared weights, drawn anew at every step: alike on all of "
        "them, shaped by the inverse of their Fisher information, and only where there is next to none; its 95 % "
        "intervals are over episodes."
    )
    name = file_name(game)
    times[name] += 1
    name = name if times[name] == 1 else f"{name}_{times[name]}"
    return f"Noise on the weights: {game}", write_picture(out, f"figure_3c_{name}", rows, lambda: figure, caption)


def _logged(material: Material, out: Path) -> Iterator[tuple[str, Markup]]:
    agents = [agent.name for agent in material.agents]
    over = f"over frames: {_mean_of_seeds(material)}."
    for heading, name, metrics, caption, nothing in (
        (
            "What consolidation does to learning",
            "consolidation",
            figures.CONSOLIDATION,
            f"Consolidation {over} Stiffness is strength × precision, at a loss summed over a "
            "minibatch; where the share that is cancelled nears 1, the game on screen cannot be learned any further.",
            "Nothing is consolidated, or nothing was learned yet.",
        ),
        ("Learning", "learning", figures.LEARNING, f"Learning {over}", "Nothing was learned yet."),
    ):
        rows = logs.metric_rows(material, list(metrics))
        if rows:
            draw = partial(figures.draw_metrics, rows, metrics, agents)
            yield heading, write_picture(out, name, rows, draw, caption)
        else:
            yield heading, html.note(nothing)
    rows = logs.overlap_rows(material)
    caption = (
        "Overlap of the Fisher information of a game that was left (down) with that of every other game that had been "
        "left (across), by layer: 1, the same weights matter; 0, none matters to both. Mean over departures and seeds."
    )
    if rows:
        for agent in material.agents:
            logged = max((row["seeds"] for row in rows if row["agent"] == agent.name), default=len(agent.runs))
            if logged < len(agent.runs):
                caption += f" {agent.name}: of {logged} of {len(agent.runs)} seeds, the others did not log it by game."
        draw = partial(figures.draw_overlaps, rows, material.games)
        yield "Fisher overlap between games", write_picture(out, "fisher_overlap", rows, draw, caption)
    else:
        yield "Fisher overlap between games", html.note("No game was left while another one's anchor was held.")


def _inference(material: Material, out: Path) -> Markup:
    rows, confusion = logs.inference_rows(material), logs.confusion_rows(material)
    if not rows:
        return html.note("No agent had to find out: all were told, or took everything for one task.")
    write_rows(out / "inference.csv", rows)
    units = (
        "Delays in vector steps from a change of games to the first step in a right task; false switches per million "
    )
    parts = [tables.inference_table(rows), html.note(units + "frames.")]
    if confusion:
        write_rows(out / "confusion.csv", confusion)
        parts.append(tables.confusion_table(confusion))
    return Markup("\n").join(parts)


def _schedule_caption(material: Material) -> str:
    shown = numbers.shown_runs(material)
    counts = "; ".join(f"{name}: {', '.join(str(run.seed) for run in runs)}" for name, runs in shown.items())
    caption = (
        "Figure 3A. Above, which game was played when; below, the human-normalised score of every game (0, dotted: "
        "random play; 1, dashed: a human tester), its own visits shaded; mean over the seeds that had this schedule "
        f"({counts}) and their range as a band."
    )
    missing = [agent.name for agent in material.agents if agent.name not in shown]
    return caption + (f" No run of {', '.join(missing)} had it." if missing else "")


def _unequal(material: Material) -> Markup:
    if len({run.end for agent in material.agents for run in agent.runs}) == 1:
        return Markup()
    return html.note(
        "These runs do not stand at the same frame: the tables take each as far as it has come, which compares unequal "
        "things; curves of an agent go as far as all of its seeds do."
    )


def _mixed_types(material: Material) -> Markup:
    its = [*(agent.runs for agent in material.agents), *material.single.values()]
    if len({run.settings.get("learner.precision") for runs in its for run in runs}) == 1:
        return Markup()
    return html.note(
        "These runs were not all computed in one number type (learner.precision): a difference between them may come "
        "from that."
    )


def _mixed_yardsticks(material: Material) -> Markup:
    mixed = [game for game, runs in material.single.items() if len(yardsticks(runs)) > 1]
    if not mixed:
        return Markup()
    return html.note(
        f"The single-game runs of {', '.join(mixed)} differ in their settings or in how far they have come; all are "
        "counted as one agent."
    )


def _fractions(material: Material) -> Markup:
    """What the fractions are of, and the games that have none."""
    if not material.single:
        return Markup()
    low, high = retention.FRACTIONS
    said = (
        "Learned and retained are fractions of what agents for one game alone reach (0 is random play), each run's "
        f"clipped to [{low:g}, {high:g}]."
    )
    alone = {game: retention.mean_over_seeds(numbers.single_scores(material, game)) for game in material.single}
    weak = [f"{game} ({score:.2f})" for game, score in alone.items() if score < numbers.TAUGHT]
    if weak:
        said += f" Games where those stay below {numbers.TAUGHT:g}, human-normalised, have none: {', '.join(weak)}."
    return html.note(said)


def _unused(material: Material) -> Markup:
    names = ", ".join(path.name for path in material.unused)
    return html.note(f"Not used, because the others do not play their game: {names}.") if names else Markup()


def write_picture(out: Path, name: str, rows: Sequence[Row], draw: Callable[[], Figure], caption: str) -> Markup:
    """Write a figure's three files; returns it as HTML, or a sentence where it cannot be drawn, such as numbers of no
    common scale."""
    write_rows(out / f"{name}.csv", rows)
    svg = io.BytesIO()
    try:
        figure = draw()
        figure.savefig(out / f"{name}.png", dpi=DPI)
        with matplotlib.rc_context(_SVG):
            figure.savefig(svg, format="svg", metadata=_NOTHING_SAID)
    except (ValueError, ArithmeticError, MemoryError) as error:
        return html.note(f"This cannot be drawn ({error}); the numbers are in {name}.csv.")
    (out / f"{name}.svg").write_bytes(svg.getvalue())
    return html.picture(html.Picture(name, svg.getvalue(), caption))


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """Rows of equal columns as a CSV file; numbers in full."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        material = read_material(options.runs, options.single)
        path = write_report(material, options.out, options.title, options.perturbation, _made(arguments))
    except (ReportError, OSError) as error:
        if shortage(error):
            raise  # which `command.run` tells
        print(f"experiments.report: {error}", file=sys.stderr)
        return BAD_INPUT
    print(f"written: {path}, and its figures and tables beside it")
    return 0


def _title(material: Material) -> str:
    if len(material.games) == 1:
        return f"{material.games[0]}: what was learned"
    return "Games in sequence: what was learned and what was retained"


def _made(arguments: list[str] | None) -> html.Made:
    """Today, this program, and these arguments (None: those of the process) as they are typed in a shell."""
    typed = shlex.join(["python", "-m", "experiments.report", *(sys.argv[1:] if arguments is None else arguments)])
    return html.Made(f"{datetime.now(UTC):%Y-%m-%d}", program()["git_commit"], typed)


def _parser() -> argparse.ArgumentParser:
    parser = command.Parser(prog="python -m experiments.report", description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("runs", type=Path, nargs="+", metavar="RUN", help="run directories")
    add("--single", type=Path, nargs="+", action="extend", default=[], metavar="DIR", help="runs of a single game")
    add("--out", type=Path, default=Path("runs/report"), help="folder for the page (default: runs/report)")
    add("--title", help="the page's heading")
    add(
        "--perturbation",
        type=Path,
        nargs="+",
        action="extend",
        default=[],
        metavar="DIR",
        help="folders that experiments.perturbation wrote, for figure 3C",
    )
    return parser
