"""What a log event holds: the means of what happened since the one before, and how the agent stands."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from agent.continual import ContinualAgent
from configs.build import Parts
from envs.episodes import EpisodeReturns
from envs.games import human_normalised
from evaluation import remembered
from evaluation.inference_score import InferenceScore
from evaluation.play import GameResult, clipped_total
from tracking.metrics import MetricWindow
from training.interact import Step

REWARD = "reward_per_step"
"""The mean raw reward of an agent's step in a game; its sum tells all that was earned (`experiments.rewards`)."""
_RECENT = 20  # episodes


class Scalars:
    """Collects the metrics of updates and episodes step by step, until `pop` makes a log event of them.

    episodes   the running episodes
    window     means since the last log event
    inference  how well the inferred tasks agree with the games
    """

    def __init__(self, parts: Parts, episodes: EpisodeReturns, window: MetricWindow, inference: InferenceScore) -> None:
        self.parts = parts
        self.episodes = episodes
        self.window = window
        self.inference = inference
        self.recent: list[float] = []  # returns of the present visit's last episodes; for the console alone

    def add(self, step: Step) -> None:
        """Count what one step brought."""
        for update in step.updates:
            self.window.add({f"learning/{name}": value for name, value in update.items()})
        self.window.add({f"score/{step.label}/{REWARD}": float(step.following.reward.mean())})
        for score, length in self.episodes.update(step.following, step.cut):
            self.recent = [*self.recent[1 - _RECENT :], score]
            self.window.add(episode_scalars(step.label, score, length))
        if step.visit_ended:
            self.recent = []

    def pop(self, label: str, diagnostics: Mapping[str, float]) -> dict[str, float]:
        """{name: value} of the log event while the game `label` is played; `diagnostics` are the agent's (see
        `ContinualAgent.diagnostics`)."""
        means = self.window.pop()
        score = f"score/{label}/human_normalised"
        return {
            **means,
            **({"charts/score_on_screen": means[score]} if score in means else {}),
            **state_scalars(self.parts),
            **inference_scalars(self.parts.agent, self.inference),
            **{f"consolidation/{name}": value for name, value in diagnostics.items()},
        }

    @property
    def recent_mean(self) -> str:
        """The mean return of the present visit's last episodes, as text, whole from 1,000 on; "-" before the first."""
        if not self.recent:
            return "-"
        mean = sum(self.recent) / len(self.recent)
        return f"{mean:,.{0 if abs(mean) >= 1000 else 1}f}"


class Speed:
    """Frames per second of wall-clock time; a clock reading, so no state.

    frames  where the process begins
    end     where the run ends
    """

    def __init__(self, frames: int, end: int) -> None:
        self.first = self.before = frames
        self.end = end
        self.start = self.moment = time.perf_counter()

    def scalars(self, frames: int) -> dict[str, float]:
        """The speed since the last call [frames/s], and the time that is left at the process's own mean speed."""
        before, self.before = self.before, frames
        moment, self.moment = self.moment, time.perf_counter()
        speed = (frames - before) / (self.moment - moment)
        mean = (frames - self.first) / (self.moment - self.start)
        return {
            "time/frames_per_second": speed,
            "charts/speed_frames_per_second": speed,
            "charts/time_left_hours": (self.end - frames) / mean / 3600,
        }


def evaluation_scalars(results: Sequence[GameResult], kept: Mapping[str, float], whole: bool) -> dict[str, float]:
    """Of an evaluation's results and the kept fractions of the games that were left. A kept fraction is told within
    `remembered.SHOWN`, which a chart can show; their mean is of fractions clipped to [0, 1]. Total and mean are those
    of a `whole` evaluation, of every game."""
    scalars: dict[str, float] = {}
    if whole:
        total = clipped_total([r.human_normalised for r in results])
        scalars = {"charts/all_games_total": total, "evaluation/clipped_total": total}
    for result in results:
        scalars[f"evaluation/{result.game}/score"] = result.mean
        scalars[f"evaluation/{result.game}/human_normalised"] = result.human_normalised
    low, high = remembered.SHOWN
    scalars |= {f"evaluation/kept/{game}": min(high, max(low, fraction)) for game, fraction in kept.items()}
    if whole and kept:
        mean = remembered.mean_kept([*kept.values()])
        scalars |= {"charts/kept_fraction": mean, "evaluation/kept_mean": mean}
    return scalars


def episode_scalars(game: str, score: float, length: int) -> dict[str, float]:
    """Of one episode of `length` frames."""
    return {
        f"score/{game}/return": score,
        f"score/{game}/human_normalised": human_normalised(game, score),
        f"score/{game}/episode_frames": length,
    }


def state_scalars(parts: Parts) -> dict[str, float]:
    """How the agent stands: tasks, updates, replay and exploration (the mean over emulators)."""
    agent, memory = parts.agent, parts.memory
    scalars: dict[str, float] = {
        "task/number": agent.task,
        "task/count": agent.task_source.num_tasks,
        "task/short_visits": agent.short_visits,
        "learning/updates": agent.updates,
        "replay/gib": memory.nbytes / 2**30,
    }
    if agent.task in agent.task_frames:
        scalars["exploration/epsilon"] = float(agent.epsilon(agent.task_frames[agent.task]).mean())
    for task, frames in agent.task_frames.items():
        scalars[f"exploration/epsilon_task{task}"] = float(agent.epsilon(frames).mean())
        scalars[f"replay/transitions_task{task}"] = memory.size(task)
    return scalars


def inference_scalars(agent: ContinualAgent, inference: InferenceScore) -> dict[str, float]:
    """How sure the agent is of its task, and how right it was so far."""
    scores = inference.scalars(agent.frames_per_step)
    named = {f"inference/{name}": value for name, value in scores.items()}
    return {"task/posterior": agent.task_source.posterior, **named}
