"""What every consolidator holds to, those of the registry by themselves; stores of anchors by their equation too."""

from __future__ import annotations

import ast
import copy
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from agent.anchors.anchored import AnchoredConsolidator
from agent.anchors.normalised import NormalisedFishers
from agent.anchors.online import OnlineEWC
from agent.anchors.steps import PenaltyGradient, ProximalStep
from agent.consolidators.ewc import EWC
from agent.consolidators.ewc_all import EWCOfAll
from agent.consolidators.l2 import L2
from agent.consolidators.laplace import RecursiveLaplace
from agent.consolidators.none import NoConsolidation
from agent.fast.optimizers import make_optimizer
from agent.gaussian import DiagonalGaussian
from agent.roles import AnchorStore
from configs.choices import CONSOLIDATORS
from tests.agent.anchors.worlds import (
    SHAPES,
    Left,
    assert_pays,
    fisher_of,
    floored,
    joined_by,
    latest,
    leave_all,
    make,
    units_of,
    weights_at,
)
from tests.agent.learners import OPTIMIZERS, consolidate, make_batch, make_learner
from tests.conformance.alike import assert_alike, difference, through_a_file
from tests.conformance.test_imports import ROOT
from tracking.checkpoints import Checkpoints

STEPS = [PenaltyGradient(), ProximalStep()]
DAMPING = 0.5
Anchors = list[tuple[list[Any], list[Any]]]


@dataclass(frozen=True)
class Case:
    """A store, and the equation of its penalty: what tasks have left, in order, and the task that is played -> the
    (weights, Fisher) of all quadratics whose sum it is. `per_task`: it has an anchor for every task."""

    make: Callable[[], AnchorStore]
    anchors: Callable[[list[Left], int], Anchors]
    per_task: bool = True


# -- equations ---------------------------------------------------------------------------------------------------


def measured(each: Left) -> list[Any]:
    return each.fisher


def damped(each: Left) -> list[Any]:
    return floored(each.fisher, joined_by(each.units), DAMPING)


def spread(each: Left) -> list[Any]:
    return [torch.full_like(f, mean(each.fisher)) for f in each.fisher]


def normalised(each: Left) -> list[Any]:
    return [f / mean(each.fisher) for f in each.fisher]


def mean(fisher: list[Any]) -> float:
    return float(torch.cat([f.flatten() for f in fisher]).double().mean())


def separate(fisher: Callable[[Left], list[Any]], active: bool = False) -> Callable[[list[Left], int], Anchors]:
    """Every task's latest anchor, but for the active one's, where it was left."""
    return lambda left, task: [(e.weights, fisher(e)) for t, e in latest(left).items() if active or t != task]


def around_the_latest(fisher: Callable[[Left], list[Any]]) -> Callable[[list[Left], int], Anchors]:
    """The same around the weights of the latest departure of all."""
    return lambda left, task: [(left[-1].weights, fisher(e)) for t, e in latest(left).items() if t != task]


def running(decay: float, damping: float = 0.0) -> Callable[[list[Left], int], Anchors]:
    """One decaying sum around the latest weights, damped between the units that any task has used."""

    def anchors(left: list[Left], task: int) -> Anchors:
        total = [torch.zeros(shape) for shape in SHAPES]
        for each in left:
            total = [decay * old + new for old, new in zip(total, each.fisher, strict=True)]
        units = [torch.stack(layer).any(0) for layer in zip(*(each.units for each in left), strict=True)]
        return [(left[-1].weights, floored(total, joined_by(units), damping))]

    return anchors


STORES = {
    "ewc": Case(EWC, separate(measured)),
    "ewc, all": Case(EWCOfAll, separate(measured, active=True)),
    "ewc, damped": Case(lambda: EWC(DAMPING), separate(damped)),
    "ewc, normalised": Case(lambda: NormalisedFishers(EWC()), separate(normalised)),
    "l2": Case(L2, separate(spread)),
    "online": Case(lambda: OnlineEWC(0.7), running(0.7), per_task=False),
    "online, damped": Case(lambda: OnlineEWC(0.7, DAMPING), running(0.7, DAMPING), per_task=False),
    "laplace": Case(RecursiveLaplace, around_the_latest(measured)),
    "laplace, damped": Case(lambda: RecursiveLaplace(DAMPING), around_the_latest(damped)),
    "laplace, normalised": Case(lambda: NormalisedFishers(RecursiveLaplace()), around_the_latest(normalised)),
}
every_store = pytest.mark.parametrize("kind", STORES)
every_kind_with_lambda = pytest.mark.parametrize(  # of the registry; the others have a strength of their own, or none
    "kind", [kind for kind, each in CONSOLIDATORS.items() if "ewc_lambda" in inspect.signature(each.make).parameters]
)


def of_kind(kind: str, step: Any = STEPS[1], ewc_lambda: float = 37.0, seed: int = 0) -> Any:
    """A consolidator of the registry with the defaults of its settings, around weights of this seed."""
    settings = CONSOLIDATORS[kind].settings
    parts = {"weights": weights_at(seed), "step": step, "ewc_lambda": ewc_lambda, "fisher_damping": DAMPING}
    return CONSOLIDATORS.build(kind, settings() if settings else None, **parts)


MADE: dict[str, Callable[..., Any]] = {
    **{name: lambda seed=0, case=case: make(case.make(), ProximalStep()) for name, case in STORES.items()},
    "ewc, gradient": lambda seed=0: make(EWC(), PenaltyGradient()),
    **{f"kind {kind}": lambda seed=0, kind=kind: of_kind(kind, seed=seed) for kind in CONSOLIDATORS},
}


def test_every_store_of_ours_has_an_equation() -> None:
    """They are the classes of agent/anchors and agent/consolidators that keep what a task leaves."""
    classes = [
        node
        for folder in ("anchors", "consolidators")
        for path in Path(ROOT, "agent", folder).glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
    ]
    found = {node.name for node in classes if "factors" in {getattr(item, "name", "") for item in node.body}}
    with_equation = {type(case.make()).__name__ for case in STORES.values()}
    registered = {type(getattr(of_kind(kind), "store", None)).__name__ for kind in CONSOLIDATORS}
    assert found - with_equation <= registered  # a new one is held to all laws but that of an equation of its own
    assert with_equation >= {"EWC", "EWCOfAll", "NormalisedFishers", "OnlineEWC", "RecursiveLaplace", "L2"}


# -- the penalty -------------------------------------------------------------------------------------------------


@every_store
def test_the_penalty_and_its_gradient_are_those_of_its_equation(kind: str) -> None:
    """After first departures and revisits, for a task that was left, for one that was not, and for none."""
    consolidator, left = make(STORES[kind].make()), []
    for seed, task in enumerate([0, 2, 0, 1, 1, 5, 0], 1):
        left += leave_all(consolidator, [task], first_seed=seed)
        for active in (0, 1, 2, 7, -1):
            consolidator.enter(active)
            assert_pays(consolidator, STORES[kind].anchors(left, active))


@every_store
def test_before_any_departure_nothing_is_penalised(kind: str) -> None:
    consolidator = make(STORES[kind].make())
    for task in (0, 1):
        consolidator.enter(task)
        assert_pays(consolidator, [])
        assert consolidator.penalty(weights_at(3)).item() == 0.0


def test_on_a_single_task_all_but_l2_agree() -> None:
    merged = []
    for kind in ("ewc", "online", "laplace"):
        consolidator = make(STORES[kind].make())
        leave_all(consolidator, [0])
        consolidator.enter(1)
        merged.append(consolidator.merged)
    assert_alike(merged[0], merged[1])
    assert_alike(merged[0], merged[2])


@pytest.mark.parametrize("step", STEPS)
@every_store
def test_with_strength_nought_nothing_moves(kind: str, step: Any) -> None:
    consolidator, weights = make(STORES[kind].make(), step, ewc_lambda=0.0), weights_at(5)
    leave_all(consolidator, [0, 1])
    consolidator.enter(2)
    assert any((p > 0).any() for p in consolidator.merged.precision)
    before = copy.deepcopy(weights)
    for w in weights:
        w.grad = torch.ones_like(w)
    consolidator.before_step(weights)
    consolidator.after_step(weights, lambda: [torch.ones_like(w) for w in weights])
    for w, b in zip(weights, before, strict=True):
        assert torch.equal(w, b) and (w.grad == 1).all()


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("step", STEPS)
@every_kind_with_lambda
def test_with_strength_nought_an_optimizer_moves_as_without_consolidation_bit_for_bit(
    kind: str, step: Any, optimizer: str
) -> None:
    consolidator = of_kind(kind, step, ewc_lambda=0.0)
    leave_all(consolidator, [0, 1])
    consolidator.enter(2)
    worlds: list[Any] = []
    for each in (consolidator, NoConsolidation()):
        weights = weights_at(5)
        built = make_optimizer(optimizer, weights, learning_rate=0.1, epsilon=0.01, decay=0.9)
        for seed in range(5):
            for w, g in zip(weights, weights_at(seed), strict=True):
                w.grad = g.detach().clone()
            each.before_step(weights)
            each.step(built)
        worlds.append([weights, built.state_dict()])
    assert_alike(worlds[0], worlds[1])


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("step", STEPS)
def test_with_strength_nought_a_learner_learns_as_without_consolidation_bit_for_bit(optimizer: str, step: Any) -> None:
    plain, held = make_learner(optimizer=optimizer), make_learner(optimizer=optimizer)
    consolidator = consolidate(held, step, 0.0)
    for seed in range(4):
        batch = make_batch(4, seed)
        assert_alike(held.learn(batch, seed % 2, consolidator), plain.learn(batch, seed % 2, NoConsolidation()))
    assert_alike(held.state_dict(), plain.state_dict())


# -- what is kept ------------------------------------------------------------------------------------------------


@every_store
def test_what_is_kept_is_a_copy(kind: str) -> None:
    """Neither what it was given nor what it merged into is shared with it."""
    consolidator, weights, fisher, units = make(STORES[kind].make()), weights_at(1), fisher_of(1), units_of(1)
    consolidator.leave(0, weights, lambda: fisher, lambda: units)
    consolidator.enter(1)
    before, state = copy.deepcopy(consolidator.merged), copy.deepcopy(consolidator.state_dict())
    with torch.no_grad():
        for each in (*weights, *fisher, *consolidator.merged.mean, *consolidator.merged.precision):
            each.fill_(5.0)
        for each in units:
            each.logical_not_()
    consolidator.enter(1)
    assert_alike(consolidator.merged, before)
    assert_alike(consolidator.state_dict(), state)


@every_store
def test_a_store_tells_what_it_keeps_for_every_task_or_for_none(kind: str) -> None:
    case = STORES[kind]
    store = case.make()
    assert not store.anchors and not store.fishers
    leave_all(make(store), [3, 0, 3])
    assert sorted(store.anchors) == ([0, 3] if case.per_task else [])
    assert set(store.fishers) <= set(store.anchors)
    for anchor in store.anchors.values():
        for part in (anchor.mean, anchor.precision):
            assert [layer.shape for layer in part] == list(map(torch.Size, SHAPES))
    for fisher in store.fishers.values():
        assert [layer.shape for layer in fisher] == list(map(torch.Size, SHAPES))


@pytest.mark.parametrize("kind", [name for name in STORES if "normalised" in name])
def test_a_store_around_another_keeps_what_that_keeps(kind: str) -> None:
    store = STORES[kind].make()
    leave_all(make(store), [0, 1])
    assert isinstance(store, NormalisedFishers) and store.anchors is store.store.anchors
    assert_alike(dict(store.fishers), dict(store.store.fishers))
    assert_alike(store.state_dict(), store.store.state_dict())


# -- its state ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", MADE)
def test_a_restored_consolidator_pays_the_same_and_goes_on_alike(kind: str) -> None:
    whole, resumed = MADE[kind](), MADE[kind](seed=8)  # the weights that it was made around are forgotten
    leave_all(whole, [0, 1, 0, 2])
    whole.enter(1)
    leave_all(resumed, [3])  # is forgotten
    resumed.load_state_dict(through_a_file(whole.state_dict()))
    for seed in (20, 21, 22):
        assert_alike(resumed.state_dict(), whole.state_dict())
        if isinstance(whole, AnchoredConsolidator):
            assert_alike(resumed.merged, whole.merged)
            assert (resumed.constant, resumed.active) == (whole.constant, whole.active)
        examined = [each.diagnostics(weights_at(30), weights_at(31), None) for each in (whole, resumed)]
        assert_alike(examined[0], examined[1])
        for each in (whole, resumed):
            leave_all(each, [seed % 3], seed)
            each.enter(1)


@pytest.mark.parametrize("kind", MADE)
def test_a_segments_name_stands_for_the_same_content_for_ever(kind: str) -> None:
    """Also after a resume, and whatever is left later. All that departures replace is in segments."""
    consolidator, first = MADE[kind](), {}
    for seed, task in enumerate([0, 1, 0, 0, 2, 1, 0], 1):
        leave_all(consolidator, [task], seed)
        segments = consolidator.state_dict().get("segments", {})
        assert kind not in STORES or any(name not in first for name in segments)
        for name, content in segments.items():
            assert_alike(content, first.setdefault(name, copy.deepcopy(content)))
        if seed % 3 == 0:
            state = through_a_file(consolidator.state_dict())
            consolidator = MADE[kind]()
            consolidator.load_state_dict(state)
    rest = {name: value for name, value in consolidator.state_dict().items() if name != "segments"}
    assert not difference(rest, through_a_file(rest)) and not list(tensors(rest))


def tensors(tree: Any) -> list[torch.Tensor]:
    """All in a tree of dicts and lists."""
    if isinstance(tree, torch.Tensor):
        return [tree]
    branches = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list | tuple) else ()
    return [each for branch in branches for each in tensors(branch)]


@every_store
def test_states_share_what_was_left(kind: str) -> None:
    store, twin = STORES[kind].make(), STORES[kind].make()
    leave_all(make(store), [0, 1])
    twin.load_state_dict(store.state_dict())
    held, again, its = ([t.data_ptr() for t in tensors(each.state_dict()["segments"])] for each in (store, store, twin))
    assert held and held == again == its


LEFT = {  # what a checkpoint holds after the departures of 0 and 1, and after one more of 1
    "ewc": ({"task000-000001", "task001-000001"}, {"task000-000001", "task001-000002"}),
    "l2": ({"task000-000001", "task001-000001"}, {"task000-000001", "task001-000002"}),
    "online": ({"running-000002"}, {"running-000003"}),
    "laplace": (
        {"task000-000001", "task001-000001", "latest-000002"},
        {"task000-000001", "task001-000002", "latest-000003"},
    ),
}


def inodes(checkpoint: Path) -> dict[str, int]:
    """{segment: inode of its file}."""
    files = checkpoint.glob("consolidation.*.pt")
    return {file.stem.removeprefix("consolidation."): file.stat().st_ino for file in files}


@pytest.mark.parametrize("resumed", [False, True])
@every_store
def test_a_checkpoint_links_what_stayed_and_writes_what_was_left_anew(kind: str, resumed: bool, tmp_path: Path) -> None:
    """It links from the one before its neighbour."""
    consolidator, checkpoints = make(STORES[kind].make()), Checkpoints(tmp_path, keep=3)
    leave_all(consolidator, [0, 1])
    before = inodes(checkpoints.save(100, {"consolidation": consolidator}))
    beside = inodes(checkpoints.save(150, {"consolidation": consolidator}))
    if resumed:
        consolidator, checkpoints = make(STORES[kind].make()), Checkpoints(tmp_path, keep=3)
        checkpoints.restore_latest({"consolidation": consolidator})
    leave_all(consolidator, [1], first_seed=70)
    consolidator.enter(2)
    after = inodes(checkpoints.save(200, {"consolidation": consolidator}))
    assert (before.keys(), after.keys()) == LEFT[kind.split(",")[0]]
    assert all(before[name] == after[name] != beside[name] for name in before.keys() & after.keys())
    loaded = make(STORES[kind].make())
    Checkpoints(tmp_path).restore_latest({"consolidation": loaded})
    for name in ("merged", "constant", "active"):
        assert_alike(getattr(loaded, name), getattr(consolidator, name))
    assert_alike(loaded.state_dict(), consolidator.state_dict())


# -- consolidators -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", MADE)
def test_a_consolidator_only_measures_when_a_task_is_left_and_at_most_once(kind: str) -> None:
    consolidator, calls = MADE[kind](), []

    def fisher() -> list[torch.Tensor]:
        calls.append("fisher")
        return fisher_of(1)

    consolidator.enter(0)
    report = consolidator.leave(0, weights_at(1), fisher)
    consolidator.enter(1)
    if isinstance(consolidator, AnchoredConsolidator):
        assert len(calls) == 1
    assert len(calls) <= (0 if isinstance(consolidator, NoConsolidation) else 1)
    assert all(type(name) is str and type(value) is float for name, value in report.items())


@pytest.mark.parametrize("kind", MADE)
def test_a_consolidator_touches_gradients_only_if_it_says_so(kind: str) -> None:
    """Where it does not, weights may have none: layers whose gradients the optimizer is handed in another type."""
    consolidator, weights = MADE[kind](), weights_at(9)
    leave_all(consolidator, [0, 1])
    consolidator.enter(2)
    consolidator.before_step(weights)
    assert all((w.grad is not None) == consolidator.adds_to_gradients for w in weights)


@pytest.mark.parametrize("kind", MADE)
def test_to_examine_changes_nothing(kind: str) -> None:
    consolidator, weights, gradients, curvature = MADE[kind](), weights_at(9), fisher_of(3), fisher_of(4)
    leave_all(consolidator, [0, 1])
    consolidator.enter(0)
    before = copy.deepcopy([consolidator.state_dict(), vars(consolidator).get("merged"), weights, gradients, curvature])
    found = consolidator.diagnostics(weights, gradients, curvature)
    assert all(type(value) is float for value in found.values()) and not any(v != v for v in found.values())
    after = [consolidator.state_dict(), vars(consolidator).get("merged"), weights, gradients, curvature]
    assert_alike(after, before)
    if isinstance(consolidator, AnchoredConsolidator):
        assert isinstance(consolidator.merged, DiagonalGaussian) and found["penalty"] > 0
