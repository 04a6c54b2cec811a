"""Returns by hand, and a bias that is known because the values are."""

import json

import numpy as np
import pytest
import torch

from experiments.kept_agent import load_kept
from experiments.value_bias import biases, main, returns
from tests.integration.runs import TOY, launch, write_config


def test_returns_by_hand():
    #                    a stretch that ends in a terminal | one that is broken off
    reward = np.array([1.0, 0.0, 2.0, 1.0, 1.0])
    discount = np.array([0.5, 0.5, 0.0, 0.5, 0.5])
    earned, after = returns(reward, discount, np.array([3, 4, 5, 9, 10]))
    assert earned.tolist() == [1 + 0.5 * 0.5 * 2, 0.5 * 2, 2.0, 1.5, 1.0]
    assert after.tolist() == [0.0, 0.0, 0.0, 0.25, 0.5]


def test_what_lies_beyond_a_gap_is_not_earned():
    reward, discount = np.ones(4), np.full(4, 0.9)
    whole, _ = returns(reward, discount, np.arange(4))
    broken, after = returns(reward, discount, np.array([0, 1, 3, 4]))
    assert whole[0] == pytest.approx(1 + 0.9 + 0.81 + 0.729)
    assert broken[0] == pytest.approx(1.9) and after[0] == pytest.approx(0.81)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Three visits of two toys."""
    directory = tmp_path_factory.mktemp("value_bias")
    outcome = launch("--config", write_config(directory / "toy.yaml", TOY), "--run_dir", directory / "run")
    assert outcome.code == 0, outcome.err
    return directory / "run"


def raised(run, by):
    """The run's agent with all values of its tasks larger by `by`."""
    kept = load_kept(run, "")
    for parameters in kept.agent.learner.network.task_parameters:
        with torch.no_grad():
            parameters.biases[-1] += by / parameters.gains[-1]
    return kept


def test_values_that_are_too_large_by_one_show_a_bias_larger_by_one(run):
    before, after = (list(biases(raised(run, by), 4_000)) for by in (0.0, 1.0))
    assert [each.task for each in before] == [each.task for each in after] == [0, 1]
    for low, high in zip(before, after, strict=True):
        assert high.replayed - low.replayed == pytest.approx(1.0, abs=1e-5)
        assert high.best - low.best == pytest.approx(1.0, abs=1e-5)
        assert high.earned == low.earned and high.transitions == low.transitions > 0
        assert low.best >= low.replayed


def test_only_the_newest_transitions_are_looked_at(run):
    whole, newest = (next(biases(load_kept(run, ""), count)).transitions for count in (4_000, 40))
    assert newest <= 40 < whole


def test_what_does_not_vary_goes_with_nothing(run):
    kept = load_kept(run, "")
    for parameters in kept.agent.learner.network.task_parameters:
        with torch.no_grad():
            parameters.gains[-1].zero_()
    found = list(biases(kept, 4_000))
    assert [(each.replayed, each.best, each.correlation) for each in found] == [(0.0, 0.0, 0.0)] * 2


def test_the_command_names_the_games(run, capsys):
    assert main([str(run), "--json"]) == 0
    *lines, last = capsys.readouterr().out.splitlines()
    measured = json.loads(last)["measured"]
    assert {each["game"] for each in measured} == set(TOY["stream"]["games"])
    assert all(each["game"] in line for each, line in zip(measured, lines, strict=True))


def test_a_run_without_a_replay_is_refused_in_one_line(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main([str(tmp_path / "nothing")])
    assert "there is no" in capsys.readouterr().err.splitlines()[-1]
