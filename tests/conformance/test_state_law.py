"""The one law of state: after `b.load_state_dict(a.state_dict())`, b behaves like a, bit for bit, for ever.

One test for every part that has a state. What is special to a part (a life lost on the very last step, a
snapshot sharing its blocks, logs cut at a checkpoint) is tested beside the part: in tests/envs,
tests/replay/test_resume.py and tests/tracking. A new class with a state fails here until it has a case.
"""

from __future__ import annotations

import ast
import copy
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

from agent.anchors.anchored import AnchoredConsolidator
from agent.anchors.normalised import NormalisedFishers
from agent.anchors.online import OnlineEWC
from agent.anchors.steps import PenaltyGradient
from agent.averaging import EVERY, WeightAverage
from agent.consolidators.ewc import EWC
from agent.consolidators.l2 import L2
from agent.consolidators.laplace import RecursiveLaplace
from agent.consolidators.none import NoConsolidation
from agent.diagnostics import PlasticityMonitor
from agent.gaussian import DiagonalGaussian, multiply_into
from agent.learner import QLearner
from agent.networks import Architecture
from agent.recall import Recall
from configs.build import build_agent, build_memory, build_stream
from configs.choices import CONSOLIDATORS, TASK_SOURCES
from configs.schema import Config, ConsolidationConfig, EmulatorConfig, LearnerConfig, ReplayConfig, StreamConfig
from configs.schema import Visit as ConfigVisit
from envs.atari import AtariBatch, AtariSettings
from envs.episodes import EpisodeReturns
from envs.raw_frames import RawFrames
from envs.schedule import Listed, Visit
from envs.stream import GameStream
from envs.timestep import TimeStep
from envs.toy import VARIANTS, CatchBatch
from evaluation.inference_score import InferenceScore
from replay.buffer import ReplayBuffer
from replay.frames import FrameBlock
from replay.pending import PendingRows, Row
from replay.per_task import PerTaskReplay
from taskid.forget_me_not import Filter, ForgetMeNot
from taskid.forget_me_not_settings import DEFAULT, PAPER, ForgetMeNotSettings
from taskid.pixels import PixelModels, Window, images
from taskid.sources.single import SingleTask
from taskid.sources.true_labels import TrueLabels
from tests.agent.anchors.worlds import leave_all, make, units_of, weights_at
from tests.agent.learners import make_batch, make_learner, make_network
from tests.conformance.alike import assert_alike, through_a_file
from tests.conformance.test_consolidators import of_kind
from tests.conformance.test_imports import ALLOWED, ROOT, modules
from tests.conformance.test_task_sources import made
from tests.envs.helpers import random_actions
from tests.replay.streams import Stream
from tracking.metrics import MetricWindow
from training.interact import interact
from training.milestones import Milestones, Request

B = 2


@dataclass(frozen=True)
class Case:
    """One kind of part. `make(seed)`: a fresh one, unlike those of other seeds where the state brings what
    differs. `drive(part, t)`: whatever the part does at time t, the same for all twins; returns what can be
    seen of it. `before`, `after`: steps until and from the snapshot."""

    part: type
    make: Callable[[int], Any]
    drive: Callable[[Any, int], Any]
    before: tuple[int, ...]
    after: int


# -- worlds --------------------------------------------------------------------------------------------------


def _play(part: Any, t: int) -> Any:
    now = part.step(random_actions(t, 1, B)[0])
    return now, getattr(part, "cut", None), getattr(part, "label", None), getattr(part, "frames", None)


def _toys(variant: str) -> Callable[[int], CatchBatch]:
    def make(seed: int) -> CatchBatch:
        batch = CatchBatch(variant, B, seed)
        batch.reset()
        return batch

    return make


def _atari(game: str) -> Callable[[int], AtariBatch]:
    def make(seed: int) -> AtariBatch:
        batch = AtariBatch(game, B, seed, AtariSettings(sticky_actions=0.25, threads=1 + seed))
        batch.reset()
        return batch

    return make


def _stream(seed: int) -> GameStream:
    visits = Listed((Visit("toy_catch", 30 * 4 * B), Visit("toy_avoid", 20 * 4 * B)))
    stream = GameStream(visits, lambda game, s: CatchBatch(game, B, s), seed, 13 * 4 * B)
    stream.start()
    return stream


def _episodes(part: EpisodeReturns, t: int) -> Any:
    stream = Stream(t, B)
    following = stream.step()[2]
    return part.update(following, cut=t % 7 == 0)


def _see(part: RawFrames, t: int) -> Any:
    frame = np.random.default_rng(t).integers(0, 256, (210, 160, 3), np.uint8)
    return part.add(frame, float(t % 5), terminated=t % 17 == 16, truncated=t % 11 == 10)


# -- memory --------------------------------------------------------------------------------------------------


def _row(t: int) -> tuple[Any, np.ndarray, Any]:
    """Row t of one endless stream of time steps; kept, since the stream can only go forwards."""
    while len(_rows) <= t:
        now, action, following = _endless.step()
        _rows.append((copy.deepcopy(now), action, copy.deepcopy(following)))
    return _rows[t]


_endless = Stream(0, B, fill="noise")
_rows: list[tuple[Any, np.ndarray, Any]] = []


def _remember(part: ReplayBuffer, t: int) -> Any:
    part.add(t + t // 17, *_row(t))  # a seam every 17 rows
    batch = part.sample(5, np.random.default_rng(t)) if part.count_sampleable() else None
    return batch, len(part), part.nbytes, part.full_blocks


def _remember_by_task(part: PerTaskReplay, t: int) -> Any:
    """Every ninth step waits with the one before it, and both are assigned with the next."""
    part.defer(*_row(t))
    for _ in range(part.pending if t % 9 < 7 else 0):
        part.assign((t + 1 - part.pending) // 9 % 3)
    task = t // 9 % 3
    batch = part.sample(task, 5, np.random.default_rng(t)) if 3 < t % 9 < 7 else None
    return batch, part.task_ids, part.nbytes, part.pending, [part.size(each) for each in range(4)]


def _append(part: FrameBlock, t: int) -> Any:
    frame = np.random.default_rng(t).integers(0, 3, (8, 8)).astype(np.uint8)
    part.append(frame)
    return len(part), part.nbytes, [bytes(part.read(i)) for i in range(len(part))]


def _queue(part: PendingRows, t: int) -> Any:
    now, action, following = _row(t)
    popped = [part.pop() for _ in range(2 if t % 3 == 2 else 0)]
    part.append(Row(t, now, action, following))
    return len(part), popped


# -- tasks, learner, agent -----------------------------------------------------------------------------------


def _infer(part: Any, t: int) -> Any:
    names = ["krull", "boxing", "pong", "krull", "breakout", "pong"]
    part.label = lambda: names[t // 3 % 6]
    seen = [part.recogniser(name).identify(None) for name in names]
    return part.infer(None), part.num_tasks, seen


def _screen(t: int) -> TimeStep:
    """Step t of a world that shows three noisy pictures in turn, in episodes of different lengths."""
    rng = np.random.default_rng(t)
    coarse = np.random.default_rng(t // 21 % 3).integers(0, 256, (21, 21)).repeat(4, 0).repeat(4, 1)
    noise = rng.integers(0, 256, (B, 4, 84, 84))
    observation = np.where(noise < 8, 99, coarse).astype(np.uint8)
    first = np.full(B, t % 21 in (0, 4, 13))
    return TimeStep(observation, np.zeros(B, np.float32), np.ones(B, np.float32), first)


def _infer_from_screens(part: ForgetMeNot, t: int) -> Any:
    recogniser = part.recogniser("")
    seen = [(recogniser.identify(_screen(each)), recogniser.posterior) for each in (21, 0)] if t % 10 == 0 else []
    return part.infer(_screen(t)), part.num_tasks, part.posterior, part.nbytes, seen


def _filter(settings: ForgetMeNotSettings) -> Case:
    models = PixelModels(settings.levels, settings.concentration, settings.base, settings.max_effective_count)
    for number in range(2):
        window = Window(settings.levels)
        models.read(window, images(_screen(21 * number).observation, settings.levels))
        models.keep(number, window)

    def make(seed: int) -> Filter:
        part = Filter(settings)
        part.log_posterior = np.log(np.full(3, 1 / 3))
        return part

    def drive(part: Filter, t: int) -> Any:
        ends = part.step(_screen(t), models)
        if ends:
            part.close()
        return ends, part.begins(_screen(t)), part.log_posterior.copy()

    return Case(Filter, make, drive, (0, 3, 15, 30), 40)


def _tiny_images(t: int) -> np.ndarray:
    return np.sort(np.random.default_rng(t).integers(0, 3, (1 + t % 2, 5)), axis=0)


def _look(part: Window, t: int) -> Any:
    if t % 7 == 6:
        part.clear()
    part.add(np.arange(5) * 3 + _tiny_images(t))
    return part.counts.copy(), part.images


def _model(part: PixelModels, t: int) -> Any:
    window = Window(3, 5)
    read = part.read(window, _tiny_images(t))
    part.keep(t * t % (min(part.count, 3) + 1), window)
    return read, part.count, part.nbytes, part.base_measure.copy()


def _judge(part: InferenceScore, t: int) -> Any:
    game, task = ("krull", "pong", "boxing")[t // 8 % 3], (t + 3) // 9 % 3
    return part.record(game, task), part.scalars(16)


def _learner(**changes: Any) -> Callable[[int], QLearner]:
    settings = {"max_gradient_norm": 1.0, "target_frames": 30, "tasks": 1, **changes}
    return lambda seed: make_learner(make_network(seed=seed), seed=seed, **settings)


def _learn(part: QLearner, t: int) -> Any:
    if t in (1, 4):
        part.add_task()
    batch, task = make_batch(4, seed=t), t % part.num_tasks
    metrics = part.learn(batch, task, NoConsolidation())
    part.count_frames(12)
    return metrics, part.q_values(batch.observation, task), part.q_values(batch.observation, None), part.learned_frames


def _keep(part: Any, t: int) -> Any:
    merged = DiagonalGaussian.flat(weights_at(0))
    if t % 4:
        fisher = [w.detach().abs() for w in weights_at(t + 1000)]
        part.leave(t % 3, weights_at(t), fisher, units_of(t) if t % 5 else None)
    constants = [multiply_into(merged, part.factors(task)) for task in range(4)]
    return merged, constants, dict(part.anchors), dict(part.fishers)


def _consolidator(store: Callable[[], Any], step: Any) -> Callable[[int], AnchoredConsolidator]:
    return lambda seed: make(store(), step, ewc_lambda=3.0)


def _leave_and_recall(part: Recall, t: int) -> Any:
    """One of three tasks is left at every third step, and something of the others drawn at each."""
    states = torch.randint(256, (20, 2, 3, 3), generator=torch.Generator().manual_seed(t), dtype=torch.uint8)

    def values(observation: torch.Tensor, task: int) -> torch.Tensor:
        return observation.flatten(1)[:, :4].float() + task

    if t % 3 == 0:
        part.leave(t // 3 % 3, part.measure(t // 3 % 3, [states], values))
    drawn = part.draw(t // 3 % 3 + 1)
    return part.agreements(9, values), drawn and (drawn.task, drawn.observation, drawn.values)


def _average(part: WeightAverage, t: int) -> Any:
    """Updates of networks that are functions of t, half as many as to the next look; a new task at every sixth call."""
    if t % 6 == 0:
        part.enter(t // 6 % 2)
    for number in range(EVERY // 2):
        network = make_network(Architecture(((2, 3, 3),), 3), side=6, seed=EVERY * t + number)
        network.add_task()
        network.add_task()
        part.follow(lambda network=network: network, part.task)  # type: ignore[misc]
    part.write(network)
    return part.begun, [each.clone() for each in network.parameters()]


def _consolidate(part: Any, t: int) -> Any:
    """A change of task, some updates, and something of the present state."""
    if t:
        leave_all(part, [(t - 1) % 3], first_seed=t)
    part.enter(t % 3)
    weights = weights_at(t + 1)
    optimizer = torch.optim.SGD(weights, lr=0.1)
    for _ in range(2):
        for w in weights:
            w.grad = torch.ones_like(w)
        part.before_step(weights)
        optimizer.step()
        part.after_step(weights, lambda: [torch.full_like(w, 0.1) for w in weights])
    examined = part.diagnostics(weights, weights_at(t + 2), None)
    return examined, weights, [getattr(part, name, None) for name in ("merged", "constant", "active")]


def _of_kind(kind: str) -> Callable[[int], Any]:
    return lambda seed: of_kind(kind, seed=seed)


def _watch(part: PlasticityMonitor, t: int) -> Any:
    return part(t // 9 % 2, {"cancelled": float(t % 13 > 2), "ratio": 1.0})


class World:
    """The agent in its stream with its memory and its consolidation: the state is that of the four, as in a
    checkpoint. Tasks leave anchors from their first visit on."""

    parts = ("stream", "memory", "agent", "consolidation")

    def __init__(
        self,
        seed: int,
        optimizer: Any,
        tasks: Any = "true_labels",
        subtract_background: bool = False,
        **consolidation: Any,
    ) -> None:
        visits = [ConfigVisit("toy_rise", 30 * 4 * B), ConfigVisit("toy_mirror", 30 * 4 * B)]
        config = Config(
            seed=seed,
            task_source=tasks,
            stream=StreamConfig(order="listed", visits=visits, reseed_frames=50 * B),
            emulators=EmulatorConfig(num_envs=B),
            learner=LearnerConfig(
                network="small",
                precision="float32",
                optimizer=optimizer,
                batch_size=6,
                samples_per_step=1.25,  # some samples are always owed
                n_step=2,
                target_frames=100,
                shift_pixels=2,
                subtract_background=subtract_background,
            ),
            consolidation=ConsolidationConfig(
                **{
                    "ewc_lambda": 100.0,
                    "start_frames": 80 * B,
                    "min_visit_frames": 0,
                    "fisher": "policy",
                    "fisher_batches": 2,
                    **consolidation,
                }
            ),
            replay=ReplayConfig(capacity=60, min_history=20),
        )
        self.stream = build_stream(config)
        self.memory = build_memory(config)
        self.agent = build_agent(config, self.memory, lambda: self.stream.label)
        self.consolidation = self.agent.consolidator
        self.stream.start()

    def state_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name).state_dict() for name in self.parts}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, its in state.items():
            getattr(self, name).load_state_dict(its)


class Backwards(World):
    """Its parts are loaded in the opposite order."""

    parts = World.parts[::-1]


def _live(part: World, t: int) -> Any:
    step = next(interact(part.stream, part.agent))
    return step.action, step.task, step.following, step.updates


# -- the run's own -------------------------------------------------------------------------------------------


def _measure(part: MetricWindow, t: int) -> Any:
    part.add({"loss": torch.tensor(0.1 * t), "x_max": float(t % 5)})
    if t % 3 == 0:
        part.add({f"score{t % 2}": float(t) / 3})
    return part.pop() if t % 6 == 5 else None


def _pass(part: Milestones, t: int) -> Any:
    if t % 3 == 0:
        part.evaluated, part.pending = t, Request(t, t == 6)
    elif t % 3 == 2:
        part.pending = None
    return part.evaluated, part.pending


def _leave(part: Milestones, t: int) -> Any:
    before, part.pending = part.pending, Request(t, False, "krull")
    return before


CASES = {
    **{variant: Case(CatchBatch, _toys(variant), _play, (0, 4, 27), 40) for variant in VARIANTS},
    # Ends, and in breakout and krull lost lives, on both sides of the snapshot.
    "breakout": Case(AtariBatch, _atari("breakout"), _play, (0, 170), 170),
    "krull": Case(AtariBatch, _atari("krull"), _play, (90,), 120),
    "stream": Case(GameStream, _stream, _play, (0, 13, 29, 30, 41), 60),
    "raw frames": Case(RawFrames, lambda seed: RawFrames(), _see, (0, 3, 4, 6, 11), 30),
    "episodes": Case(EpisodeReturns, lambda seed: EpisodeReturns(B), _episodes, (0, 11), 30),
    "ring raw": Case(ReplayBuffer, lambda seed: ReplayBuffer(50, 2, 0.9, 6, False), _remember, (0, 5, 40), 60),
    "ring lz4": Case(ReplayBuffer, lambda seed: ReplayBuffer(50, 3, 0.9, 6, True), _remember, (0, 6, 41), 60),
    "per task": Case(
        PerTaskReplay,
        lambda seed: PerTaskReplay(lambda: ReplayBuffer(40, 2, 0.9, 4), budget_bytes=6000),
        _remember_by_task,
        (0, 20, 70),
        60,
    ),
    "block raw": Case(FrameBlock, lambda seed: FrameBlock(64, False), _append, (0, 5), 6),
    "block lz4": Case(FrameBlock, lambda seed: FrameBlock(64, True), _append, (0, 5), 6),
    "true labels": Case(TrueLabels, lambda seed: TrueLabels(lambda: ""), _infer, (0, 4), 20),
    "single task": Case(SingleTask, lambda seed: SingleTask(), _infer, (0, 4), 10),
    "forget me not": Case(ForgetMeNot, lambda seed: ForgetMeNot(DEFAULT), _infer_from_screens, (0, 2, 20, 46), 40),
    "forget me not, paper": Case(ForgetMeNot, lambda seed: ForgetMeNot(PAPER), _infer_from_screens, (0, 7, 20, 48), 30),
    "filter": _filter(DEFAULT),
    "filter, paper": _filter(PAPER),
    "window": Case(Window, lambda seed: Window(3, 5), _look, (0, 4, 7), 20),
    "pixels": Case(PixelModels, lambda seed: PixelModels(3, 0.5, "uniform", 0.0, 5), _model, (0, 4), 20),
    "pixels, pooled": Case(PixelModels, lambda seed: PixelModels(3, 0.5, "pooled", 6.0, 5), _model, (0, 9), 20),
    "inference score": Case(InferenceScore, lambda seed: InferenceScore(), _judge, (0, 3, 9, 30), 60),
    "pending rows": Case(PendingRows, lambda seed: PendingRows(), _queue, (0, 4, 11), 30),
    "ewc": Case(EWC, lambda seed: EWC(), _keep, (0, 1, 6), 9),
    "ewc, damped": Case(EWC, lambda seed: EWC(0.3), _keep, (6,), 9),
    "l2": Case(L2, lambda seed: L2(), _keep, (6,), 9),
    "online ewc": Case(OnlineEWC, lambda seed: OnlineEWC(0.9), _keep, (0, 1, 6), 9),
    "online ewc, damped": Case(OnlineEWC, lambda seed: OnlineEWC(0.9, 0.3), _keep, (6,), 9),
    "recursive laplace": Case(RecursiveLaplace, lambda seed: RecursiveLaplace(), _keep, (0, 1, 6), 9),
    "normalised": Case(NormalisedFishers, lambda seed: NormalisedFishers(RecursiveLaplace(0.3)), _keep, (6,), 9),
    "consolidator, gradient": Case(
        AnchoredConsolidator,
        _consolidator(lambda: NormalisedFishers(RecursiveLaplace()), PenaltyGradient()),
        _consolidate,
        (7,),
        9,
    ),
    **{
        f"consolidator {kind}": Case(type(of_kind(kind)), _of_kind(kind), _consolidate, (0, 5, 9), 9)
        for kind in CONSOLIDATORS
    },
    "recall": Case(Recall, lambda seed: Recall(16, 3, 1.0), _leave_and_recall, (0, 1, 7), 9),
    "average": Case(WeightAverage, lambda seed: WeightAverage(0.1), _average, (0, 1, 5, 9), 14),
    "plasticity watch": Case(PlasticityMonitor, lambda seed: PlasticityMonitor(patience=4), _watch, (0, 5, 11), 40),
    "learner adam": Case(QLearner, _learner(), _learn, (0, 5), 4),
    "learner rmsprop, shift": Case(QLearner, _learner(optimizer="rmsprop", shift_pixels=4), _learn, (0, 5), 4),
    "agent adam": Case(World, lambda seed: World(seed, "adam"), _live, (0, 17, 30, 44), 40),
    "agent, without backgrounds": Case(
        World, lambda seed: World(seed, "adam", subtract_background=True), _live, (0, 17, 30, 44), 40
    ),
    "agent, loaded backwards": Case(Backwards, lambda seed: Backwards(seed, "adam"), _live, (44,), 40),
    "agent rmsprop": Case(World, lambda seed: World(seed, "rmsprop"), _live, (33,), 40),
    "agent, laplace": Case(World, lambda seed: World(seed, "adam", kind="laplace"), _live, (44,), 40),
    "agent, online ewc": Case(
        World, lambda seed: World(seed, "adam", kind="online_ewc", step="gradient", fisher="td"), _live, (44,), 40
    ),
    # Snapshots with a window open, in the first window of a game met again, and without one.
    "agent, inferred": Case(World, lambda seed: World(seed, "adam", "inferred"), _live, (3, 62, 70), 60),
    "metrics": Case(MetricWindow, lambda seed: MetricWindow(), _measure, (0, 6, 10), 20),
    "milestones": Case(Milestones, lambda seed: Milestones(), _pass, (0, 1, 5), 10),
    "milestones of one game": Case(Milestones, lambda seed: Milestones(), _leave, (1, 2, 6), 3),
}
TWINS = [(name, before) for name, case in CASES.items() for before in case.before]

# Stateful classes whose law has a form of its own, and where it is tested.
ELSEWHERE = {
    "WandbWriter": "tests/conformance/test_writers.py",
    "ContinualAgent": "here, within World",
    "OnlineAgent": "tests/training/test_online.py, with all of its parts",
    "TaskChange": "within ContinualAgent, in tests/integration/test_resume.py",
    "Kept": "here, within Recall",
    "DiagonalGaussian": "here, within the memories of consolidation, and in tests/agent/test_gaussian.py",
    "NullWriter": "has no state",
    "Writers": "tests/tracking/test_writers.py, test_stopped_killed_and_resumed_is_as_uninterrupted",
    "JsonLinesWriter": "the same",
    "CsvWriter": "the same",
    "TensorBoardWriter": "the same",
}


@pytest.mark.parametrize(("name", "before"), TWINS)
def test_a_loaded_twin_behaves_alike(name: str, before: int) -> None:
    case = CASES[name]
    a, b = case.make(0), case.make(1)
    for t in range(before):
        case.drive(a, t)
    snapshot = a.state_dict()
    kept = copy.deepcopy(snapshot)
    b.load_state_dict(through_a_file(snapshot))
    for t in range(before, before + case.after):
        assert_alike(case.drive(a, t), case.drive(b, t))
    assert_alike(a.state_dict(), b.state_dict())
    assert_alike(snapshot, kept)  # driving on did not alter it
    for part in (a, b):
        getattr(part, "close", lambda: None)()


STATELESS = (SingleTask, FrameBlock, NoConsolidation)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.part not in STATELESS])
def test_without_loading_the_twins_differ(name: str) -> None:
    """So the law above says something: what is driven leaves traces that only the state carries over."""
    case = CASES[name]
    before = max(case.before)
    a, b = case.make(0), case.make(1)
    for t in range(before):
        case.drive(a, t)
    with pytest.raises((AssertionError, ValueError, IndexError, KeyError)):
        for t in range(before, before + case.after):
            assert_alike(case.drive(a, t), case.drive(b, t))
        assert_alike(a.state_dict(), b.state_dict())
    for part in (a, b):
        getattr(part, "close", lambda: None)()


def _stateful_classes() -> set[str]:
    """Every class of ours with a state of its own, protocols left out."""
    found = set()
    for package in ALLOWED:
        for path in modules(package):
            for node in ast.walk(ast.parse(path.read_text())):
                if not isinstance(node, ast.ClassDef) or any(getattr(b, "id", "") == "Protocol" for b in node.bases):
                    continue
                methods = {item.name for item in node.body if isinstance(item, ast.FunctionDef)}
                if "state_dict" in methods:
                    found.add(".".join(path.relative_to(ROOT).with_suffix("").parts) + ":" + node.name)
    return found


def test_every_stateful_class_has_a_case() -> None:
    covered = {case.part for case in CASES.values()}
    covered |= {type(getattr(of_kind(kind), "store", None)) for kind in CONSOLIDATORS}
    covered |= {type(made(kind, str)) for kind in TASK_SOURCES}  # see test_task_sources
    for name in _stateful_classes():
        module, class_name = name.split(":")
        part = getattr(importlib.import_module(module), class_name)
        assert part in covered or class_name in ELSEWHERE, f"{name} has a state and no case in this test"
