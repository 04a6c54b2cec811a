"""What a search tries: better than chance on a toy of known optimum, hopeless trials stopped, and the same after any
interruption."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sweeps.runs import SweepError
from sweeps.search_plan import Search
from sweeps.span import Span
from sweeps.study import Study, import_optuna, settings_of

pytest.importorskip("optuna", reason="Optuna is not installed (make sweep installs it)")

SEARCH = Search(
    "toy",
    "unused.yaml",
    {
        "rate": Span(1e-5, 1.0, log=True),
        "size": Span(1, 41, step=4, whole=True),
        "kind": Span(choices=("a", "b", "c")),
    },
    trials=25,
    prune="none",
    startup_trials=6,
)


def value(point: dict[str, Any]) -> float:
    """At most 0, which is where rate is 0.001, size is 29 and kind is b."""
    distance = (math.log10(point["rate"]) + 3) ** 2 + ((point["size"] - 29) / 10) ** 2
    return -distance - (point["kind"] != "b")


def steps(search: Search, study: Callable[[], Study], evaluations: int = 4) -> Iterator[None]:
    """A whole search of the toy, an ask, a report or a tell at a time; a trial comes to its value in a straight line.
    `study` is asked for anew every time, and what is going on is taken from it."""
    while study().running or len(study().trials) < search.trials:
        if not study().running:
            study().ask()
            yield
        (number,) = study().running
        final = value(settings_of(study().trials[number], search))
        for made in range(evaluations):
            if study().report(number, [final * k / evaluations for k in range(1, made + 1)]):
                yield
                study().prune(number)
                break
            yield
        else:
            study().finish(number, final)
        yield


def tried(study: Study) -> list[tuple[Any, ...]]:
    return [(t.number, t.params, t.state.name, t.value, t.intermediate_values) for t in study.trials]


def searched(search: Search, folder: Path) -> Study:
    folder.mkdir(exist_ok=True)
    study = Study(folder, search)
    for _ in steps(search, lambda: study):
        pass
    return study


def test_the_optimum_is_found_better_than_by_chance(tmp_path: Path) -> None:
    best = {
        sampler: [
            searched(replace(SEARCH, sampler=sampler, seed=seed), tmp_path / f"{sampler}{seed}").best.value
            for seed in range(3)
        ]
        for sampler in ("tpe", "random")
    }
    assert sum(best["tpe"]) > sum(best["random"]) and max(best["tpe"]) > -0.1
    assert all(value <= 0 for value in best["tpe"])


def test_a_grid_is_every_combination_once(tmp_path: Path) -> None:
    ranges = {
        "rate": Span(0.001, 0.003, step=0.001),
        "size": Span(21, 29, step=4, whole=True),
        "kind": SEARCH.ranges["kind"],
    }
    study = searched(replace(SEARCH, sampler="grid", trials=27, ranges=ranges), tmp_path)
    assert len({tuple(trial.params.values()) for trial in study.trials}) == 27 == len(study.trials)
    assert settings_of(study.best, study.search) == {"rate": 0.001, "size": 29, "kind": "b"} and study.best.value == 0


def test_values_lie_in_their_ranges_and_steps(tmp_path: Path) -> None:
    study = searched(replace(SEARCH, sampler="random"), tmp_path)
    points = [settings_of(trial, study.search) for trial in study.trials]
    assert all(1e-5 <= point["rate"] <= 1 and point["size"] in range(1, 42, 4) for point in points)
    assert len({point["rate"] for point in points}) == 25 and {point["kind"] for point in points} == {"a", "b", "c"}
    assert min(point["rate"] for point in points) < 1e-3 < 1e-1 < max(point["rate"] for point in points)


@pytest.mark.parametrize("sampler", ["tpe", "random"])
@pytest.mark.parametrize("prune", ["median", "halving"])
def test_a_driver_that_dies_anywhere_changes_nothing_that_is_tried(sampler: str, prune: str, tmp_path: Path) -> None:
    """Everything is read anew before every step; a driver that was killed while it wrote has left half a line and
    Optuna's lock."""
    search = replace(SEARCH, sampler=sampler, prune=prune, trials=12, startup_trials=3)
    whole = searched(search, tmp_path / "whole")
    assert {trial.state.name for trial in whole.trials} == {"COMPLETE", "PRUNED"}
    folder = tmp_path / "broken"
    folder.mkdir()
    for _ in steps(search, lambda: Study(folder, search)):
        with open(folder / "study.log", "a") as journal:
            journal.write('{"op_code":7,"worker_id":"a-1","trial_id":0,"st')
        os.symlink("study.log", folder / "study.log.lock")
    assert tried(Study(folder, search)) == tried(whole)


def test_another_seed_tries_something_else(tmp_path: Path) -> None:
    one, other = (searched(replace(SEARCH, trials=2, seed=seed), tmp_path / f"{seed}") for seed in (0, 1))
    assert not {trial.params["rate"] for trial in one.trials} & {trial.params["rate"] for trial in other.trials}


@pytest.fixture
def two_finished(tmp_path: Path) -> Callable[..., Study]:
    """A study with two finished trials that had 0.2 and 0.4 at both evaluations before the last."""

    def made(**changes: Any) -> Study:
        study = Study(tmp_path, replace(SEARCH, startup_trials=2, **changes))
        for final in (0.2, 0.4):
            number = study.ask()
            assert not study.report(number, [final, final])
            study.finish(number, final)
        return study

    return made


def test_median_stops_what_is_hopeless_and_keeps_the_good(two_finished: Callable[..., Study]) -> None:
    study = two_finished(prune="median")
    hopeless, good = study.ask(), study.ask()
    assert study.report(hopeless, [0.1]) and study.report(hopeless, [0.1, 0.9])  # it was decided
    assert not study.report(good, [0.5]) and not study.report(good, [0.5, 0.1])  # its best is above the median
    study.prune(hopeless)
    assert study.trials[hopeless].value == 0.1 and study.steps(hopeless) == 1
    assert study.running == [good] and study.best.value == 0.4
    study.finish(good, 0.5)
    assert study.best.number == good


def test_none_is_stopped_in_its_first_evaluations(two_finished: Callable[..., Study]) -> None:
    study = two_finished(prune="median", warmup_evaluations=2)
    number = study.ask()
    assert not study.report(number, [0.1]) and study.report(number, [0.1, 0.1])


def test_none_is_stopped_before_enough_have_finished(tmp_path: Path) -> None:
    study = Study(tmp_path, replace(SEARCH, prune="median", startup_trials=2))
    first = study.ask()
    study.finish(first, 1.0)
    assert not study.report(study.ask(), [-1.0, -1.0])


def test_halving_lets_the_better_half_go_on(tmp_path: Path) -> None:
    study = Study(tmp_path, replace(SEARCH, prune="halving", trials=4))
    numbers = [study.ask() for _ in range(4)]
    stopped = [study.report(number, [score]) for number, score in zip(numbers, (1.0, 0.5, 2.0, 0.1), strict=True)]
    assert stopped == [False, True, False, True]


def test_without_pruning_none_is_stopped(two_finished: Callable[..., Study]) -> None:
    study = two_finished(prune="none")
    assert not study.report(study.ask(), [-9.0, -9.0])


def test_a_failed_trial_has_no_value_and_is_not_the_best(two_finished: Callable[..., Study]) -> None:
    study = two_finished()
    study.fail(study.ask())
    assert study.best.value == 0.4 and study.running == [] and study.trials[2].value is None


def test_what_matters_is_told_apart_from_what_does_not(tmp_path: Path) -> None:
    ranges = {"matters": Span(0.0, 1.0), "idle": Span(0.0, 1.0)}
    study = Study(tmp_path, replace(SEARCH, sampler="random", ranges=ranges))
    assert study.importances() == {}
    for _ in range(30):
        number = study.ask()
        study.finish(number, study.trials[number].params["matters"])
    shares = study.importances()
    assert shares["matters"] > 0.8 and sum(shares.values()) == pytest.approx(1)


def test_looking_at_a_search_makes_and_mends_nothing(tmp_path: Path) -> None:
    assert not Study(tmp_path, SEARCH, reading=True).trials and not list(tmp_path.iterdir())
    searched(replace(SEARCH, trials=1), tmp_path)
    with open(tmp_path / "study.log", "a") as journal:
        journal.write('{"op_code":7')
    before = (tmp_path / "study.log").read_bytes()
    assert len(Study(tmp_path, SEARCH, reading=True).trials) == 1
    assert (tmp_path / "study.log").read_bytes() == before


def test_without_optuna_a_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "optuna", None)
    with pytest.raises(SweepError, match="a search needs Optuna, which is not installed: make sweep installs it"):
        import_optuna()
