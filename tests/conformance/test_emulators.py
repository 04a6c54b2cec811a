"""What every batch of emulators holds to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from envs.atari import AtariBatch, AtariSettings
from envs.timestep import TimeStep
from envs.toy import VARIANTS, CatchBatch
from tests.conformance.alike import assert_alike, through_a_file
from tests.envs.helpers import random_actions

B, STEPS = 2, 40
MAKERS: dict[str, Callable[[int], Any]] = {
    **{variant: lambda seed, variant=variant: CatchBatch(variant, B, seed) for variant in VARIANTS},
    "breakout": lambda seed: AtariBatch("breakout", B, seed, AtariSettings(), None),
}
every_batch = pytest.mark.parametrize("kind", MAKERS)


@pytest.fixture
def make(kind: str) -> Iterator[Callable[[int], Any]]:
    made: list[Any] = []

    def one(seed: int) -> Any:
        made.append(MAKERS[kind](seed))
        return made[-1]

    yield one
    for each in made:
        each.close()
        each.close()  # twice is harmless


def play(batch: Any, first: int = 0, steps: int = STEPS) -> list[TimeStep]:
    return [batch.step(action) for action in random_actions(7, first + steps, B)[first:]]


@every_batch
def test_time_steps_have_the_records_shapes_and_types(make: Callable[[int], Any]) -> None:
    batch = make(3)
    begun = batch.reset()
    assert begun.first.all() and not begun.reward.any()
    for now in (begun, *play(batch)):
        assert now.observation.dtype == np.uint8 and now.observation.shape == (B, 4, 84, 84)
        for each, kind in ((now.reward, np.float32), (now.discount, np.float32), (now.first, np.bool_)):
            assert each.dtype == kind and each.shape == (B,)
        assert set(now.discount.tolist()) <= {0.0, 1.0}
    assert batch.now is now and batch.frames_per_step == 4 * B


@every_batch
def test_the_seed_decides_everything_and_a_reset_starts_afresh(make: Callable[[int], Any]) -> None:
    one, twin = make(3), make(3)
    begun = one.reset()
    assert_alike(twin.reset(), begun)
    played = play(one)
    assert_alike(play(twin), played)
    assert_alike(one.reset(), begun)
    assert_alike(play(one), played)


@every_batch
def test_a_restored_batch_goes_on_alike(make: Callable[[int], Any]) -> None:
    one, resumed = make(3), make(4)
    one.reset()
    play(one)
    resumed.load_state_dict(through_a_file(one.state_dict()))
    assert_alike(resumed.now, one.now)
    assert_alike(play(resumed, STEPS), play(one, STEPS))


@every_batch
def test_a_time_step_stays_as_it_was(make: Callable[[int], Any]) -> None:
    batch = make(3)
    now = batch.reset()
    kept = now.observation.copy()
    play(batch)
    assert (now.observation == kept).all()


@pytest.mark.parametrize("action", [np.array([0.0, 1.0]), np.array([0]), np.array([0, 18]), np.array([-1, 0])])
@every_batch
def test_wrong_actions_are_refused_and_do_no_harm(make: Callable[[int], Any], action: Any) -> None:
    batch, twin = make(3), make(3)
    batch.reset(), twin.reset()
    with pytest.raises(ValueError):
        batch.send(action)
    assert_alike(play(batch, steps=3), play(twin, steps=3))


@every_batch
def test_between_send_and_receive_there_is_no_state(make: Callable[[int], Any]) -> None:
    batch = make(3)
    batch.reset()
    batch.send(np.zeros(B, np.int64))
    with pytest.raises(RuntimeError):
        batch.state_dict()
    batch.receive()
