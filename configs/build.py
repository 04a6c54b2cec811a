"""Builds the parts of a run from its configuration: the one place where plain numbers become objects."""

from __future__ import annotations

import copy
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from agent.anchors.steps import PenaltyGradient, ProximalStep
from agent.averaging import WeightAverage
from agent.continual import ContinualAgent, Departure, Generators, Updates
from agent.exploration import LinearEpsilon, ladder
from agent.fast.offers import fastest_update
from agent.fast.optimizers import make_optimizer
from agent.fast.process import keep_freed_memory, use_cuda
from agent.learner import QLearner
from agent.networks import QNetwork
from agent.objective import TD_TARGETS, Objective
from agent.recall import Recall
from agent.roles import Consolidator
from configs.choices import CONSOLIDATORS, NETWORKS, TASK_SOURCES, own_settings
from configs.schema import Config
from envs.atari import AtariBatch, AtariSettings
from envs.colour import ColourScreen
from envs.schedule import Listed, Rounds, Schedule, UniformDraw, Visit, timetable
from envs.stream import GameStream
from envs.timestep import ACTIONS, FRAME_SKIP, SIZE, STACK, EmulatorBatch
from envs.toy import VARIANTS, CatchBatch
from replay.buffer import ReplayBuffer
from replay.device_cache import DeviceFrameCache
from replay.horizon import Horizon
from replay.per_task import PerTaskReplay
from taskid.source import TaskSource


@dataclass(frozen=True, slots=True)
class Parts:
    """What a run is made of."""

    stream: GameStream
    agent: ContinualAgent
    memory: PerTaskReplay


def numpy_generator(seed: int, name: str) -> np.random.Generator:
    """The generator for one purpose, a function of (seed, name)."""
    return np.random.default_rng([seed, zlib.crc32(name.encode())])


def torch_generator(seed: int, name: str) -> torch.Generator:
    """The same for torch."""
    return torch.Generator().manual_seed(int(numpy_generator(seed, name).integers(2**62)))


def build_schedule(config: Config) -> Schedule:
    """The schedule of visits."""
    s = config.stream
    if s.order == "listed":
        return Listed(tuple(Visit(v.game, v.frames) for v in s.visits))
    kind = Rounds if s.order == "rounds" else UniformDraw
    return kind(tuple(s.games), s.visit_frames, config.seed)


def frames_per_step(config: Config) -> int:
    """Environment frames of one vector step."""
    return config.emulators.num_envs * FRAME_SKIP


def planned_visits(config: Config) -> list[tuple[int, int, Visit]]:
    """(index, first frame, visit) of every visit of a run of `config.frames`, as its stream will play it."""
    return timetable(build_schedule(config), config.frames, frames_per_step(config))


def atari_settings(config: Config) -> AtariSettings:
    """How the emulators play and show a game."""
    e = config.emulators
    return AtariSettings(
        sticky_actions=e.sticky_actions,
        noop_max=e.noop_max,
        life_loss_terminal=e.life_loss_terminal,
        max_episode_frames=e.max_episode_frames,
        frame_skip=FRAME_SKIP,
        stack=STACK,
        threads=e.threads,
    )


def emulator_maker(config: Config) -> Callable[[str, int], EmulatorBatch]:
    """A function (game, seed) -> batch of emulators for training."""
    return partial(_make_emulators, config.emulators.num_envs, atari_settings(config), config.emulators.rom_dir)


def for_evaluation(config: Config, count: int, max_episode_frames: int) -> Config:
    """`config` with `count` emulators that play whole games under a frame cap of their own."""
    return replace(
        config,
        emulators=replace(
            config.emulators, num_envs=count, max_episode_frames=max_episode_frames, life_loss_terminal=False
        ),
    )


def colour_screen(config: Config, game: str, seed: int) -> ColourScreen | None:
    """Emulator 0 of `emulator_maker(config)(game, seed)` in colour; None for a toy, which has no colours."""
    if game in VARIANTS:
        return None
    return ColourScreen(game, seed, atari_settings(config), config.emulators.rom_dir)


def _make_emulators(count: int, settings: AtariSettings, rom_dir: str | None, game: str, seed: int) -> EmulatorBatch:
    if game in VARIANTS:
        return CatchBatch(game, count, seed)
    return AtariBatch(game, count, seed, settings, rom_dir)


def build_stream(config: Config) -> GameStream:
    """The endless stream of games; not yet started."""
    return GameStream(
        build_schedule(config),
        emulator_maker(config),
        seed=config.seed,
        reseed_frames=config.stream.reseed_frames,
    )


def build_network(config: Config) -> QNetwork:
    """The Q-network without any task."""
    dtype = torch.bfloat16 if config.learner.precision == "bfloat16" else torch.float32
    architecture = NETWORKS.build(config.learner.network, own_settings(config, "learner.network"))
    generator = torch_generator(config.seed, "network")
    network = QNetwork(
        architecture,
        ACTIONS,
        STACK,
        SIZE,
        generator,
        dtype,
        config.learner.gated,
        gate_seed=int(numpy_generator(config.seed, "gates").integers(2**32)),
        initial_gain=config.learner.initial_gain,
        subtract_background=config.learner.subtract_background,
    )
    return network.to(config.device)


def build_learner(config: Config, network: QNetwork, consolidator: Consolidator) -> QLearner:
    """`network`'s target, optimizer and update: one that serves `consolidator`."""
    c, left = config.learner, config.consolidation
    recalls = left.recall_states > 0 and left.recall_strength > 0
    target = copy.deepcopy(network).requires_grad_(False)
    optimizer = make_optimizer(
        c.optimizer,
        network.weights.parameters(),
        learning_rate=c.learning_rate,
        epsilon=c.optimizer_epsilon,
        decay=c.decay,
        compiled=c.optimizer_code == "compiled",
    )
    return QLearner(
        network,
        target,
        optimizer,
        fastest_update(
            network,
            target,
            optimizer,
            c.max_gradient_norm,
            consolidator,
            Objective(TD_TARGETS[c.td_target], c.action_ridge),
            cuda_graphs=c.cuda_graphs,
            threads=config.threads,
            recalls=recalls,
        ),
        target_frames=c.target_frames,
        shift_pixels=c.shift_pixels,
        generator=torch_generator(config.seed, "augmentation"),
        average=WeightAverage(c.average_rate) if c.average_rate else None,
    )


def build_memory(config: Config) -> PerTaskReplay:
    """A replay buffer per task under one memory budget."""
    r, c = config.replay, config.learner
    make_buffer = partial(
        ReplayBuffer,
        capacity=r.capacity,
        n_step=Horizon(c.longest_n_step, c.n_step, c.n_step_frames // FRAME_SKIP),
        gamma=c.discount,
        compress=r.compress,
        make_mirror=_mirror_maker(config),
    )
    return PerTaskReplay(make_buffer, int(r.budget_gib * 2**30), c.reward_clip)


def _mirror_maker(config: Config) -> Callable[[int, int, int], DeviceFrameCache | None]:
    """Mirrors of frames on the device, as long as there is room for another."""
    left = int(config.replay.device_gib * 2**30)

    def make(slots: int, height: int, width: int) -> DeviceFrameCache | None:
        nonlocal left
        needed = slots * height * width
        if needed > left:
            return None
        left -= needed
        return DeviceFrameCache(slots, height, width, config.device)

    return make


def build_tasks(config: Config, label: Callable[[], str]) -> TaskSource:
    """Where task numbers come from; only true labels ask for `label`, the name of the game on screen."""
    source: TaskSource = TASK_SOURCES.build(config.task_source, own_settings(config, "task_source"), label=label)
    return source


def build_consolidator(config: Config, weights: Sequence[Tensor]) -> Consolidator:
    """What speaks for earlier tasks when the shared `weights` are updated."""
    c = config.consolidation
    built: Consolidator = CONSOLIDATORS.build(
        c.kind,
        own_settings(config, "consolidation.kind"),
        weights=weights,
        step=ProximalStep() if c.step == "proximal" else PenaltyGradient(),
        ewc_lambda=c.ewc_lambda,
        fisher_damping=c.fisher_damping,
    )
    return built


def build_agent(config: Config, memory: PerTaskReplay, label: Callable[[], str]) -> ContinualAgent:
    """The agent around its replay."""
    x, c, left = config.exploration, config.learner, config.consolidation
    network = build_network(config)
    consolidator = build_consolidator(config, list(network.weights))
    return ContinualAgent(
        build_tasks(config, label),
        memory,
        build_learner(config, network, consolidator),
        consolidator,
        Recall(left.recall_states, left.recall_samples, left.recall_strength),
        LinearEpsilon(x.start, ladder(x.end, x.spread, config.emulators.num_envs), x.hold_frames, x.decay_frames),
        Updates(c.batch_size, c.samples_per_step, config.replay.min_history * FRAME_SKIP, c.rehearsal),
        Departure(left.fisher, left.fisher_batches, left.prune_inactive, left.start_frames, left.min_visit_frames),
        Generators(*(numpy_generator(config.seed, name) for name in ("exploration", "replay", "fisher"))),
        frames_per_step=frames_per_step(config),
    )


def prepare_process(config: Config) -> None:
    """Set torch's number of threads as in a resolved configuration (`agent.fast.offers.fastest_update` may then make it
    one, and divide its work between two by itself), how memory is freed, and that numbers too small for a full mantissa
    are 0: an optimizer's averages decay to them where a weight is no longer used, and a processor takes
    ten times as long for them."""
    torch.set_num_threads(config.threads)
    torch.set_flush_denormal(True)
    keep_freed_memory()
    if config.device == "cuda":
        use_cuda(config.deterministic)


def build(config: Config) -> Parts:
    """All parts of a resolved configuration, in a process that is prepared for it."""
    prepare_process(config)
    stream = build_stream(config)
    memory = build_memory(config)
    return Parts(stream, build_agent(config, memory, lambda: stream.label), memory)
