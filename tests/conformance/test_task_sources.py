"""What every task source of the registry holds to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from configs.choices import TASK_SOURCES
from envs.timestep import TimeStep
from envs.toy import CatchBatch
from tests.conformance.alike import assert_alike, through_a_file
from tests.envs.helpers import random_actions

GAMES = ("toy_rise", "toy_mirror", "toy_rise", "toy_catch")
every_source = pytest.mark.parametrize("kind", TASK_SOURCES)


class Screen:
    """What is on screen, for the oracle."""

    game = ""

    def __call__(self) -> str:
        return self.game


def made(kind: str, label: Callable[[], str]) -> Any:
    settings = TASK_SOURCES[kind].settings
    return TASK_SOURCES.build(kind, settings() if settings else None, label=label)


def shown(screen: Screen, steps: int = 30) -> Iterator[TimeStep]:
    """A visit of every game in turn, on freshly seeded emulators."""
    for seed, screen.game in enumerate(GAMES):
        batch = CatchBatch(screen.game, 2, seed)
        yield batch.reset()
        for t in range(steps - 1):
            batch.send(random_actions(t, 1, 2)[0])
            yield batch.receive()


@every_source
def test_every_step_is_in_a_task_that_has_been_met_and_belongs_to_one_at_most(kind: str) -> None:
    screen, assigned = Screen(), 0
    source = made(kind, screen)
    for t, now in enumerate(shown(screen), 1):
        before = source.num_tasks
        found = source.infer(now)
        assigned += len(found.assigned)
        assert 0 <= found.task < source.num_tasks and source.num_tasks >= before
        assert all(0 <= task < source.num_tasks for task in found.assigned) and assigned <= t
        assert 0 <= source.posterior <= 1 + 1e-9


@every_source
def test_a_recogniser_names_tasks_that_were_met_and_changes_nothing(kind: str) -> None:
    screen = Screen()
    source = made(kind, screen)
    for now in shown(screen):
        source.infer(now)
    before = through_a_file(source.state_dict())
    for game in dict.fromkeys(GAMES):
        recogniser, batch = source.recogniser(game), CatchBatch(game, 2, 9)
        found = [recogniser.identify(batch.reset())]
        for t in range(5):
            batch.send(random_actions(t, 1, 2)[0])
            found.append(recogniser.identify(batch.receive()))
        assert all(task is None or 0 <= task < source.num_tasks for task in found)
    assert_alike(source.state_dict(), before)


@every_source
def test_a_restored_source_goes_on_alike(kind: str) -> None:
    screen = Screen()
    whole, resumed = made(kind, screen), made(kind, screen)
    for t, now in enumerate(shown(screen)):
        if t == 47:
            resumed.load_state_dict(through_a_file(whole.state_dict()))
        answer = whole.infer(now)
        if t >= 47:
            assert resumed.infer(now) == answer
    assert_alike(resumed.state_dict(), whole.state_dict())


@every_source
def test_after_a_restart_nothing_waits_and_what_was_met_is_known(kind: str) -> None:
    screen = Screen()
    source = made(kind, screen)
    steps = [*shown(screen)]
    for now in steps[:62]:  # two steps into the third visit
        source.infer(now)
    met = source.num_tasks
    source.restart()
    assert source.num_tasks == met
    assert len(source.infer(steps[0]).assigned) <= 1
