"""All that decides how a run goes on, and its checkpoints, which hold all of it."""

from __future__ import annotations

from pathlib import Path

from agent.diagnostics import PlasticityMonitor
from configs.build import Parts
from configs.schema import Config
from envs.episodes import EpisodeReturns
from evaluation.inference_score import InferenceScore
from tracking.checkpoints import CheckpointError, Checkpoints, Stateful
from tracking.metrics import MetricWindow
from tracking.run_directory import RunDirectory
from training.failures import check_weights
from training.logs import Logs
from training.milestones import first_milestones
from training.resume import meta
from training.scalars import Scalars
from training.snapshots import begin_with


class RunState:
    """The parts of a run and what is known of its past.

    parts        stream, agent and replay
    logs         the files of numbers, which a resume cuts to what they held
    scalars      of the next log event
    inference    how well the inferred tasks agree with the games
    milestones   when it was evaluated
    watch        whether the agent can still learn
    checkpoints  where all of this is kept
    """

    def __init__(self, run: RunDirectory, config: Config, parts: Parts) -> None:
        self.run = run
        self.config = config
        self.parts = parts
        self.logs = Logs(run, config)
        self.inference = InferenceScore()
        self.scalars = Scalars(parts, EpisodeReturns(config.emulators.num_envs), MetricWindow(), self.inference)
        self.milestones = first_milestones(config)
        self.watch = PlasticityMonitor()
        self.checkpoints = Checkpoints(run.checkpoints)
        self.about = meta(config)

    @property
    def stateful(self) -> dict[str, Stateful]:
        """{its name in a checkpoint: each of the parts}."""
        return {
            "stream": self.parts.stream,
            "agent": self.parts.agent,
            "memory": self.parts.memory,
            "consolidation": self.parts.agent.consolidator,
            **({"recall": self.parts.agent.recall} if self.config.consolidation.recall_states else {}),
            "episodes": self.scalars.episodes,
            "window": self.scalars.window,
            "milestones": self.milestones,
            "watch": self.watch,
            "inference": self.inference,
            **self.logs.stateful,
        }

    def restore(self) -> bool:
        """Take up the newest intact checkpoint; False if there is none. The emulators play again what they played,
        which may take a while. CheckpointError with a sentence if it cannot be gone on with."""
        try:
            return self.checkpoints.restore_latest(self.stateful) is not None
        except ValueError as error:  # a part's own sentence, such as another ale-py that plays differently
            raise CheckpointError(str(error)) from error

    def begin(self, init_from: Path | None) -> None:
        """Begin at frame 0, with the weights of this snapshot if one is given; and keep them in a checkpoint, so that a
        resume begins with the same ones."""
        self.logs.begin(self.config)
        self.parts.stream.start()
        if init_from:
            begin_with(self.run, self.parts.agent, init_from)
        self.save()
        self.checkpoints.wait()

    def save(self) -> None:
        """Begin a checkpoint of the present moment. Raises `Diverged` instead if a weight is not finite."""
        check_weights(self.parts.agent.learner.network)
        self.checkpoints.begin(self.parts.stream.frames, self.stateful, self.about)
