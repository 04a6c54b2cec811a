"""What can end a run before its time: learning that breaks down, and the sentence that is told of a failure."""

from __future__ import annotations

import math
import sys
import traceback
from collections.abc import Mapping

import torch

from configs.schema import Config
from tracking.checkpoints import CheckpointError, Checkpoints, NoneIntactError
from tracking.files import quoted
from tracking.run_directory import RunDirectory
from tracking.shortage import shortage
from training.background import WorkerFailed
from training.resume import after_divergence, begin_anew

_EXPLODED = 1000.0  # |Q| beyond this multiple of the largest possible value is no value of a game any more


class Diverged(Exception):
    """Learning broke down: a value is not a number, or has exploded."""


def check_weights(network: torch.nn.Module) -> None:
    """Raise `Diverged` unless all weights are finite."""
    for name, weight in network.named_parameters():
        if not bool(torch.isfinite(weight).all()):
            raise Diverged(f"the network's {name} is not finite")


def check_values(scalars: Mapping[str, float], config: Config) -> None:
    """Raise `Diverged` if a logged loss or Q-value is not finite, or is larger than any game's could be."""
    c = config.learner
    bounded = c.reward_clip > 0 and c.discount < 1
    limit = _EXPLODED * c.reward_clip / (1 - c.discount) if bounded else math.inf
    for name in ("learning/loss", "learning/q", "learning/q_max"):
        value = scalars.get(name, 0.0)
        if not abs(value) < limit:
            raise Diverged(f"{name} is {value:g}")


def failure(error: BaseException, run: RunDirectory, config: Config) -> str | None:
    """A sentence for what can happen, with what to do next; None for what is the program's own fault."""
    told = str(error) if isinstance(error, (Diverged, CheckpointError, WorkerFailed)) else shortage(error)
    if told is None:
        return None
    traceback.clear_frames(error.__traceback__)  # and with them files and memory, which the report may need
    if isinstance(error, NoneIntactError):
        return f"{told}; {begin_anew(run)}"
    kept = Checkpoints(run.checkpoints).available()
    resume = (
        f"the last good checkpoint is at {kept[-1]:,} frames (--resume {quoted(run.path)})"
        if kept
        else "no checkpoint was written yet"
    )
    if isinstance(error, Diverged):
        return f"learning diverged: {told}; {resume}; a resume would repeat it, so {after_divergence(run, config)}"
    return f"{told}; {resume}"


def report_failure(run: RunDirectory, config: Config, message: str) -> None:
    """Write it into the run's status, if that can be written."""
    try:
        run.write_status("failed", run.frames, config.frames, message)
    except OSError:
        print("train.py: the status could not be written either", file=sys.stderr)
