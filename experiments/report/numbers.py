"""The numbers of a report: one list of rows per figure or table, from which it is drawn and which its CSV file holds.

Scores are human-normalised unless a column is called raw. What does not exist is NaN. An interval (`low`, `high`) is
a 95 % percentile interval, whole runs resampled; there is none of a single seed.

Axes: S seeds, G games, E evaluations.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from configs.build import numpy_generator
from envs.game_sets import game_set
from evaluation import retention
from experiments.report.agents import Agent, Material
from experiments.report.data import ReportError, Run

Row = dict[str, Any]
NAN = float("nan")
SINGLE = "single-game runs"
PAPER = ("paper: EWC, inferred tasks", "paper: EWC, true labels", "paper: no penalty")
BOTH_DRAWN = "retained_both_drawn"
TAUGHT = 0.1
"""Human-normalised; where the single-game runs reach less, a share of it says nothing. A choice."""
_INTERVAL = ("mean", "low", "high")
_RESAMPLES = 1000


def normalised(run: Run) -> np.ndarray:
    """Human-normalised scores of a run, float64 [G, E]."""
    return retention.human_normalised(run.scores, run.random, run.human)


def common_frames(runs: Sequence[Run]) -> np.ndarray:
    """The moments at which all these runs were evaluated in every game, int64 [E]; ReportError if there is none."""
    frames = runs[0].frames[runs[0].whole]
    for run in runs[1:]:
        frames = np.intersect1d(frames, run.frames[run.whole])
    if not frames.size:
        listed = ", ".join(str(run.path) for run in runs)
        raise ReportError(f"no two evaluations at the same frame in the seeds of one agent: {listed}")
    return frames


def stacked(runs: Sequence[Run]) -> tuple[np.ndarray, np.ndarray]:
    """(frames [E], normalised scores [S, G, E]) at the evaluations of every game that the runs have in common."""
    frames = common_frames(runs)
    return frames, np.stack([normalised(run)[:, np.isin(run.frames, frames)] for run in runs])


def line_of(runs: Sequence[Run], game: int) -> tuple[np.ndarray, np.ndarray]:
    """(frames [E], normalised scores [S, E]) at the evaluations of this game that the runs have in common."""
    frames = runs[0].frames[looked_at(runs[0], game)]
    for run in runs[1:]:
        frames = np.intersect1d(frames, run.frames[looked_at(run, game)])
    return frames, np.stack([normalised(run)[game, np.isin(run.frames, frames)] for run in runs])


def looked_at(run: Run, game: int) -> np.ndarray:
    """bool [E]: which evaluations were of this game, among others or alone."""
    return run.whole | ~np.isnan(run.scores[game])


def interval(values: np.ndarray, statistic: retention.Statistic) -> tuple[np.ndarray, np.ndarray]:
    """The interval of a statistic of [S, G, ...]; the same values give the same interval."""
    return retention.stratified_bootstrap(values, statistic, _generator(), _RESAMPLES)


def _generator() -> np.random.Generator:
    return numpy_generator(0, "report")


# -- figure 3 -------------------------------------------------------------------------------------------------------


def shown_runs(material: Material) -> dict[str, tuple[Run, ...]]:
    """{agent: its runs whose visits are those of the first agent's first run}: only under one schedule can scores over
    time be averaged. Agents without such a run are left out."""
    visits = material.agents[0].runs[0].visits
    found = {agent.name: tuple(r for r in agent.runs if _alike(r.visits, visits)) for agent in material.agents}
    return {name: runs for name, runs in found.items() if runs}


def _alike(one: Sequence[tuple[int, int, int]], other: Sequence[tuple[int, int, int]]) -> bool:
    """Whether two schedules agree as far as both go."""
    return all(a[:2] == b[:2] for a, b in zip(one, other, strict=False))


def schedule_rows(material: Material) -> list[Row]:
    """Who is played when, in the runs of `shown_runs`: game, first_frame, last_frame. The longest of them counts."""
    longest = max((run for runs in shown_runs(material).values() for run in runs), key=lambda run: run.end)
    return [
        {"game": material.games[game], "first_frame": start, "last_frame": end} for game, start, end in longest.visits
    ]


def score_rows(material: Material) -> list[Row]:
    """Figure 3A: agent, seeds, game, frames, score (mean over the seeds of `shown_runs`), least, most (of them)."""
    rows = []
    for name, runs in shown_runs(material).items():
        for g, game in enumerate(material.games):
            frames, scores = line_of(runs, g)
            line = (scores.mean(0), scores.min(0), scores.max(0))
            for at, *numbers in zip(frames.tolist(), *(each.tolist() for each in line), strict=True):
                named = dict(zip(("score", "least", "most"), numbers, strict=True))
                rows.append({"agent": name, "seeds": len(runs), "game": game, "frames": at, **named})
    return rows


def _totals(scores: np.ndarray) -> np.ndarray:
    """[S, G, ...] -> [...]: the total of every seed, mean over seeds."""
    return retention.mean_over_seeds(retention.total_clipped(scores.swapaxes(0, 1)))


def total_rows(material: Material) -> list[Row]:
    """Figure 3B: agent, seeds, frames, total, low, high. The total of single-game runs follows, at both ends, if every
    game has one, and the paper's whole curves if the games are ten of the paper's."""
    rows = []
    end = max(run.end for agent in material.agents for run in agent.runs)
    for agent in material.agents:
        frames, scores = stacked(agent.runs)
        total, (low, high) = _totals(scores), interval(scores, _totals)
        for at, *values in zip(frames.tolist(), total.tolist(), low.tolist(), high.tolist(), strict=True):
            rows.append(_total_row(agent.name, len(agent.runs), at, *values))
    if len(material.single) == len(material.games):
        alone = sum(float(np.minimum(1.0, single_scores(material, game)).mean()) for game in material.games)
        seeds = min(len(runs) for runs in material.single.values())
        rows += [_total_row(SINGLE, seeds, at, alone, NAN, NAN) for at in (0, end)]
    if len(material.games) == 10 and set(material.games) <= set(game_set("pool")):
        rows += paper_totals()
    return rows


@cache
def paper_totals() -> tuple[Row, ...]:
    """The paper's figure 3B, read off it point by point (`paper_totals.csv`), as rows of `total_rows`."""
    with open(Path(__file__).with_name("paper_totals.csv"), newline="") as file:
        return tuple(
            _total_row(f"paper: {line['agent']}", NAN, int(line["frames"]), float(line["total"]), NAN, NAN)
            for line in csv.DictReader(file)
        )


def _total_row(agent: str, seeds: float, frames: int, total: float, low: float, high: float) -> Row:
    return {"agent": agent, "seeds": seeds, "frames": frames, "total": total, "low": low, "high": high}


# -- figure 4 -------------------------------------------------------------------------------------------------------


def own_frames(run: Run, game: int) -> np.ndarray:
    """Frames that `game` itself was played before every evaluation, int64 [E]."""
    played = np.zeros(len(run.frames), np.int64)
    for other, start, end in run.visits:
        if other == game:
            played += np.clip(run.frames, start, end) - start
    return played


def own_play_rows(material: Material) -> list[Row]:
    """Figure 4: agent, seed, game, own_frames, raw_fresh, raw_left.

    The raw score at the first evaluation after so many frames of the game itself, and at the last one before it was
    played again or the run ended: what was left of it. Before its first visit a game has no row.
    """
    rows = []
    runs = [(agent.name, run) for agent in material.agents for run in agent.runs]
    runs += [(SINGLE, run) for found in material.single.values() for run in found]
    for name, run in runs:
        for g, game in enumerate(run.games):
            looked = looked_at(run, g)
            played, scores = own_frames(run, g)[looked], run.scores[g, looked]
            for amount in np.unique(played[played > 0]):
                at = np.flatnonzero(played == amount)
                fresh, left = float(scores[at[0]]), float(scores[at[-1]])
                row = {"agent": name, "seed": run.seed, "game": game, "own_frames": int(amount)}
                rows.append({**row, "raw_fresh": fresh, "raw_left": left})
    return rows


# -- the tables -----------------------------------------------------------------------------------------------------


def single_scores(material: Material, game: str) -> np.ndarray:
    """Normalised scores at the end of the single-game runs of a game, float64 [S]."""
    return np.array(
        [retention.learned(normalised(run), run.frames, run.visits)[0] for run in material.single.get(game, ())]
    )


def yardstick(material: Material) -> np.ndarray:
    """What single-game runs reach in every game, float64 [G]: mean over seeds; NaN without such runs, and where they
    stay below `TAUGHT`."""
    means = [retention.mean_over_seeds(single_scores(material, game)) for game in material.games]
    return np.where(np.array(means) >= TAUGHT, means, NAN)


def early_yardstick(material: Material, run: Run) -> np.ndarray:
    """The same after only as many frames as the first visit of every game has in `run`."""
    found = np.full(len(material.games), NAN)
    for game, start, end in reversed(run.visits):  # earlier visits overwrite
        means = [
            retention.learned(normalised(single), single.frames, [(0, 0, end - start)])[0]
            for single in material.single.get(material.games[game], ())
        ]
        found[game] = retention.mean_over_seeds(np.array(means)) if means else NAN
    return np.where(found >= TAUGHT, found, NAN)


def measures(material: Material, agent: Agent) -> dict[str, np.ndarray]:
    """{measure: float64 [S, G]} of an agent's runs, each with all of its own evaluations."""
    single, nothing = yardstick(material), np.zeros(len(material.games))
    found: dict[str, list[np.ndarray]] = {}
    for run in agent.runs:
        matrix = normalised(run), run.frames, run.visits
        learned, retained = retention.learned(*matrix), retention.retained(*matrix)
        fraction = retention.fraction(retained, nothing, single)
        early, first = early_yardstick(material, run), retention.learned_first(*matrix)
        for name, values in {
            "score_after_visit": learned,
            "final_score": retained,
            "forgetting": retention.forgetting(*matrix),
            "backward_transfer": retention.backward_transfer(*matrix),
            "forward_transfer": retention.forward_transfer(*matrix, nothing),
            "learned": retention.fraction(learned, nothing, single),
            "learned_first": retention.fraction(first, nothing, early),
            "retained": np.where(np.isnan(learned), NAN, fraction),
        }.items():
            found.setdefault(name, []).append(values)
    return {name: np.stack(values) for name, values in found.items()}


def game_rows(material: Material) -> list[Row]:
    """agent, seeds, game, measure, mean, low, high: mean over seeds of every measure of `measures`; and *retained*
    once more, not clipped, with an interval for which the single-game runs are drawn anew as well."""
    rows = []
    for agent in material.agents:
        found = measures(material, agent)
        row = {"agent": agent.name, "seeds": len(agent.runs)}
        for measure, values in found.items():
            means, (low, high) = retention.mean_over_seeds(values), interval(values, retention.mean_over_seeds)
            for game, *numbers in zip(material.games, means.tolist(), low.tolist(), high.tolist(), strict=True):
                rows.append({**row, "game": game, "measure": measure, **dict(zip(_INTERVAL, numbers, strict=True))})
        for g, game in enumerate(material.games):
            final, single = found["final_score"][:, g], single_scores(material, game)
            known = not np.isnan([*found["retained"][:, g], *final, *single]).any()
            mean = float(final.mean() / single.mean()) if known else NAN
            bottom, top = retention.ratio_interval(final, single, _generator(), _RESAMPLES) if known else (NAN, NAN)
            rows.append({**row, "game": game, "measure": BOTH_DRAWN, "mean": mean, "low": bottom, "high": top})
    return rows


def agent_rows(material: Material) -> list[Row]:
    """agent, seeds, measure, mean, low, high: an agent in single numbers, and how much the first agent has retained
    beyond it, in human-normalised scores and as fractions of what single-game runs reach, with a bootstrap's interval
    and with Student's. The fractions leave out the game that a run has played last, whose own *learned* stands beside
    them. But for the interquartile means a number is of a run, a mean over its games, and then a mean over runs."""
    rows: list[Row] = []
    first: dict[str, np.ndarray] = {}
    for agent in material.agents:
        values = measures(material, agent)
        each = _of_runs(agent, values)
        numbers = {name: _mean_with_interval(its) for name, its in each.items()}
        for name in ("final_score", "score_after_visit"):
            bounds = interval(values[name], retention.whole_iqm)
            numbers[f"{name}_iqm"] = retention.iqm(values[name]), float(bounds[0]), float(bounds[1])
        first = first or each
        for name in ("final_score_mean", "retained") if each is not first else ():
            ours, theirs = (its[name][~np.isnan(its[name])] for its in (first, each))
            beyond = float(ours.mean() - theirs.mean()) if len(ours) and len(theirs) else NAN
            both = retention.difference_interval(ours[:, None], theirs[:, None], _generator(), count=_RESAMPLES)
            numbers[f"{name}_first_minus_this"] = beyond, float(both[0]), float(both[1])
            numbers[f"{name}_first_minus_this_welch"] = beyond, *retention.welch_interval(ours, theirs)
        for measure, (mean, low, high) in numbers.items():
            row = {"agent": agent.name, "seeds": len(agent.runs), "measure": measure}
            rows.append({**row, "mean": mean, "low": low, "high": high})
    return rows


def _of_runs(agent: Agent, values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """{measure: float64 [S]}: of every run, from the `measures` [S, G]; means over the games that have a number."""
    last = [run.visits[-1][0] for run in agent.runs]
    places = np.arange(len(last)), np.array(last)
    but_the_last = values["retained"].copy()
    but_the_last[places] = NAN
    means = ("forgetting", "learned", "learned_first", "backward_transfer", "forward_transfer")
    return {
        "total_clipped": retention.total_clipped(values["final_score"].T),
        "final_score_mean": values["final_score"].mean(1),
        "retained": retention.mean_over_seeds(but_the_last.T),
        "learned_last": values["learned"][places],
        **{name: retention.mean_over_seeds(values[name].T) for name in means},
    }


def _mean_with_interval(values: np.ndarray) -> tuple[float, float, float]:
    """(mean, low, high) of numbers of runs, [S]."""
    low, high = interval(values[:, None], retention.mean_over_seeds)
    return float(retention.mean_over_seeds(values)), float(low[0]), float(high[0])
