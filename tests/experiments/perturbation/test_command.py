"""The audit of toy agents: its statistics against closed forms, and the command on what a run leaves behind."""

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from agent.fisher import fisher_information
from configs.build import numpy_generator, torch_generator
from envs.games import game
from evaluation.play import GameResult
from experiments.kept_agent import find, load_kept
from experiments.perturbation.audit import Audit, Settings
from experiments.perturbation.command import free_folder, main
from experiments.perturbation.noise import KINDS, least_informative
from experiments.perturbation.plays import KeptPlays
from experiments.perturbation.report import half_scale, paper, paper_at, share_interval
from tests.commands import code_of
from tests.integration.runs import TOY, launch, write_config

QUICK = {"episodes": 3, "emulators": 2, "fisher_batches": 5}
SETTINGS = Settings([0.0, 0.1], 3, 2, 0.01, 1000, "policy", 5, 0.01, 0)


@pytest.fixture(autouse=True)
def one_thread():
    """The command sets torch's number of threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Two toys, of which the second has just begun; checkpoints with replay, and snapshots."""
    directory = tmp_path_factory.mktemp("perturbation")
    log = {**TOY["log"], "checkpoint_period": 10_000}  # checkpoints at the beginning and at the end
    config = write_config(directory / "toy.yaml", TOY, task_source="inferred", log=log)
    outcome = launch("--config", config, "--run_dir", directory / "run", "--frames", 1000)
    assert outcome.code == 0, outcome.err
    return directory / "run"


def command(path, *more, out, scales=(0, 0.1)):
    settings = [str(each) for name, value in QUICK.items() for each in (f"--{name}", value)]
    return code_of(main, [path, "--scales", *scales, *settings, "--out", out, *more])


# -- statistics -----------------------------------------------------------------------------------------------


def test_the_interval_of_a_share_is_that_of_the_delta_method():
    rng = np.random.default_rng(0)
    whole, part = 100 + 10 * rng.standard_normal(400), 60 + 20 * rng.standard_normal(300)
    found = share_interval(part, whole, 20.0, np.random.default_rng(1))
    share, low, high = found
    a, b = part.mean() - 20, whole.mean() - 20
    assert share == pytest.approx(a / b)
    deviation = a / b * np.sqrt((part.std() / a) ** 2 / 300 + (whole.std() / b) ** 2 / 400)
    assert [low, high] == pytest.approx([share - 1.96 * deviation, share + 1.96 * deviation], abs=0.1 * deviation)


def test_a_policy_that_is_no_better_than_random_has_no_share():
    rng = np.random.default_rng(0)
    assert share_interval([5.0, 5.0], [9.0, 9.0, 9.0], 1.0, rng) == (0.5, 0.5, 0.5)
    assert share_interval([5.0], [1.0, 1.0], 1.0, rng) is None
    assert share_interval([5.0], [0.0, 3.0, -1.0, 2.0], 0.5, rng) is None


def test_where_a_curve_is_halved():
    assert half_scale([(0.1, 0.75), (0.001, 1.0), (10.0, 0.25), (0.0, 1.0), (100.0, 0.9)]) == pytest.approx(1.0)
    assert half_scale([(0.1, 0.4), (1.0, 0.1)]) is None and half_scale([(0.1, 1.0)]) is None


def test_the_papers_curves_are_halved_where_it_says():
    halves = {kind: half_scale(curve) for kind, curve in paper().items()}
    assert halves == {k: pytest.approx(v, rel=0.1) for k, v in zip(KINDS, (3.6e-3, 5.3e-2, 5.3e-2), strict=True)}
    assert paper_at("uniform", 3.1615e-3) == pytest.approx(0.5664) and paper_at("uniform", 0.0) == 1
    assert paper_at("null_space", 50.0) == pytest.approx(0.0048)


# -- the audit and the command ----------------------------------------------------------------------------------


def test_the_learner_is_left_as_it_was_and_scale_zero_changes_nothing(run):
    kept = load_kept(run, "toy_catch")
    before = {name: value.clone() for name, value in kept.agent.learner.network.state_dict().items()}
    lines = []
    result = Audit(kept, "toy_catch", SETTINGS, lines.append).run()
    after = kept.agent.learner.network.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert [(p["kind"], p["scale"]) for p in result["points"]] == [(k, s) for k in KINDS for s in (0.0, 0.1)]
    for point in result["points"]:
        assert (point["returns"] == result["unperturbed"]["returns"]) or point["scale"]
        assert (point["divergence"] == point["changed"] == point["expected"] == 0) == (point["scale"] == 0)
    assert len(lines) == 7


def test_noise_reaches_the_play(run):
    """At an enormous scale the policy is another."""
    settings = Settings([100.0], 20, 5, 0.0, 1000, "policy", 5, 0.01, 0)
    result = Audit(load_kept(run, "toy_catch"), "toy_catch", settings, lambda line: None).run()
    assert result["points"][0]["changed"] > 0.5
    assert result["points"][0]["returns"] != result["unperturbed"]["returns"]


@pytest.mark.slow
def test_table_files_and_json_say_the_same_and_the_same_seed_gives_the_same(run, tmp_path, capsys):
    results = []
    for name in "ab":
        assert command(run, "--game", "toy_catch", "--json", out=tmp_path / name) == 0
        shown = capsys.readouterr().out
        result = json.loads(shown.splitlines()[-1])
        with open(tmp_path / name / "perturbation.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        assert json.loads((tmp_path / name / "perturbation.json").read_text()) == result
        assert [float(r["mean"]) for r in rows] == [np.mean(p["returns"]) for p in result["points"]]
        assert [r["share"] for r in rows] == ["" if p["share"] is None else str(p["share"]) for p in result["points"]]
        assert all(f"{point['mean']:,.1f} ± " in shown for point in result["points"])
        assert (tmp_path / name / "perturbation.png").stat().st_size > 10_000
        assert "<svg" in (tmp_path / name / "perturbation.svg").read_text()[:1000]
        results.append({**result, "seconds": 0})
    assert results[0] == results[1]
    assert results[0]["random"] == game("toy_catch").random
    settings = Settings(**{**results[0]["settings"], "seed": 1})
    other = Audit(load_kept(run, "toy_catch"), "toy_catch", settings, lambda line: None).run()
    assert other["points"][1]["divergence"] != results[0]["points"][1]["divergence"]


@pytest.mark.slow
def test_the_fisher_is_from_the_replay_where_there_is_one_else_from_play(run):
    checkpoint, snapshot = sorted((run / "checkpoints").iterdir())[-1], sorted((run / "snapshots").iterdir())[-1]
    settings = replace(SETTINGS, scales=[0.1])
    found = []
    for path in (run, checkpoint, snapshot):
        kept = load_kept(path, "toy_catch")
        found.append(Audit(kept, "toy_catch", settings, lambda line: None).run())
        assert found[-1]["frames"] == 1000 and found[-1]["fisher"]["samples"] == 40
        assert 0.01 <= found[-1]["fisher"]["null_share"] < 1
    assert [result["fisher"]["origin"] for result in found] == ["replay", "replay", "play"]
    assert found[0] == found[1] and found[0]["unperturbed"] == found[2]["unperturbed"]
    by_hand = kept_fisher(load_kept(checkpoint, "toy_catch"), found[0]["task"])
    used = [torch.ones_like(f, dtype=torch.bool) for f in by_hand]  # there are no gates
    assert found[0]["fisher"]["least"] == least_informative(by_hand, used, 0.01)


@pytest.mark.slow
def test_a_replay_that_is_mostly_of_other_games_is_not_used(run, tmp_path):
    copy = Path(shutil.copytree(run, tmp_path / "run"))
    lines = []
    for tasks, share, origin in (
        ("0,toy_catch,0,1.0\n850,toy_avoid,0,1.0\n950,toy_avoid,1,1.0", 850 / 950, "play"),
        ("0,toy_catch,0,1.0\n850,toy_avoid,0,1.0\n940,toy_avoid,1,1.0", 850 / 940, "replay"),
    ):
        (copy / "task_changes.csv").write_text(f"frames,game,task,posterior\n{tasks}\n")
        kept = load_kept(copy, "toy_catch")
        assert kept.share_of("toy_catch", 0) == share and kept.share_of("toy_mirror", 0) == 0
        result = Audit(kept, "toy_catch", replace(SETTINGS, scales=[0.1]), lines.append).run()
        assert result["fisher"]["origin"] == origin
    assert [line for line in lines if "not used" in line] == [
        "toy_catch makes 89 % of task 0: its replay is of other games, not used"
    ]
    (copy / "task_changes.csv").unlink()
    assert load_kept(copy, "toy_catch").share_of("toy_catch", 0) == 0


def kept_fisher(kept, task):
    """Of the checkpoint's replay."""
    memory, rng = kept.replay(task), numpy_generator(0, "fisher")
    batches = [memory.sample(task, 8, rng) for _ in range(5)]
    learner, actions = kept.agent.learner, torch_generator(0, "actions of the fisher")
    return fisher_information(learner.network, learner.target, batches, task, "policy", actions)


@pytest.mark.parametrize("estimator", ["q", *(pytest.param(name, marks=pytest.mark.slow) for name in ("q_all", "td"))])
def test_other_estimators_expect_no_divergence(run, estimator):
    settings = replace(SETTINGS, scales=[0.1], estimator=estimator)
    result = Audit(load_kept(run, "toy_catch"), "toy_catch", settings, lambda line: None).run()
    assert all(point["expected"] is None for point in result["points"])


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--game", "toy_mirror"], "has never met toy_mirror"),
        (["--game", "breakuot"], "did you mean breakout"),
        (["--game", "toy_catch", "--episodes", "1"], "--episodes: must lie between 2 and 10,000, is 1"),
        (["--game", "toy_catch", "--seed", "-1"], "--seed: must lie between 0 and"),
        (["--game", "toy_catch", "--scales", "0.1", "nan"], "--scales: must lie between 0 and 1000, is nan"),
        (["--game", "toy_catch", "--scales", "-1"], "--scales: must lie between 0 and 1000, is -1"),
        (["--game", "toy_catch", "--null_quantile", "1"], "--null_quantile: must lie between 0 and 0.999"),
        (["--game", "toy_catch", "--epsilon", "2"], "--epsilon: must lie between 0 and 1"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(run, tmp_path, capsys, more, said):
    assert command(run, *more, out=tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert "experiments.perturbation: " in error and len(error.splitlines()) == 1 and said in error
    assert not (tmp_path / "out").exists()


def test_a_damaged_checkpoint_is_passed_over_or_refused_by_name(run, tmp_path, capsys):
    copy = Path(shutil.copytree(run, tmp_path / "run"))
    intact, damaged = sorted((copy / "checkpoints").iterdir())[-2:]
    data = bytearray((damaged / "agent.pt").read_bytes())
    data[len(data) // 2] ^= 1
    (damaged / "agent.pt").write_bytes(data)
    assert find(copy)[1] == intact
    assert command(damaged, "--game", "toy_catch", out=tmp_path / "out") == 2
    assert f"{damaged} is damaged: agent.pt" in capsys.readouterr().err
    shutil.rmtree(copy / "checkpoints")
    *_, before, newest = sorted((copy / "snapshots").iterdir())
    newest.write_bytes(newest.read_bytes()[:-30])
    assert find(copy)[1] == before
    assert f"{newest} is damaged" in capsys.readouterr().err


def test_paths_that_hold_no_agent_are_one_line_and_exit_code_2(run, tmp_path, capsys):
    (tmp_path / "snapshots").mkdir()
    stray = tmp_path / "snapshots" / "000000000001.pt"
    stray.write_bytes(b"nothing")
    (empty := tmp_path / "empty").mkdir()
    for path, said in (
        (tmp_path / "nowhere", "there is no"),
        (empty, "holds neither checkpoints nor snapshots"),
        (stray, "has no config.yaml"),
        (run / "config.yaml", "has no config.yaml"),
    ):
        assert command(path, "--game", "toy_catch", out=tmp_path / "out") == 2
        error = capsys.readouterr().err
        assert len(error.splitlines()) == 1 and said in error
    (tmp_path / "config.yaml").write_text((run / "config.yaml").read_text())
    assert command(stray, "--game", "toy_catch", out=tmp_path / "out") == 2
    assert "is damaged, or was not written by this program" in capsys.readouterr().err
    assert command(run / "checkpoints" / f"{0:012d}", "--game", "toy_catch", out=tmp_path / "out") == 2
    assert "is from before the first step of its run" in capsys.readouterr().err
    torch.save({"agent": {}}, stray)
    assert command(stray, "--game", "toy_catch", out=tmp_path / "out") == 2
    assert "is not a whole snapshot" in capsys.readouterr().err


def test_what_the_command_line_cannot_be_is_one_line_and_exit_code_2(capsys):
    for arguments in (["somewhere"], ["somewhere", "--game", "krull", "--estimator", "none"]):
        with pytest.raises(SystemExit) as stopped:
            main(arguments)
        assert stopped.value.code == 2
        assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.slow
def test_an_interrupted_audit_goes_on_with_the_next_play(run, tmp_path, capsys, monkeypatch):
    assert command(run, "--game", "toy_catch", out=tmp_path / "whole") == 0
    play, played = Audit.perturbed_play, []

    def interrupted(self, kind, spread, scale, task):
        if len(played) == 2:
            raise KeyboardInterrupt
        played.append((kind, scale))
        return play(self, kind, spread, scale, task)

    monkeypatch.setattr(Audit, "perturbed_play", interrupted)
    with pytest.raises(KeyboardInterrupt):
        command(run, "--game", "toy_catch", out=tmp_path / "out")
    resumed = []
    monkeypatch.setattr(Audit, "perturbed_play", lambda self, *of: resumed.append((of[0], of[2])) or play(self, *of))
    assert command(run, "--game", "toy_catch", out=tmp_path / "out") == 0
    assert played + resumed == [(kind, scale) for kind in KINDS for scale in (0.0, 0.1)] and len(played) == 2
    whole, out = ((tmp_path / name / "perturbation.csv").read_text() for name in ("whole", "out"))
    assert whole == out
    resumed.clear()
    assert command(run, "--game", "toy_catch", out=tmp_path / "out", scales=(0.1, 0.2)) == 0
    assert resumed == [(kind, 0.2) for kind in KINDS]
    capsys.readouterr()
    assert command(run, "--game", "toy_catch", "--seed", "1", out=tmp_path / "out") == 2
    assert "out holds the plays of another audit; name another folder" in capsys.readouterr().err


def test_a_second_audit_of_a_game_goes_into_a_folder_of_its_own(tmp_path):
    first = tmp_path / "perturbation_krull"
    assert free_folder(first, {"seed": 0}) == first
    KeptPlays(first, {"seed": 0})("a", lambda: GameResult("krull", (1.0,), (4,), 0, 1.0))
    assert free_folder(first, {"seed": 0}) == first
    assert free_folder(first, {"seed": 1}) == tmp_path / "perturbation_krull-2"
    assert KeptPlays(first, {"seed": 0})("a", pytest.fail) == GameResult("krull", (1.0,), (4,), 0, 1.0)
