"""What a run has earned is what its emulators gave, visit by visit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from configs.build import build, planned_visits
from configs.parse import load
from evaluation.playable import load_run
from experiments import rewards
from experiments.jobs import keep
from tests.integration.runs import TOY, launch, write_config
from tracking.run_directory import RunDirectory
from training.interact import interact

CHANGES = {"stream": {"games": ["toy_catch", "toy_avoid"], "visit_frames": 800, "reseed_frames": 400}}


@pytest.fixture(scope="module", params=[100, 280])
def run(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """A toy run of three visits, two of one game; with and without a log event where a visit begins."""
    folder = tmp_path_factory.mktemp("run")
    config = write_config(folder / "toy.yaml", {**TOY, **CHANGES})
    outcome = launch("--config", config, "--run_dir", folder / "run", "--log.period", request.param)
    assert outcome.code == 0, outcome.err
    return folder / "run"


def test_the_sums_are_those_of_the_emulators(run: Path) -> None:
    config = load_run(RunDirectory(run))
    found, frames = rewards.rewards(RunDirectory(run), config)
    assert config.frames - config.log.period < frames <= config.frames
    parts = build(config)
    parts.stream.start()
    earned: dict[int, float] = {}
    labels: dict[int, str] = {}
    for step in interact(parts.stream, parts.agent, stopped=lambda: parts.stream.frames >= frames):
        visit = step.before // 800
        earned[visit] = earned.get(visit, 0.0) + float(step.following.reward.sum())
        labels[visit] = step.label
    expected: dict[str, list[float]] = {}
    for visit, label in labels.items():
        expected.setdefault(label, []).append(earned[visit])
    assert found.keys() == expected.keys() and sum(map(len, found.values())) == 3
    for game, sums in expected.items():
        assert found[game] == pytest.approx(sums, abs=1e-6)
    assert any(abs(value) > 1 for value in earned.values())


def test_a_log_that_was_thinned_out_is_refused(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(run, tmp_path / "whole")
    config = load_run(RunDirectory(run))
    assert rewards.rewards(RunDirectory(tmp_path / "whole"), config)[1] == rewards.rewards(RunDirectory(run), config)[1]
    monkeypatch.setattr("experiments.jobs._METRICS_KEPT", 3)
    keep(run, tmp_path / "small")
    with pytest.raises(ValueError, match="its log thinned out"):
        rewards.rewards(RunDirectory(tmp_path / "small"), config)


def test_a_random_agent_plays_as_many_frames_of_every_game(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = load_run(RunDirectory(run))
    assert rewards.main([str(run), "--random"]) == 0
    told = capsys.readouterr().out
    chance = {game: rewards.random_rewards(config, game) for game in ("toy_catch", "toy_avoid")}
    for game, value in chance.items():
        assert value == rewards.random_rewards(config, game)
        (line,) = (line for line in told.splitlines() if game in line)
        assert f"{value:,.0f}" in line
    assert "visit 2" in told and "all" in told


@pytest.mark.parametrize("first", [700, 800])
def test_visits_that_log_events_do_not_tell_apart_are_refused(tmp_path: Path, first: int) -> None:
    """One game is played until 800 and from 1,600 on: of an event in between its mean is of one visit, else of both."""
    config = load(write_config(tmp_path / "toy.yaml", {**TOY, **CHANGES}))
    game, other, _ = (visit.game for _, _, visit in planned_visits(config))
    name = "score/{}/reward_per_step"
    events = [
        {"frame": first, name.format(game): 1.0},
        {"frame": 1700, name.format(game): 3.0, name.format(other): 0.5},
    ]
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps({**e, "learning/updates": 1}) + "\n" for e in events))
    if first == 800:
        found, _ = rewards.rewards(RunDirectory(tmp_path), config)
        assert found == {game: [200.0, 75.0], other: [100.0]}
    else:
        with pytest.raises(ValueError, match=f"no log event between two visits of {game}, before frame 1,600"):
            rewards.rewards(RunDirectory(tmp_path), config)


@pytest.mark.parametrize("later", [False, True])
def test_a_run_that_an_earlier_version_began_is_told(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], later: bool
) -> None:
    """It logged no rewards, and still does not or, resumed by this version, does."""
    (tmp_path / "config.yaml").write_bytes((run / "config.yaml").read_bytes())
    before = '{"frame": 100, "learning/updates": 1}\n'
    after = '{"frame": 200, "learning/updates": 2, "score/toy_catch/reward_per_step": 0.5}\n'
    (tmp_path / "metrics.jsonl").write_text(before + after if later else before)
    with pytest.raises(SystemExit):
        rewards.main([str(tmp_path)])
    assert "logged no rewards until frame 100" in capsys.readouterr().err


@pytest.mark.parametrize("lines", [None, "", '{"frame": 100, "learn'])
def test_a_run_without_a_log_event_is_told(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], lines: str | None
) -> None:
    (tmp_path / "config.yaml").write_bytes((run / "config.yaml").read_bytes())
    if lines is not None:
        (tmp_path / "metrics.jsonl").write_text(lines)
    with pytest.raises(SystemExit):
        rewards.main([str(tmp_path)])
    assert "has no log event yet" in capsys.readouterr().err


def test_a_folder_without_a_run_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        rewards.main([str(tmp_path)])
    assert f"there is no run in {tmp_path}" in capsys.readouterr().err


def test_what_is_not_logged_yet_is_not_counted_silently(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of a run under way, killed, or whose frames are no multiple of log.period."""
    (tmp_path / "config.yaml").write_bytes((run / "config.yaml").read_bytes())
    lines = (run / "metrics.jsonl").read_text().splitlines(keepends=True)
    told = [line for line in lines if "learning/updates" in line][: 1100 // load_run(RunDirectory(run)).log.period]
    (tmp_path / "metrics.jsonl").write_text("".join(told))
    assert rewards.main([str(tmp_path)]) == 0
    assert f": {json.loads(told[-1])['frame']:,} of 2,400 frames" in capsys.readouterr().out


def test_the_challenge_is_what_its_preset_says() -> None:
    config = load("configs/presets/upper_bound.yaml")
    assert config.emulators.num_envs == 1 and config.emulators.sticky_actions == 0.25
    assert not config.emulators.life_loss_terminal and config.task_source == "inferred"
    assert config.frames == 3 * 8 * 400_000 and len(config.stream.visits) == 8
    assert all(visit.frames % config.log.period == 0 for visit in config.stream.visits)
