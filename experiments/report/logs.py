"""The numbers of a report that come from the logs: task inference, consolidation, learning, overlap of Fishers.

Rows as in `experiments.report.numbers`: what a figure is drawn from is what its CSV file holds.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from experiments.report.agents import Agent, Material
from experiments.report.data import Run, Series
from experiments.report.numbers import NAN, Row

_BINS = (120, 60, 40, 30)  # along the frames of a figure of metrics, whichever shows most

# -- task inference -------------------------------------------------------------------------------------------------


def infers(agent: Agent) -> bool:
    """Whether the agent finds out by itself which game it plays."""
    return agent.runs[0].settings.get("task_source") not in (None, "true_labels", "single")


def inference_rows(material: Material) -> list[Row]:
    """agent, seed, tasks, purity, coverage, delay_median, delay_max, false_switches: as last logged; delays in vector
    steps, false switches per million frames."""
    names = ("purity", "coverage", "delay_median", "delay_max", "false_switches")
    return [
        {
            "agent": agent.name,
            "seed": run.seed,
            "tasks": _last(run, "task/count"),
            **{name: _last(run, f"inference/{name}") for name in names},
        }
        for agent in material.agents
        if infers(agent)
        for run in agent.runs
    ]


def _last(run: Run, name: str) -> float:
    return float(run.metrics[name][1][-1]) if name in run.metrics else NAN


def confusion_rows(material: Material) -> list[Row]:
    """agent, seed, game, task, steps: vector steps of each game in each task, as far as confusion.csv goes."""
    return [
        {"agent": agent.name, "seed": run.seed, "game": game, "task": task, "steps": steps}
        for agent in material.agents
        if infers(agent)
        for run in agent.runs
        for game, line in run.confusion.items()
        for task, steps in sorted(line.items())
    ]


# -- what is logged -------------------------------------------------------------------------------------------------


def metric_rows(material: Material, names: Sequence[str]) -> list[Row]:
    """agent, metric, frames, mean, least, most over seeds, of metrics with these names, in at most 120 bins of frames.

    A bin stands at its middle; a seed's number is the mean of what was logged in the bin. Bins in which any seed that
    has this metric has nothing are left out; they are as narrow as leaves most of them, since seeds may have logged
    at different frames. A metric that nobody logged has no row.
    """
    end = max(run.end for agent in material.agents for run in agent.runs)
    rows = []
    for name in names:
        for agent in material.agents:
            series = [run.metrics[name] for run in agent.runs if name in run.metrics]
            for at, values in max((_in_common(series, end, bins) for bins in _BINS), key=len):
                row = {"agent": agent.name, "metric": name, "frames": at, "mean": float(values.mean())}
                rows.append({**row, "least": float(values.min()), "most": float(values.max())})
    return rows


def _in_common(series: Sequence[Series], end: int, bins: int) -> list[tuple[int, np.ndarray]]:
    """(middle, float64 [seeds]) of the bins in which all series have something; none of no series."""
    edges = np.linspace(0, end, bins + 1)
    middles = ((edges[1:] + edges[:-1]) / 2).round().astype(int).tolist()
    lines = np.array([_binned(each, edges) for each in series]).T
    return [(at, values) for at, values in zip(middles, lines, strict=False) if not np.isnan(values).any()]


def _binned(series: Series, edges: np.ndarray) -> np.ndarray:
    """The mean in every bin, [bins]; NaN in empty ones."""
    frames, values = series
    place = np.clip(np.searchsorted(edges, frames, side="left") - 1, 0, len(edges) - 2)
    counts = np.bincount(place, minlength=len(edges) - 1)
    sums = np.bincount(place, values, len(edges) - 1)
    return np.divide(sums, counts, out=np.full(len(counts), NAN), where=counts > 0)


_OVERLAP = re.compile(r"learning/fisher_overlap_task(\d+)_layer(\d+)")


def overlap_rows(material: Material) -> list[Row]:
    """agent, game, other, layer, overlap, departures, seeds: overlap of the Fisher information of a game that was left
    with that of another game when that one was left last; mean over departures in so many seeds. Layers count from 1.

    The game is the one of the last visit that was over when the overlap was logged (a false switch within a visit
    therefore counts for the visit before), the other one the one that its task was mostly met in.
    """
    found: dict[tuple[str, int, int, int], list[float]] = {}
    seeds: dict[tuple[str, int, int, int], set[int]] = {}
    for agent in material.agents:
        for run in agent.runs:
            games = _games_of_tasks(run)
            for name, (frames, values) in run.metrics.items():
                match = _OVERLAP.fullmatch(name)
                if not match or int(match[1]) not in games:
                    continue
                other, layer = games[int(match[1])], int(match[2]) + 1
                for at, value in zip(frames.tolist(), values.tolist(), strict=True):
                    over = [game for game, _, end in run.visits if end <= at]
                    if over:
                        key = agent.name, over[-1], other, layer
                        found.setdefault(key, []).append(value)
                        seeds.setdefault(key, set()).add(run.seed)
    return [
        {
            "agent": agent,
            "game": material.games[game],
            "other": material.games[other],
            "layer": layer,
            "overlap": float(np.mean(values)),
            "departures": len(values),
            "seeds": len(seeds[agent, game, other, layer]),
        }
        for (agent, game, other, layer), values in found.items()
    ]


def _games_of_tasks(run: Run) -> dict[int, int]:
    """{task: row of the game that it was met in for most steps}."""
    most: dict[int, tuple[int, int]] = {}
    for game, line in run.confusion.items():
        for task, steps in line.items():
            most[task] = max(most.get(task, (0, 0)), (steps, run.games.index(game)))
    return {task: game for task, (_, game) in most.items()}
