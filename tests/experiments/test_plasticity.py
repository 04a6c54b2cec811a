"""One task more, fitted by an agent that holds others: what it may change depends on lambda, and nothing else does."""

import csv

import pytest
import torch

from experiments.kept_agent import load_kept
from experiments.plasticity import main, one_more
from tests.commands import code_of
from tests.experiments.test_value_fit import bright_or_dark
from tests.integration.runs import TOY, launch, write_config

DEPARTS = {
    "start_frames": 0,
    "min_visit_frames": 300,
    "fisher_batches": 10,
    "fisher_damping": 0.3,  # so that no weight of a task is free
    "recall_states": 200,
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Three visits of two toys, so that both tasks were left and have anchors."""
    directory = tmp_path_factory.mktemp("plasticity")
    config = write_config(directory / "toy.yaml", TOY, consolidation=DEPARTS)
    outcome = launch("--config", config, "--run_dir", directory / "run")
    assert outcome.code == 0, outcome.err
    with open(directory / "run" / "task_changes.csv") as file:
        assert len(list(csv.DictReader(file))) >= 3
    return directory / "run"


def fitted(run, ewc_lambda, updates=60, strength=0.0):
    _, memory = bright_or_dark(2_500)
    kept = load_kept(run, "")
    found = list(one_more(kept, load_kept(run, ""), memory.buffer(0), ewc_lambda, strength, updates))
    kept.agent.learner.state_dict()  # what was learned is written back
    return [{name: value for name, value in at.items() if name != "milliseconds"} for at in found], kept.agent


@pytest.mark.parametrize(("ewc_lambda", "held"), [(0.0, False), (1e9, True)])
def test_weights_that_anchors_hold_are_drawn_to_them_and_without_penalty_free(run, ewc_lambda, held):
    found, agent = fitted(run, ewc_lambda)
    merged = agent.consolidator.merged
    away = [
        (w.detach() - m)[p > p.median()]
        for w, m, p in zip(agent.learner.weights, merged.mean, merged.precision, strict=True)
    ]
    assert all((each.abs().max() < 1e-3) == held for each in away)
    assert [at["updates"] for at in found] == [6, 12, 24, 42, 60]


def test_only_tasks_that_are_not_being_played_are_counted(run):
    found, agent = fitted(run, 0.0)
    counted = agent.recall.agreements(agent.task, agent.learner.q_values)
    assert counted.keys() == {0, 1} - {agent.task}
    assert found[-1]["unchanged"] == next(iter(counted.values())) < 1


def test_what_is_recalled_changes_less(run):
    assert fitted(run, 0.0, 100, strength=30.0)[0][-1]["unchanged"] > fitted(run, 0.0, 100)[0][-1]["unchanged"] + 0.1


def test_the_same_numbers_every_time(run):
    assert fitted(run, 100.0, 20)[0] == fitted(run, 100.0, 20)[0]


def test_the_agents_own_tasks_stay_as_they_were_and_one_is_added(run):
    learner = fitted(run, 0.0, 10)[1].learner
    fresh = load_kept(run, "").agent.learner
    assert learner.num_tasks == fresh.num_tasks + 1
    for task in range(fresh.num_tasks):
        mine, theirs = (each.network.task_parameters[task].state_dict() for each in (learner, fresh))
        assert all(torch.equal(mine[name], theirs[name]) for name in theirs)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"kind": "none"}, "has no anchors"),
        ({"recall_states": 0}, "keeps no states"),
        ({"min_visit_frames": 10_000}, "has left no task"),
    ],
)
def test_an_agent_that_holds_nothing_is_refused_in_one_line(tmp_path, capsys, changes, said):
    config = write_config(tmp_path / "toy.yaml", TOY, consolidation={**DEPARTS, **changes})
    assert launch("--config", config, "--run_dir", tmp_path / "run").code == 0
    assert code_of(main, [tmp_path / "run", tmp_path / "run", "--updates", 10]) == 2
    assert said in capsys.readouterr().err.splitlines()[-1]


def test_a_snapshot_has_no_anchors(run, capsys):
    snapshot = next((run / "snapshots").glob("*.pt"))
    assert code_of(main, [snapshot, run, "--updates", 10]) == 2
    assert "give a run with checkpoints" in capsys.readouterr().err.splitlines()[-1]
