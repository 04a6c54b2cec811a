"""The dry run tells what a run will need, and what cannot fit is refused before it starts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import training.resources
from configs.build import build_network
from configs.checks import ConfigError
from configs.parse import load
from configs.schema import Config
from tests.integration.runs import TOY, write_config
from train import main
from training.memory import available_memory
from training.resources import Plan, Rates, describe, measure_rates, plan, refuse_if_too_large

GIB = 2**30


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    return write_config(tmp_path / "toy.yaml", TOY)


@pytest.fixture
def quick_rates(monkeypatch: pytest.MonkeyPatch) -> None:
    """The measurement of ten seconds, in no time."""
    rates = Rates(1000.0, 250.0, {"act": 1.0, "emulate": 0.5, "learn": 2.0}, emulator_ms=1.0)
    monkeypatch.setattr(training.resources, "measure_rates", lambda config, seconds: rates)


@pytest.mark.usefixtures("quick_rates")
def test_a_dry_run_prints_its_plan_and_makes_nothing(
    toy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--config", str(toy), "--run_dir", str(tmp_path / "run"), "--dry_run"]) == 0
    said = capsys.readouterr().out
    timetable = [line.split() for line in said.splitlines()[1:4]]
    assert [(row[0], row[1], row[2]) for row in timetable] == [
        ("0", "0", "800"),
        ("1", "800", "800"),
        ("2", "1,600", "800"),
    ]
    assert {row[3] for row in timetable} == {"toy_catch", "toy_avoid"}
    for told in ("memory: ", "of which replay", "available", "disk: ", "duration: about", "agent steps/s"):
        assert told in said
    assert not (tmp_path / "run").exists()


def test_a_long_timetable_is_told_in_part(toy: Path) -> None:
    config = load(toy, ["--frames", "800000", "--stream.visit_frames", "80"])
    lines = describe(config, Plan(1, 1, 1, None, None)).splitlines()
    assert lines[40].split()[:2] == ["39", "3,120"] and lines[41] == "... and 9,960 more visits"


@pytest.mark.usefixtures("quick_rates")
@pytest.mark.parametrize("more", [[], ["--dry_run"]])
def test_what_cannot_fit_is_refused(
    toy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str]
) -> None:
    huge = ["--replay.capacity", "500000000", "--replay.compress", "false", "--replay.budget_gib", "100000"]
    assert main(["--config", str(toy), "--run_dir", str(tmp_path / "run"), *huge, *more]) == 2
    said = capsys.readouterr()
    assert said.err.startswith("train.py: the run needs ") and len(said.err.splitlines()) == 1
    assert "GiB of memory" in said.err and "replay.capacity" in said.err
    assert not (tmp_path / "run").exists()


def test_memory_is_that_of_the_frames() -> None:
    """By hand: two tasks of 100,000 raw frames, and what the rows hold beside them."""
    config = Config(frames=1000)
    config = replace(
        config,
        stream=replace(config.stream, games=["krull", "boxing"]),
        replay=replace(config.replay, capacity=100_000, compress=False, budget_gib=1000.0),
    )
    raw = plan(config, measure=False)
    assert raw.replay_bytes == 2 * 100_000 * (84 * 84 + 24)
    assert raw.memory_bytes > raw.replay_bytes and raw.seconds is None
    packed = plan(replace(config, replay=replace(config.replay, compress=True)), measure=False)
    assert packed.replay_bytes < raw.replay_bytes / 3
    budget = plan(replace(config, replay=replace(config.replay, budget_gib=0.5)), measure=False)
    assert 0.5 * GIB <= budget.replay_bytes < 0.6 * GIB
    single = plan(replace(config, task_source="single"), measure=False)
    assert single.replay_bytes == raw.replay_bytes // 2


def test_a_running_average_plays_in_an_agent_of_its_own() -> None:
    """By hand: the average, its copy as a network that plays, and the agent of five networks' size that it plays in; in
    the background all but the average belong to another process, which has room of its own."""
    config = Config(frames=1000)
    averaged = replace(config, learner=replace(config.learner, average_rate=0.01))
    weights = 4 * sum(p.numel() for p in build_network(config).parameters())
    for background, copies in ((False, 6), (True, 1)):
        one, other = (
            plan(replace(c, evaluation=replace(c.evaluation, background=background)), measure=False)
            for c in (averaged, config)
        )
        assert one.memory_bytes - other.memory_bytes == copies * weights


@pytest.mark.usefixtures("quick_rates")
def test_evaluations_in_the_background_cost_memory_instead_of_time(toy: Path) -> None:
    """By hand: 3 evaluations of 2 games before the run's end, 2,000 steps each of 1 ms, since one game acts while the
    other emulates; the last evaluation takes time in any case."""
    own, background = (plan(load(toy, ["--evaluation.background", on]), measure=True) for on in ("false", "true"))
    assert own.seconds is not None and background.seconds is not None
    assert own.seconds - background.seconds == pytest.approx(3 * 2 * 2000 * 0.001)
    assert background.memory_bytes - own.memory_bytes == GIB // 2


@pytest.mark.usefixtures("quick_rates")
def test_an_evaluation_at_the_start_takes_time_and_so_does_one_of_a_single_game(toy: Path) -> None:
    """By hand: 2,000 steps a game of 1 ms, or of 2 where there is no other game to act in while one emulates."""

    def seconds(*given: str) -> float:
        return plan(load(toy, ["--evaluation.period", "0", *given]), measure=True).seconds or 0.0

    late, early = (seconds("--evaluation.at_start", on) for on in ("false", "true"))
    assert early - late == pytest.approx(2 * 2000 * 0.001)
    one = ["--stream.games", "[toy_catch]"]
    late, early = (seconds(*one, "--evaluation.at_start", on) for on in ("false", "true"))
    assert early - late == pytest.approx(2000 * 0.002)


@pytest.mark.usefixtures("quick_rates")
def test_evaluations_at_the_ends_of_visits_cost_time_as_games_are_played(
    toy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By hand: of the ends at 800, 1,600 and 2,400 frames one is no multiple of 1,600 and not the run's. Two games at
    a time take 1 ms a step, and 2 ms on one core, as one game does."""
    seconds = {
        when: plan(load(toy, ["--evaluation.period", "1600", "--evaluation.at_visit_ends", when]), measure=True).seconds
        for when in ("none", "left", "all")
    }
    none, left, every = (seconds[when] or 0.0 for when in ("none", "left", "all"))
    assert (left - none, every - none) == (pytest.approx(2000 * 0.002), pytest.approx(2 * 2000 * 0.001))
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0})
    alone = plan(load(toy, ["--evaluation.period", "1600"]), measure=True).seconds or 0.0
    assert alone - none == pytest.approx(2 * 2000 * 0.001 * (1 + 1.5))  # three episodes at the end, not two


def test_a_disk_that_is_too_small_is_refused(tmp_path: Path) -> None:
    fits = Plan(memory_bytes=1, replay_bytes=1, disk_bytes=1, seconds=None, rates=None)
    refuse_if_too_large(fits, tmp_path / "not" / "there" / "yet")
    with pytest.raises(ConfigError, match=r"GiB of disk and .* are free"):
        refuse_if_too_large(replace(fits, disk_bytes=10**18), tmp_path / "run")
    with pytest.raises(ConfigError, match="GiB of memory"):
        refuse_if_too_large(replace(fits, memory_bytes=available_memory() * 2), tmp_path / "run")


def test_the_measurement_runs_the_loop(toy: Path) -> None:
    rates = measure_rates(load(toy), seconds=0.2)
    assert rates.agent_steps_per_s > 0 and rates.updates_per_s > 0
    assert set(rates.ms_per_phase) == {"act", "emulate", "learn", "remember"}
    assert rates.emulator_ms > 0
    estimate = Plan(GIB, GIB, GIB, 7200.0, rates)
    assert "about 2 h " in describe(load(toy), estimate)
