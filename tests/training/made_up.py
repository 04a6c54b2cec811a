"""A long run of many games that nobody trained: plausible numbers, written by the code that writes a real run's.

    python -m tests.training.made_up runs/made_up [--games figure3] [--visits 40] [--seed 1] [--part 0.5]

It is for looking at TensorBoard and at the pictures. Scores rise while a game is on screen and fall while it is not;
`--part` is the share of the run that has passed.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from configs.build import planned_visits
from configs.parse import dump, load
from envs.game_sets import game_set
from envs.games import all_games
from envs.games import game as facts
from evaluation.play import GameResult
from tracking.run_directory import RunDirectory
from training.logs import Logs
from training.milestones import due

VISIT = 4_000_000  # frames
LOG = 200_000
EVALUATE = 1_000_000


def make(
    path: Path,
    games: tuple[str, ...],
    visits: int,
    seed: int = 1,
    part: float = 1.0,
    *,
    log: int = LOG,
    evaluate: int = EVALUATE,
) -> Logs:
    """Write a run of so many visits into `path`, as far as `part` of it; returns its logs. The first and the last
    evaluations have pictures."""
    rng = np.random.default_rng(seed)
    end = visits * VISIT
    given = ["--frames", str(end), "--seed", str(seed), "--stream.games", f"[{','.join(games)}]"]
    config = load("configs/presets/ten_games.yaml", given)
    run = RunDirectory(path)
    run.path.mkdir(parents=True)
    run.config.write_text(dump(config))
    run.write_status("running", int(part * end), end)
    logs = Logs(run, config)
    logs.begin(config)
    drawn = logs.pictures
    skill = dict.fromkeys(games, 0.0)  # human-normalised
    limit = {game: float(rng.choice([0.15, 0.6, 1.0, 1.5, 3.0])) for game in games}
    tasks: dict[str, int] = {}
    logs.evaluation(0, _results(games, skill, tasks, rng))
    for _, start, visit in planned_visits(config):
        game, stop = visit.game, start + visit.frames
        logs.task_changed(start, game, max(0, len(tasks) - 1), 0.0)
        tasks.setdefault(game, len(tasks))
        logs.task_changed(start + 400, game, tasks[game], 1.0)
        for frames in range(start + log, min(stop, int(part * end)) + 1, log):
            for each in games:
                goal, pace = (limit[each], 0.12) if each == game else (0.25 * limit[each], 0.004)
                skill[each] += pace * log / LOG * (goal - skill[each]) * rng.uniform(0, 2)
            logs.write(frames, _scalars(game, skill[game], tasks, frames, end, rng))
            if due(evaluate, frames - log, frames):
                late = frames > part * end - 2 * evaluate
                logs.pictures = drawn if late else _NoPictures()  # type: ignore[assignment]
                logs.evaluation(frames, _results(games, skill, tasks, rng))
        if stop > part * end:
            break
    logs.writers.flush()
    return logs


class _NoPictures:
    def draw(self, *_: object) -> tuple[()]:
        return ()


def _score(game: str, normalised: float) -> float:
    return facts(game).random + normalised * (facts(game).human - facts(game).random)


def _results(games: tuple[str, ...], skill: dict[str, float], tasks: dict[str, int], rng: np.random.Generator):
    low = dict.fromkeys(games, 0.0) | {games[-1]: -1.5 if games[-1] not in tasks else 0.0}
    returns = {g: tuple(_score(g, low[g] + skill[g] * rng.uniform(0.5, 1.5)) for _ in range(5)) for g in games}
    return [GameResult(game, its, (4000,) * 5, tasks.get(game), 1.0) for game, its in returns.items()]


def _scalars(game: str, skill: float, tasks: dict[str, int], frames: int, end: int, rng: np.random.Generator):
    noise = float(rng.uniform(0.8, 1.2))
    found = {
        "learning/loss": 0.02 * noise,
        "learning/td_error": 0.1 * noise,
        "learning/q": 2 * noise,
        "learning/q_max": 6 * noise,
        "learning/gradient_norm": 9 * noise,
        "charts/score_on_screen": skill * noise,
        f"score/{game}/return": _score(game, skill * noise),
        f"score/{game}/human_normalised": skill * noise,
        f"score/{game}/episode_frames": 4000 * noise,
        "task/number": tasks[game],
        "task/count": len(tasks),
        "task/short_visits": 0,
        "task/posterior": 1.0,
        "learning/updates": frames // 16,
        "replay/gib": 7 * min(1.0, frames / 8e6),
        "exploration/epsilon": 0.05,
        "inference/purity": 0.999,
        "inference/coverage": 0.999,
        "inference/ari": 0.998,
        "inference/false_switches": 0.2 * noise,
        "inference/longest_false": 40,
        **{f"inference/delay_{name}": 100 * noise for name in ("median", "max", "last")},
        **{f"learning/fisher_overlap_task{task}_layer{i}": 0.4 * noise for task in tasks.values() for i in range(4)},
        **{f"consolidation/distance_task{task}": 0.1 * noise for task in tasks.values()},
        **{f"exploration/epsilon_task{task}": 0.05 for task in tasks.values()},
        **{f"replay/transitions_task{task}": 100_000 for task in tasks.values()},
        **{f"consolidation/ratio_layer{i}": 0.1 * i * noise for i in range(5)},
        **{f"consolidation/dormant_layer{i}": 0.05 * i * noise for i in range(4)},
        **{f"consolidation/log10_stiffness_q{q}": q / 30 for q in (10, 50, 90, 99)},
        **{f"consolidation/{name}": 0.3 * noise for name in ("penalty", "ratio", "cancelled", "held_share")},
        "consolidation/stiff_share": 0.2,
        **{f"time/{name}_ms": 2 * noise for name in ("act", "learn", "emulate", "remember")},
        "time/frames_per_second": 450 * noise,
        "charts/speed_frames_per_second": 450 * noise,
        "charts/time_left_hours": (end - frames) / 450 / 3600,
    }
    return {name: float(value) for name, value in found.items()}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("path", type=Path)
    parser.add_argument("--games", default="figure3", help="a set of games, or games with commas between them")
    parser.add_argument("--visits", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--part", type=float, default=1.0)
    options = parser.parse_args()
    named = options.games.split(",")
    games = tuple(named) if len(named) > 1 or named[0] in all_games() else game_set(named[0])
    make(options.path, games, options.visits, options.seed, options.part).writers.close()


if __name__ == "__main__":
    main()
