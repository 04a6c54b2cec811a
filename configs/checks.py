"""Values that cannot work are refused before anything starts, one sentence each with the offending path."""

from __future__ import annotations

from collections.abc import Iterator

from configs.choices import NETWORKS, own_settings
from configs.ranges import problems
from configs.schema import Config
from envs.games import game
from envs.schedule import count_visits
from envs.timestep import FRAME_SKIP
from tracking.command import UserError
from tracking.numbers import shown

_MOST_VISITS = 10_000
_FEWEST_RECALLED = 8  # states: `agent.recall.HELD_OUT`, without importing torch


class ConfigError(UserError):
    """A mistake in the configuration, as one sentence that names the field."""


def check(config: Config) -> None:
    """Raise `ConfigError` for the first impossible value."""
    for problem in _problems(config):
        raise ConfigError(problem)


def _problems(config: Config) -> Iterator[str]:
    """What needs torch comes last, so that the others are told without it."""
    c = config
    yield from problems(c)
    if c.learner.gated and c.learner.cuda_graphs:
        yield "learner.cuda_graphs: updates of a network with gates (learner.gated above 0) cannot be recorded"
    if 0 < c.consolidation.recall_states < _FEWEST_RECALLED:
        yield f"consolidation.recall_states: give 0 or at least {_FEWEST_RECALLED}, of which one is only measured"
    if c.consolidation.recall_states and c.consolidation.recall_strength and c.learner.cuda_graphs:
        yield "learner.cuda_graphs: updates that recall values (consolidation.recall_states above 0) cannot be recorded"
    for name, value in (("learner.cuda_graphs", c.learner.cuda_graphs), ("replay.device_gib", c.replay.device_gib)):
        if value and c.device == "cpu":
            yield f"{name}: needs device cuda"
    yield from _exploration_problems(c)
    yield from _replay_problems(c)
    yield from _stream_problems(c)
    if c.learner.gated:
        yield from _gate_problems(c)
    if c.device == "cuda" and not _has_cuda():
        yield "device: this torch finds no CUDA device here; use cpu"


def _gate_problems(c: Config) -> Iterator[str]:
    architecture = NETWORKS.build(c.learner.network, own_settings(c, "learner.network"))
    for units in (*(maps for maps, _, _ in architecture.convolutions), architecture.hidden):
        if round(c.learner.gated * units) == units:
            yield f"learner.gated: {c.learner.gated} leaves no unit of a layer of {units} open"


def _has_cuda() -> bool:
    import torch

    return torch.cuda.is_available()


def _exploration_problems(c: Config) -> Iterator[str]:
    if c.exploration.spread and c.emulators.num_envs == 1:
        yield "exploration.spread: one emulator has one epsilon, `exploration.end`; give 0, or more emulators"


def _replay_problems(c: Config) -> Iterator[str]:
    if 0 < c.learner.n_step_first < c.learner.n_step:
        yield (
            f"learner.n_step_first: n may fall and not rise: give 0 or at least n_step, {c.learner.n_step}, not "
            f"{c.learner.n_step_first}"
        )
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
    needed = c.emulators.num_envs * (c.learner.longest_n_step + 2)
    for name, value in (("capacity", c.replay.capacity), ("min_history", c.replay.min_history)):
        if value < needed:
            yield (
                f"replay.{name}: {c.emulators.num_envs} emulators and n_step {c.learner.longest_n_step} need at least "
                f"{needed}, is {value}"
            )


def _stream_problems(c: Config) -> Iterator[str]:
    s = c.stream
    lengths = {"reseed_frames": s.reseed_frames, "visit_frames": s.visit_frames}
    lengths |= {f"visits[{i}].frames": visit.frames for i, visit in enumerate(s.visits)}
    longest = c.learner.longest_n_step
    needed = FRAME_SKIP * c.emulators.num_envs * (longest + 2)
    for name, frames in lengths.items():
        if frames < needed:
            yield (
                f"stream.{name}: {c.emulators.num_envs} emulators and n_step {longest} need at least {needed} "
                f"frames to learn anything, is {frames}"
            )
    if s.order == "listed":
        if bool(s.visits) == bool(s.visits_csv):
            yield "stream.visits: order listed needs either visits or visits_csv, and not both"
        names = [(f"stream.visits[{i}]", v.game) for i, v in enumerate(s.visits)]
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
            if not game(name).is_toy:
                _find_rom(name, c.emulators.rom_dir)
        except (ValueError, FileNotFoundError) as error:
            yield f"{path}: {error}"
    visits = count_visits([visit.frames for visit in s.visits] or [s.visit_frames], c.frames)
    if visits > _MOST_VISITS:
        yield (
            f"frames: {shown(c.frames)} frames are {visits:,} visits, each with a snapshot of its own; at most "
            f"{_MOST_VISITS:,} are planned: give fewer frames or longer visits"
        )


def _find_rom(game: str, rom_dir: str | None) -> None:
    """ValueError if there is none."""
    from envs.roms import find_rom  # and with it ale-py

    find_rom(game, rom_dir)
