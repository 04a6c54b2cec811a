"""Our agent on somebody else's stream: one emulator, a raw frame at a time.

    agent = online_agent(load("configs/presets/three_games.yaml", ONLINE), "runs/online")
    action = agent.act(frame, reward, terminated, truncated)     # once a frame
    agent.save()                                                 # whenever; the same two lines go on from there

This is `training.interact` turned inside out: here the world calls the agent. It tells what a player sees, and that an
episode has ended; no game, no task, no boundary between tasks.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from agent.continual import ContinualAgent
from configs.build import build_agent, build_memory, prepare_process
from configs.checks import ConfigError
from configs.choices import TASK_SOURCES
from configs.parse import dump, load
from configs.schema import Config
from envs.raw_frames import RawFrames
from envs.timestep import FRAME_SKIP
from tracking.checkpoints import Checkpoints, Stateful
from tracking.files import write_text
from tracking.run_directory import RunDirectory
from tracking.snapshots import UNTOLD, write_snapshot
from training.failures import check_weights
from training.machine import resolve
from training.options import continued
from training.resume import check_version, meta

ONLINE = [
    "--emulators.num_envs=1",
    "--emulators.life_loss_terminal=false",
    "--exploration.end=0.01",
    "--exploration.spread=0",
]
"""Options with which a preset suits an agent that is shown the frames of one emulator, which has one epsilon, and no
lives."""

_OF_THE_WORLD = ("stream.", "emulators.")  # settings of what is somebody else's here


class OnlineAgent:
    """Acts frame by frame; infers, remembers, learns and consolidates as in a run with one emulator.

    agent    with one emulator
    run      the locked directory that its checkpoints are kept in
    about    what these tell of themselves
    metrics  of the latest updates, as `ContinualAgent.learn` returns them
    """

    def __init__(self, agent: ContinualAgent, run: RunDirectory, about: Mapping[str, Any]) -> None:
        self.agent = agent
        self.run = run
        self.about = about
        self.checkpoints = Checkpoints(run.checkpoints)
        self.raw = RawFrames(FRAME_SKIP)
        self.frames = 0
        self.action = 0
        self.metrics: list[dict[str, Tensor]] = []

    def act(self, frame: NDArray[np.uint8], reward: float, terminated: bool, truncated: bool) -> int:
        """An action in 0..17 (ALE's full set) for what is on screen now: to be called once for every frame.

        frame       uint8 [210, 160, 3], RGB; other heights are fine. After an end, the first frame of what comes next
        reward      what the action before has earned, as it is; that of the very first call does not count
        terminated  the episode is over: nothing more can be earned in it
        truncated   it was cut off, by a time limit or because another game takes its place

        Most calls return in microseconds, as an action is held for four frames; the others decide, learn, and, where
        the task changes, consolidate. ValueError with a sentence for what is no frame or no reward.
        """
        now = self.raw.now
        following = self.raw.add(frame, reward, terminated, truncated)
        self.frames += 1
        if following is not None:
            if now is not None:
                self.agent.observe(now, np.array([self.action]), following)
            self.action = int(self.agent.act(following)[0])
            self.metrics = self.agent.learn()
        return self.action

    @property
    def task(self) -> int:
        """The task that it takes the present one for; -1 before the first frame."""
        return self.agent.task

    @property
    def stateful(self) -> dict[str, Stateful]:
        """{its name in a checkpoint: each part that decides how it goes on}."""
        agent = self.agent
        recall = {"recall": agent.recall} if agent.recall.states else {}
        return {"agent": agent, "memory": agent.replay, "consolidation": agent.consolidator, "online": self, **recall}

    def save(self) -> Path:
        """Keep a checkpoint of the present moment, between any two frames, durably; returns its folder. Also keep a
        snapshot, for evaluate.py. Raises `training.failures.Diverged` instead if a weight is not finite."""
        check_weights(self.agent.learner.network)
        write_snapshot(self.run.snapshots, self.frames, UNTOLD, self.agent.snapshot(), own_tasks={})
        return self.checkpoints.save(self.frames, self.stateful, self.about)

    def close(self) -> None:
        """Let others work in the directory; nothing is saved by it."""
        self.run.close()

    def __enter__(self) -> OnlineAgent:
        return self

    def __exit__(self, _: type[BaseException] | None, __: object, ___: TracebackType | None) -> None:
        self.close()

    def state_dict(self) -> dict[str, Any]:
        """What is known of the step under way, also by the agent, whose own state is that between two steps. It, its
        replay and its anchors have states of their own."""
        assigned = list(self.agent.assigned)
        return {"raw": self.raw.state_dict(), "frames": self.frames, "action": self.action, "assigned": assigned}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue exactly where `state` was taken."""
        self.raw.load_state_dict(state["raw"])
        self.frames, self.action = state["frames"], state["action"]
        self.agent.assigned = tuple(state["assigned"])


def online_agent(config: Config, directory: Path | str) -> OnlineAgent:
    """The agent of a configuration, kept in `directory`: it begins there, or goes on with its newest checkpoint.

    Of the configuration it has all that makes an agent; `stream`, `evaluation`, `log`, `frames` and the rest of
    `emulators` are not looked at. Sets torch's threads. ConfigError, RunDirectoryError or CheckpointError with one
    sentence for what cannot be.
    """
    for problem in _problems(config):
        raise ConfigError(problem)
    run = RunDirectory(directory)
    if run.config.is_file():
        run.resume()
    else:
        run.create()
    try:
        if run.config.is_file():
            check_version(run)
            config = continued(load(run.config), config, _OF_THE_WORLD)
        else:
            config = resolve(config)
            write_text(run.config, dump(config))
        run.append_versions()
        prepare_process(config)
        agent = build_agent(config, build_memory(config), label=_nobody_tells)
        online = OnlineAgent(agent, run, meta(config))
        online.checkpoints.restore_latest(online.stateful)
    except BaseException:
        run.close()
        raise
    return online


def _problems(config: Config) -> Iterator[str]:
    if config.emulators.num_envs != 1:
        yield f"emulators.num_envs: an online agent is shown one emulator; give 1, not {config.emulators.num_envs}"
    if config.emulators.life_loss_terminal:
        yield "emulators.life_loss_terminal: an online agent is not told of lives; give false"
    if "label" in inspect.signature(TASK_SOURCES[config.task_source].make).parameters:
        yield f"task_source: nobody tells an online agent the game, as {config.task_source} needs; give inferred"


def _nobody_tells() -> str:
    raise AssertionError("an online agent has no label to ask for")
