"""Values that cannot work are refused before anything starts, one sentence each with the offending path."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import torch

from agent.networks import ARCHITECTURES
from configs.schema import Config
from envs.games import game
from envs.roms import find_rom
from envs.toy import LIVERIES
from tracking.command import UserError


class ConfigError(UserError):
    """A mistake in the configuration, as one sentence that names the field."""


def check(config: Config) -> None:
    """Raise `ConfigError` for the first impossible value."""
    for problem in _problems(config):
        raise ConfigError(problem)


def _problems(config: Config) -> Iterator[str]:
    c = config
    positive = {
        "frames": c.frames,
        "stream.visit_frames": c.stream.visit_frames,
        "stream.reseed_frames": c.stream.reseed_frames,
        "emulators.count": c.emulators.count,
        "emulators.max_episode_frames": c.emulators.max_episode_frames,
        "learner.learning_rate": c.learner.learning_rate,
        "learner.optimiser_epsilon": c.learner.optimiser_epsilon,
        "learner.max_gradient_norm": c.learner.max_gradient_norm,
        "learner.batch_size": c.learner.batch_size,
        "learner.n_step": c.learner.n_step,
        "learner.target_frames": c.learner.target_frames,
        "consolidation.fisher_batches": c.consolidation.fisher_batches,
        "replay.capacity": c.replay.capacity,
        "replay.min_history": c.replay.min_history,
        "replay.budget_gib": c.replay.budget_gib,
        "evaluation.episodes": c.evaluation.episodes,
        "evaluation.final_episodes": c.evaluation.final_episodes,
        "evaluation.emulators": c.evaluation.emulators,
        "evaluation.max_episode_frames": c.evaluation.max_episode_frames,
        "evaluation.threads": c.evaluation.threads,
        "evaluation.report_after": c.evaluation.report_after,
        "log.period": c.log.period,
        "log.checkpoint_period": c.log.checkpoint_period,
    }
    not_negative = {
        "seed": c.seed,
        "threads": c.threads,
        "emulators.threads": c.emulators.threads,
        "emulators.noop_max": c.emulators.noop_max,
        "learner.samples_per_step": c.learner.samples_per_step,
        "learner.reward_clip": c.learner.reward_clip,
        "learner.shift_pixels": c.learner.shift_pixels,
        "replay.device_gib": c.replay.device_gib,
        "consolidation.strength": c.consolidation.strength,
        "consolidation.floor": c.consolidation.floor,
        "consolidation.start_frames": c.consolidation.start_frames,
        "consolidation.min_visit_frames": c.consolidation.min_visit_frames,
        "exploration.hold_frames": c.exploration.hold_frames,
        "exploration.decay_frames": c.exploration.decay_frames,
        "evaluation.period": c.evaluation.period,
        "evaluation.seed": c.evaluation.seed,
        "log.image_period": c.log.image_period,
    }
    shares = {
        "emulators.sticky_actions": c.emulators.sticky_actions,
        "learner.discount": c.learner.discount,
        "learner.decay": c.learner.decay,
        "learner.gated": c.learner.gated,
        "learner.rehearsal": c.learner.rehearsal,
        "consolidation.decay": c.consolidation.decay,
        "exploration.start": c.exploration.start,
        "exploration.end": c.exploration.end,
        "evaluation.epsilon": c.evaluation.epsilon,
    }
    for name, value in {**positive, **not_negative, **shares}.items():
        if not math.isfinite(value):
            yield f"{name}: must be a finite number, is {value}"
    for name, value in positive.items():
        if value <= 0:
            yield f"{name}: must be greater than 0, is {value}"
    for name, value in not_negative.items():
        if value < 0:
            yield f"{name}: must not be negative, is {value}"
    for name, value in shares.items():
        if not 0 <= value <= 1:
            yield f"{name}: must lie between 0 and 1, is {value}"
    hidden = [maps for maps, _, _ in ARCHITECTURES[c.learner.network].convolutions]
    for units in (*hidden, ARCHITECTURES[c.learner.network].hidden):
        if 0 <= c.learner.gated <= 1 and round(c.learner.gated * units) == units:
            yield f"learner.gated: {c.learner.gated} leaves no unit of a layer of {units} open"
    if c.learner.gated and c.learner.recorded:
        yield "learner.recorded: updates of a network with gates (learner.gated above 0) cannot be recorded"
    if c.emulators.sticky_actions == 1:
        yield "emulators.sticky_actions: must be less than 1, or no action would ever count"
    if c.log.checkpoints_kept < 2:
        yield f"log.checkpoints_kept: at least 2 are kept, is {c.log.checkpoints_kept}"
    if c.learner.shift_pixels > 20:
        yield f"learner.shift_pixels: at most 20 of the 84 pixels, is {c.learner.shift_pixels}"
    if c.device == "cuda" and not torch.cuda.is_available():
        yield "device: this torch finds no CUDA device here; use cpu"
    for name, value in (("learner.recorded", c.learner.recorded), ("replay.device_gib", c.replay.device_gib)):
        if value and c.device == "cpu":
            yield f"{name}: needs device cuda"
    yield from _inference_problems(c)
    yield from _replay_problems(c)
    yield from _stream_problems(c)


def _inference_problems(c: Config) -> Iterator[str]:
    i = c.inference
    least = {"levels": 2, "period": 1, "window": 1, "window_pictures": 0, "max_contexts": 0, "memory": 0}
    for name, bound in least.items():
        value = getattr(i, name)
        if value is not None and not bound <= value < math.inf:
            yield f"inference.{name}: must be a finite number of at least {bound}, is {value}"
    if i.levels is not None and i.levels > 256:
        yield f"inference.levels: a screen has 256 grey levels at most, is {i.levels}"
    if i.concentration is not None and not 0 < i.concentration < math.inf:
        yield f"inference.concentration: must be a finite number greater than 0, is {i.concentration}"
    if i.switch_probability is not None and not 0 <= i.switch_probability < 1:
        yield f"inference.switch_probability: must be at least 0 and less than 1, is {i.switch_probability}"


def _replay_problems(c: Config) -> Iterator[str]:
    if c.learner.batch_size > c.replay.capacity:
        yield (
            f"learner.batch_size: a batch of {c.learner.batch_size} does not fit in a buffer of "
            f"replay.capacity {c.replay.capacity}"
        )
    if c.replay.min_history > c.replay.capacity:
        yield (
            f"replay.min_history: {c.replay.min_history} transitions never gather in a buffer of "
            f"replay.capacity {c.replay.capacity}"
        )
    needed = c.emulators.count * (c.learner.n_step + 2)
    for name, value in (("capacity", c.replay.capacity), ("min_history", c.replay.min_history)):
        if value < needed:
            yield (
                f"replay.{name}: {c.emulators.count} emulators and n_step {c.learner.n_step} need at least "
                f"{needed}, is {value}"
            )


def _stream_problems(c: Config) -> Iterator[str]:
    s = c.stream
    if s.order == "listed":
        if bool(s.visits) == bool(s.visits_csv):
            yield "stream.visits: order listed needs either visits or visits_csv, and not both"
        if s.visits_csv and not Path(s.visits_csv).is_file():
            yield f"stream.visits_csv: there is no file {s.visits_csv}"
        names = [(f"stream.visits[{i}]", v.game) for i, v in enumerate(s.visits)]
        for i, v in enumerate(s.visits):
            if v.frames <= 0:
                yield f"stream.visits[{i}].frames: must be greater than 0, is {v.frames}"
    else:
        if s.visits or s.visits_csv:
            yield f"stream.visits: order {s.order} plays none of them; leave order listed, or give visits [] and games"
        if not s.games:
            yield "stream.games: name at least one game"
        if len(set(s.games)) < len(s.games):
            yield f"stream.games: each game once, is {', '.join(s.games)}"
        names = [("stream.games", name) for name in s.games]
    for path, name in names:
        try:
            game(name)
            if name not in LIVERIES:
                find_rom(name, c.emulators.rom_dir)
        except (ValueError, FileNotFoundError) as error:
            yield f"{path}: {error}"
