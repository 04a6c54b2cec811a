"""Task inference: the chain's mathematics, windows, contexts, and worlds in which the games are known."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest

from envs.atari import AtariBatch, AtariSettings
from envs.schedule import Listed, Visit
from envs.stream import GameStream
from envs.timestep import TimeStep
from taskid.forget_me_not import Filter, ForgetMeNot, predict, update
from taskid.forget_me_not_settings import DEFAULT, PAPER, ForgetMeNotSettings
from taskid.pixels import PixelModels, Window, images
from taskid.source import TaskSource
from taskid.sources.single import SingleTask
from taskid.sources.true_labels import TrueLabels
from tests.conformance.alike import assert_alike, difference
from tests.envs.helpers import random_actions

# -- a world of noisy random games -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Shown:
    """What is on screen: a game, and which emulators begin an episode."""

    game: int
    first: tuple[bool, ...]


def game_picture(game: float) -> np.ndarray:
    """uint8 [84, 84]. Game 2.5 is game 2 with a quarter of its pixels as in game 3."""
    coarse = np.random.default_rng([1, int(game)]).integers(0, 256, (42, 42))
    if game % 1:
        other = np.random.default_rng([1, int(game) + 1]).integers(0, 256, (42, 42))
        coarse = np.where(np.arange(42)[:, None] % 4 == 0, other, coarse)
    return coarse.repeat(2, 0).repeat(2, 1).astype(np.uint8)


def time_step(shown: Shown, rng: np.random.Generator, noisy: float) -> TimeStep:
    """The game's image for every emulator, each with a share of its pixels at random."""
    count = len(shown.first)
    noise = rng.integers(0, 256, (count, 4, 84, 84))
    lit = (rng.random((count, 4, 42, 42)) < noisy).repeat(2, 2).repeat(2, 3)
    observation = np.where(lit, noise, game_picture(shown.game)).astype(np.uint8)
    ones = np.ones(count, np.float32)
    return TimeStep(observation, 0 * ones, ones, np.array(shown.first))


def visit(game: float, steps: int, count: int = 4, begins: bool = True) -> list[Shown]:
    """One episode of `steps` steps in all emulators."""
    return [Shown(game, (begins and t == 0,) * count) for t in range(steps)]  # type: ignore[arg-type]


def world(script: Iterable[Shown], seed: int = 0, noisy: float = 0.05) -> Iterator[TimeStep]:
    """The time steps of a script."""
    rng = np.random.default_rng(seed)
    return (time_step(each, rng, noisy) for each in script)


def chaos(seed: int, steps: int, count: int, games: int = 4) -> list[Shown]:
    """Episodes of every length from one step on, some begun by all emulators and some only by a few."""
    rng = np.random.default_rng(seed)
    script: list[Shown] = []
    while len(script) < steps:
        begun = rng.random(count) < 0.5 if rng.random() < 0.3 else np.ones(count, bool)
        game, length = int(rng.integers(games)), int(rng.integers(1, 20))
        script += [Shown(game, tuple(bool(b) and t == 0 for b in begun)) for t in range(length)]
    return script[:steps]


def assigned_tasks(source: TaskSource, steps: Iterable[TimeStep]) -> list[int]:
    """The tasks of all assigned steps, in order."""
    return [task for now in steps for task in source.infer(now).assigned]


# -- the chain -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("states", [1, 2, 3, 7])
@pytest.mark.parametrize("alpha", [0.0, 1e-6, 0.1, 0.5, 0.9])
def test_prediction_is_the_product_with_the_transition_matrix(states: int, alpha: float) -> None:
    p = np.random.default_rng(states).dirichlet(np.ones(states))
    gamma = np.full((states, states), alpha / max(1, states - 1))
    np.fill_diagonal(gamma, 1 - alpha if states > 1 else 1)
    found = predict(np.log(p), alpha)
    assert np.exp(found) == pytest.approx(p @ gamma, rel=1e-12)
    assert np.exp(found).sum() == pytest.approx(1, rel=1e-12)
    if alpha == 0:
        assert_alike(found, np.log(p))


def test_prediction_revives_what_had_become_impossible() -> None:
    certain = np.array([-np.inf, 0.0, -5000.0])
    assert np.exp(predict(certain, 0.2)) == pytest.approx([0.1, 0.8, 0.1], rel=1e-12)


def test_update_is_the_rule_of_bayes() -> None:
    rng = np.random.default_rng(0)
    for states in (1, 2, 5):
        prior, likelihood = rng.dirichlet(np.ones(states)), rng.random(states)
        expected = prior * likelihood / (prior * likelihood).sum()
        assert np.exp(update(np.log(prior), np.log(likelihood))) == pytest.approx(expected, rel=1e-12)


def test_update_bears_likelihoods_that_no_float_can_hold() -> None:
    found = update(np.log([0.2, 0.3, 0.5]), np.array([-1e5, -1e5 - 3, -2e5]))
    assert np.isfinite(found).all() and np.exp(found).sum() == pytest.approx(1, rel=1e-10)
    assert found[1] - found[0] == pytest.approx(np.log(0.3 / 0.2) - 3, rel=1e-9)
    assert found[2] == pytest.approx(-1e5, rel=1e-3)


@pytest.mark.parametrize("settings", [DEFAULT, PAPER], ids=["default", "paper"])
def test_the_posterior_is_that_of_the_whole_chain(settings: ForgetMeNotSettings) -> None:
    """Against the recursion written out with matrices in logs, for models that stay as they are."""
    models = PixelModels(settings.levels, settings.concentration, settings.base, settings.max_effective_count)
    for number in range(3):
        window = Window(settings.levels)
        for now in world(visit(number, 3)):
            models.read(window, images(now.observation, settings.levels))
        models.keep(number, window)
    chain, expected = Filter(settings), np.log([0.4, 0.3, 0.2, 0.1])
    chain.log_posterior = expected.copy()
    window, observed = Window(settings.levels), 0
    for t, now in enumerate(world([*visit(0, 3), *visit(1, 8), *visit(0.5, 8), *visit(7, 10)])):
        if settings.episode_start_only and now.first.all():
            window.clear()
        looks = window.images < 16 if settings.episode_start_only else t % 4 == 0
        if looks:
            observed += 1
            alpha = 1 / observed if settings is PAPER else 0.1 if now.first.all() else 0.0
            with np.errstate(divide="ignore"):
                gamma = np.log(np.full((4, 4), alpha / 3) + np.eye(4) * (1 - alpha - alpha / 3))
            expected = np.logaddexp.reduce(expected[:, None] + gamma, axis=0)
            expected = expected + models.read(window, images(now.observation, settings.levels))
            expected = expected - np.logaddexp.reduce(expected)
        if chain.step(now, models):
            chain.close()
        assert chain.log_posterior == pytest.approx(expected, rel=1e-9, abs=1e-9)
        if not settings.episode_start_only and t % 16 == 12:
            window.clear()
    assert observed == (15 if settings.episode_start_only else 8)  # the first window is cut short


@pytest.mark.parametrize("settings", [DEFAULT, PAPER, replace(DEFAULT, max_contexts=2)])
def test_the_posterior_is_normalised_at_every_step(settings: ForgetMeNotSettings) -> None:
    source = ForgetMeNot(settings)
    for now in world(chaos(3, 90, 2)):
        source.infer(now)
        assert np.logaddexp.reduce(source.filter.log_posterior) == pytest.approx(0, abs=1e-9)
        assert not np.isnan(source.filter.log_posterior).any() and 0 <= source.posterior <= 1
        assert len(source.filter.log_posterior) == source.models.count + 1


# -- worlds in which the games are known -----------------------------------------------------------------------


def test_each_game_becomes_one_context_and_is_found_again() -> None:
    source, order = ForgetMeNot(DEFAULT), [0, 1, 2, 0, 3, 1, 1, 3, 2, 0]
    script = [shown for game in order for shown in visit(game, 9)]
    assert assigned_tasks(source, world(script)) == [shown.game for shown in script]  # numbered as they appear
    assert source.num_tasks == 4 and source.posterior == pytest.approx(1, abs=1e-6)


def test_games_are_found_also_where_emulators_begin_episodes_on_their_own() -> None:
    """An episode of a single emulator's is no place where the game can change."""
    source = ForgetMeNot(DEFAULT)
    begun = [tuple(first.tolist()) for first in np.random.default_rng(1).random((30, 4)) < 0.4 if not first.all()]
    assert len(begun) > 20
    for game in (0, 1, 0):
        script = visit(game, 6) + [Shown(game, first) for first in begun]
        assert assigned_tasks(source, world(script, game)) == [game] * len(script)


@pytest.mark.parametrize("first", [(False,) * 4, (True, True, False, True)])
def test_without_a_common_beginning_the_task_never_changes(first: tuple[bool, ...]) -> None:
    source = ForgetMeNot(DEFAULT)
    assigned_tasks(source, world(visit(0, 10)))
    before = source.models.state_dict()
    for now in world([Shown(1, first)] * 20):  # another image altogether
        answer = source.infer(now)
        assert (answer.task, answer.assigned) == (0, (0,))
    assert source.num_tasks == 1
    assert_alike(source.models.state_dict(), before)


@pytest.mark.parametrize(("count", "length"), [(1, 12), (2, 6), (3, 4), (4, 4), (5, 4), (8, 4)])
def test_fewer_emulators_take_longer_windows(count: int, length: int) -> None:
    source = ForgetMeNot(DEFAULT)
    for expected, game in enumerate((0, 1)):
        sizes = [len(source.infer(now).assigned) for now in world(visit(game, length + 3, count))]
        assert sizes == [0] * (length - 1) + [length, 1, 1, 1]
        assert source.models.seen[expected] == length * count


def test_while_in_doubt_the_task_stays_what_it_was() -> None:
    source = ForgetMeNot(DEFAULT)
    tasks = [source.infer(now).task for now in world([*visit(0, 8), *visit(1, 8), *visit(0, 8)])]
    assert tasks == [0] * (8 + 3) + [1] * (5 + 3) + [0] * 5


def test_the_papers_model_finds_games_that_look_different_and_is_told_of_no_beginning() -> None:
    source, order = ForgetMeNot(PAPER), [0, 1, 0, 2, 1, 0]
    script = visit(0, 13, 2, begins=False)  # the first window has nothing before its first observation
    script += [shown for game in order for shown in visit(game, 32, 2, begins=False)]
    answers = [source.infer(now) for now in world(script)]
    sizes = [len(answer.assigned) for answer in answers]
    assert [t for t, size in enumerate(sizes) if size] == list(range(12, len(script), 16))
    assert [size for size in sizes if size] == [13] + [16] * 12
    assert [task for answer in answers for task in answer.assigned] == [shown.game for shown in script]
    assert source.num_tasks == 3
    assert source.models.seen.tolist() == [4 * 2 * n for n in (7, 4, 2)]  # windows of four observations


def test_a_window_leaves_all_contexts_but_one_as_they_were() -> None:
    source = ForgetMeNot(replace(DEFAULT, max_effective_count=0.0))
    assigned_tasks(source, world([shown for game in (0, 1, 2) for shown in visit(game, 6)]))
    for game in (1, 0, 3, 2):
        before = source.models.counts.copy()
        steps = list(world(visit(game, 4), seed=10 + game))
        assert assigned_tasks(source, steps) == [game] * 4
        others = [k for k in range(before.shape[1]) if k != game]
        assert_alike(source.models.counts[:, others], before[:, others])
        seen = Window(DEFAULT.levels)
        for now in steps:
            source.models.read(seen, images(now.observation, DEFAULT.levels))
        own = before[:, game] if game < before.shape[1] else 0
        assert_alike(source.models.counts[:, game].copy(), own + seen.counts)


def test_in_an_undecided_window_no_context_changes() -> None:
    source = ForgetMeNot(DEFAULT)
    assigned_tasks(source, world([*visit(0, 6), *visit(1, 6)]))
    before = source.models.state_dict()
    assert assigned_tasks(source, world(visit(2, 3))) == []
    assert_alike(source.models.state_dict(), before)


def test_when_no_context_may_be_added_the_one_that_explains_best_is_taken() -> None:
    source = ForgetMeNot(replace(DEFAULT, max_contexts=3))
    order, expected = [0, 2, 5, 2.5, 0.5, 5.5, 5, 0], [0, 1, 2, 1, 0, 2, 2, 0]
    script = [visit(game, 5) for game in order]
    tasks = assigned_tasks(source, world(shown for each in script for shown in each))
    assert tasks == [task for task in expected for _ in range(5)]
    assert source.num_tasks == source.models.count == 3
    unbounded = ForgetMeNot(replace(DEFAULT, max_contexts=0))
    assigned_tasks(unbounded, world(shown for each in script for shown in each))
    assert unbounded.num_tasks > 3  # so the bound did decide


# -- what is assigned when --------------------------------------------------------------------------------------

ENDLESS = replace(DEFAULT, max_effective_count=0.0)
SHORT = replace(ENDLESS, window=1, window_images=0)
SPARSE = replace(ENDLESS, period=3, window=2, window_images=0)
ASSIGNED = [
    *[(settings, count) for settings in (ENDLESS, SHORT, SPARSE) for count in (1, 3)],
    (PAPER, 2),
    (replace(PAPER, levels=16, period=1, window=3), 1),
]


def windows(script: Sequence[Shown], settings: ForgetMeNotSettings) -> list[tuple[int, int]]:
    """(first step, step of the decision) of every window, from the beginnings alone."""
    found, count, steps = [], len(script[0].first), len(script)
    needed = max(settings.window, -(-settings.window_images // count))  # observations
    if not settings.episode_start_only:
        ends = range((needed - 1) * settings.period, steps, needed * settings.period)
        return list(zip([0, *(end + 1 for end in ends)], ends, strict=False))
    begins = [t for t, shown in enumerate(script) if all(shown.first)]
    for begin, following in zip(begins, [*begins[1:], steps], strict=True):
        end = begin + (needed - 1) * settings.period
        if end < following:
            found.append((begin, end))
        elif following < steps:  # cut short: decided as the next one begins
            found.append((begin, following))
    return found


@pytest.mark.parametrize(("settings", "count"), ASSIGNED)
def test_every_step_is_assigned_once_in_order_with_its_windows_task(settings: ForgetMeNotSettings, count: int) -> None:
    script = chaos(count, 120, count)
    source = ForgetMeNot(settings)
    assigned: list[int] = []
    when: list[int] = []
    before = source.models.seen.copy()
    decided: list[int] = []  # the context that grew, once per window
    for t, now in enumerate(world(script)):
        answer = source.infer(now)
        assigned += answer.assigned
        when += [t] * len(answer.assigned)
        assert len(assigned) + source.waiting == t + 1
        assert answer.task == source.task < source.num_tasks
        seen = source.models.seen.copy()
        grew = np.flatnonzero(seen - np.pad(before, (0, len(seen) - len(before))))
        assert len(grew) <= 1
        decided += [int(k) for k in grew]
        before = seen
        if answer.assigned:
            assert answer.assigned[-1] == answer.task
    expected = list(range(len(script)))  # a step outside all windows is assigned at once
    spans = windows(script, settings)
    for begin, end in spans:
        cut_short = settings.episode_start_only and end > begin and all(script[end].first)
        last = end - 1 if cut_short else end
        expected[begin : last + 1] = [end] * (last + 1 - begin)
        assert len(set(assigned[begin : last + 1])) == 1
    assert len(spans) > 4 and when == expected[: len(when)]
    assert decided == [assigned[begin] for begin, _ in spans]


@pytest.mark.parametrize("settings", [DEFAULT, PAPER], ids=["default", "paper"])
def test_without_holding_back_every_step_is_assigned_at_once_to_the_task_acted_in(
    settings: ForgetMeNotSettings,
) -> None:
    script = chaos(7, 90, 3)
    holding, source = ForgetMeNot(settings), ForgetMeNot(replace(settings, defer_storage=False))
    acted = []
    for now in world(script):
        answer = source.infer(now)
        acted.append(holding.infer(now).task)
        assert (answer.task, answer.assigned) == (acted[-1], (acted[-1],))
    assert len(set(acted)) > 2
    assert_alike(source.state_dict(), holding.state_dict())


@pytest.mark.parametrize("source", [TrueLabels(lambda: "pong"), SingleTask()], ids=["true labels", "single"])
def test_sources_without_doubt_assign_every_step_at_once(source: TaskSource) -> None:
    for now in world(chaos(0, 30, 2)):
        answer = source.infer(now)
        assert (answer.task, answer.assigned) == (0, (0,))


def test_before_the_first_beginning_everything_is_task_zero() -> None:
    source = ForgetMeNot(DEFAULT)
    assert assigned_tasks(source, world(visit(3, 5, begins=False))) == [0] * 5
    assert (source.num_tasks, source.models.count) == (1, 0)
    assert assigned_tasks(source, world(visit(3, 5))) == [0] * 5
    assert (source.num_tasks, source.models.count) == (1, 1)


@pytest.mark.parametrize("settings", [DEFAULT, PAPER], ids=["default", "paper"])
@pytest.mark.parametrize("waiting", [0, 3])
def test_a_restart_keeps_the_contexts_and_drops_the_open_window(settings: ForgetMeNotSettings, waiting: int) -> None:
    source = ForgetMeNot(settings)
    assigned_tasks(source, world(visit(0, 13, begins=settings.episode_start_only) + visit(1, 16)))
    assigned_tasks(source, world(visit(2, waiting)))
    assert source.waiting == waiting
    before = source.models.state_dict()
    source.restart()
    assert_alike(source.models.state_dict(), before)
    assert source.waiting == source.filter.observations == source.filter.window.images == 0
    assigned = assigned_tasks(source, world([*visit(1, 32), *visit(3, 32), *visit(0, 32)]))
    assert len(assigned) + source.waiting == 96
    if settings is DEFAULT:
        assert assigned == [1] * 32 + [2] * 32 + [0] * 32


# -- recognition -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("settings", "noisy"), [(DEFAULT, 0.05), (PAPER, 0.01)], ids=["default", "paper"])
@pytest.mark.parametrize("count", [1, 5])
def test_games_are_recognised_from_the_first_step_and_nothing_is_learned(
    settings: ForgetMeNotSettings, noisy: float, count: int
) -> None:
    source = ForgetMeNot(settings)
    begin = visit(0, 13, begins=settings.episode_start_only)
    assigned_tasks(source, world(begin + [shown for game in (1, 2) for shown in visit(game, 16)], noisy=noisy))
    assigned_tasks(source, world(visit(1, 2), 5, noisy))  # a window is open
    before, task = source.state_dict(), source.task
    for game, expected in ((0, 0), (1, 1), (2, 2), (3, None), (4, None), (1, 1)):
        recogniser = source.recogniser("the name does not matter")
        for now in world(visit(game, 40, count), 20 + game, noisy):
            assert recogniser.identify(now) == expected
            assert 0 <= recogniser.posterior <= 1
        assert recogniser.posterior == pytest.approx(1, abs=1e-6)
    assert_alike(source.state_dict(), before)
    assert source.task == task and source.num_tasks == 3


@pytest.mark.parametrize("settings", [DEFAULT, PAPER], ids=["default", "paper"])
def test_beforehand_all_contexts_and_the_unknown_are_equally_probable(settings: ForgetMeNotSettings) -> None:
    source = ForgetMeNot(settings)
    assigned_tasks(source, world([*visit(0, 13, begins=settings.episode_start_only), *visit(1, 16)]))
    recogniser, window = source.recogniser(""), Window(settings.levels)
    expected, observed = np.log([1 / 3] * 3), source.filter.observed
    for t, now in enumerate(world(visit(0.5, 9))):
        recogniser.identify(now)
        if t in (0, 4, 8) or (settings is DEFAULT and t < 4):
            alpha = 1 / (observed + 1 + t // 4) if settings is PAPER else 0.1 if t == 0 else 0.0
            if t and alpha:
                p = np.exp(expected)
                expected = np.log((1 - alpha) * p + alpha / 2 * (1 - p))
            if settings is PAPER or t < 4:  # the only window of the default
                expected = expected + source.models.read(window, images(now.observation, settings.levels))
                expected = expected - np.logaddexp.reduce(expected)
        assert recogniser.filter.log_posterior == pytest.approx(expected, rel=1e-9, abs=1e-9)
        assert recogniser.posterior == pytest.approx(np.exp(expected.max()), rel=1e-9)


@pytest.mark.parametrize("settings", [DEFAULT, PAPER], ids=["default", "paper"])
def test_before_anything_was_met_nothing_is_recognised(settings: ForgetMeNotSettings) -> None:
    source = ForgetMeNot(settings)
    fresh, opened = source.recogniser(""), ForgetMeNot(settings)
    opened.infer(next(world(visit(0, 1))))
    for recogniser in (fresh, opened.recogniser("")):
        for now in world(visit(0, 20)):
            assert recogniser.identify(now) is None
            assert recogniser.posterior == pytest.approx(1)


def test_a_recogniser_looks_again_where_all_emulators_begin() -> None:
    source = ForgetMeNot(DEFAULT)
    assigned_tasks(source, world([*visit(0, 6), *visit(1, 6)]))
    recogniser = source.recogniser("")
    answers = [recogniser.identify(now) for now in world([*visit(0, 6), *visit(1, 6, begins=False), *visit(1, 6)])]
    assert answers == [0] * 12 + [1] * 6


# -- determinism -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [DEFAULT, PAPER], ids=["default", "paper"])
def test_what_sees_the_same_says_the_same_whatever_the_order_of_the_emulators(settings: ForgetMeNotSettings) -> None:
    a, b, shuffled = ForgetMeNot(settings), ForgetMeNot(settings), ForgetMeNot(settings)
    rng = np.random.default_rng(0)
    for now in world(chaos(5, 60, 3)):
        order = rng.permutation(3)
        answer = a.infer(now)
        assert_alike(answer, b.infer(now))
        assert_alike(answer, shuffled.infer(TimeStep(*(getattr(now, n)[order] for n in TimeStep.__slots__))))
        assert a.posterior == b.posterior == shuffled.posterior
    assert_alike(a.state_dict(), b.state_dict())
    assert_alike(a.state_dict(), shuffled.state_dict())
    other = ForgetMeNot(settings)
    assigned_tasks(other, world(chaos(5, 60, 3), seed=1))
    assert difference(a.state_dict(), other.state_dict())


# -- real games ------------------------------------------------------------------------------------------------

GAMES = ("breakout", "pong", "asteroids", "space_invaders", "demon_attack", "enduro")
STEPS = 40


def played(games: Sequence[str], count: int, steps: int, seed: int) -> Iterator[tuple[str, TimeStep]]:
    """(game, time step) of visits of so many vector steps each, under random play."""
    schedule = Listed(tuple(Visit(game, steps * 4 * count) for game in games))
    stream = GameStream(schedule, lambda game, s: AtariBatch(game, count, s, AtariSettings(threads=1)), seed, 10**6)
    yield schedule.visit(0).game, stream.start()
    for action in random_actions(seed, steps * len(games) - 1, count):
        now = stream.step(action)
        yield stream.label, now
    stream.close()


@pytest.mark.parametrize(("count", "window"), [pytest.param(4, 4, marks=pytest.mark.slow), (1, 12)])
def test_atari_games_are_told_apart_and_found_again(count: int, window: int) -> None:
    source, order = ForgetMeNot(DEFAULT), (*GAMES, *sorted(GAMES))
    shown: list[int] = []
    assigned: list[int] = []
    for t, (game, now) in enumerate(played(order, count, STEPS, seed=count)):
        answer = source.infer(now)
        shown.append(GAMES.index(game))
        assigned += answer.assigned
        if t % STEPS >= window - 1:
            assert answer.task == shown[-1], f"step {t % STEPS} of {game}"
    assert source.num_tasks == len(GAMES) and assigned == shown


@pytest.mark.parametrize("game", ["boxing", "road_runner"])
def test_a_mirrored_game_was_never_met(game: str) -> None:
    source, window = ForgetMeNot(DEFAULT), 6  # steps of two emulators
    assert set(assigned_tasks(source, (now for _, now in played([game], 2, window, seed=1)))) == {0}
    told, mirrored = source.recogniser(game), source.recogniser(game)
    mirrors = []
    for t, (_, now) in enumerate(played([game], 2, 12, seed=2)):
        mirrors.append(replace(now, observation=now.observation[..., ::-1]))
        answers = told.identify(now), mirrored.identify(mirrors[-1])
        assert answers[0] == 0
        if t >= window - 1:  # Road Runner begins on a screen with hardly a left and a right
            assert answers[1] is None
    assert assigned_tasks(source, mirrors) == [1] * len(mirrors)
