"""A sweep's file: which runs it stands for, and what is wrong with it in one line."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from configs.checks import ConfigError
from configs.parse import load
from envs.game_sets import game_set
from sweeps.plan import DrawnSets, Sweep, as_yaml, frozen, read_sweep, sets_of, to_sweep, trials

WHOLE = {
    "config": "configs/presets/ten_games.yaml",
    "sets": {"count": 3, "games": 4, "seed": 5},
    "agents": ["ewc_inferred", "plain_dqn"],
    "seeds": [0, 7],
    "grid": {"consolidation.ewc_lambda": [100, 400.5], "learner.n_step": [1, 3]},
    "settings": {"frames": 16_000_000, "learner.gated": 0.25},
    "cpus": 2,
    "memory_gib": 3,
    "retries": 2,
}


def sweep(**changes: object) -> Sweep:
    fields = {**WHOLE, **changes}
    return to_sweep({key: value for key, value in fields.items() if value is not None}, "mine", "mine.yaml")


def test_every_combination_is_one_run_with_its_own_name_and_configuration() -> None:
    runs = trials(sweep())
    assert len(runs) == 3 * 2 * 2 * 4 == len({run.name for run in runs})
    base = load(
        "configs/presets/ten_games.yaml", ["--frames", "16000000", "--threads", "2", "--emulators.threads", "2"]
    )
    for run in runs:
        config = run.config()
        point = dict(run.point)
        assert config.seed == run.seed and config.frames == base.frames and config.threads == 2
        assert config.consolidation.ewc_lambda == point["consolidation.ewc_lambda"]
        assert config.learner.n_step == point["learner.n_step"]
        assert config.task_source == {"ewc_inferred": "inferred", "plain_dqn": "single"}[run.agent]
        assert tuple(config.stream.games) == sets_of(sweep())[run.games]


def test_seeds_come_one_after_another() -> None:
    assert [run.seed for run in trials(sweep())] == [0] * 24 + [7] * 24


def test_a_set_is_drawn_without_repeats_and_depends_on_its_number_and_the_seed_only() -> None:
    sets = sets_of(sweep())
    assert list(sets) == ["set0", "set1", "set2"]
    for games in sets.values():
        assert len(set(games)) == 4 and set(games) <= set(game_set("pool"))
    assert len(set(sets.values())) == 3
    more = sets_of(sweep(sets={"count": 5, "games": 4, "seed": 5}))
    assert {name: more[name] for name in sets} == sets
    assert sets_of(sweep(sets={"count": 3, "games": 4, "seed": 6})) != sets


def test_without_sets_the_configurations_own_games_are_played() -> None:
    runs = trials(sweep(sets=None, grid=None))
    assert [run.name for run in runs] == [f"{a}-seed{s}" for s in (0, 7) for a in ("ewc_inferred", "plain_dqn")]
    assert runs[0].config().stream.games == load("configs/presets/ten_games.yaml").stream.games


def test_sets_can_be_listed() -> None:
    listed = sweep(sets=[["pong", "boxing"], ["krull", "gopher"]])
    assert sets_of(listed) == {"set0": ("pong", "boxing"), "set1": ("krull", "gopher")}
    assert trials(listed)[0].config().stream.games == ["pong", "boxing"]


@pytest.mark.parametrize(
    "changes", [{}, {"sets": [["pong"], ["krull"]]}, {"sets": None, "seeds": 3, "memory_gib": None}]
)
def test_it_is_written_as_it_was_read(changes: dict[str, object], tmp_path: Path) -> None:
    one = sweep(**changes)
    (tmp_path / "other.yaml").write_text(as_yaml(one))
    assert read_sweep(tmp_path / "other.yaml") == one and one.name == "mine"


def test_a_configuration_beside_the_sweeps_file_comes_first(tmp_path: Path) -> None:
    (tmp_path / "here.yaml").write_text(Path("configs/presets/ten_games.yaml").read_text())
    (tmp_path / "mine.yaml").write_text(as_yaml(replace(sweep(), config="here.yaml")))
    assert read_sweep(tmp_path / "mine.yaml").config == str(tmp_path / "here.yaml")


def test_a_frozen_configuration_is_the_same_and_needs_no_other_file(tmp_path: Path) -> None:
    listed, plain = Path("configs/presets/paper_schedule.yaml"), Path("configs/presets/ten_games.yaml")
    (tmp_path / "copy.yaml").write_text(frozen(listed))
    assert "csv" not in (tmp_path / "copy.yaml").read_text()
    assert load(tmp_path / "copy.yaml") == load(listed) and len(load(listed).stream.visits) == 93
    assert frozen(tmp_path / "copy.yaml") == (tmp_path / "copy.yaml").read_text()
    assert frozen(plain) == plain.read_text()


def test_names_are_those_of_files_and_differ() -> None:
    values = [[{"game": "krull", "frames": n}, {"game": "pong", "frames": 80_000 + n}] * 4 for n in (80_000, 160_000)]
    changes = {"sets": None, "grid": {"stream.visits": values}, "seeds": 1, "agents": ["ewc_inferred"]}
    found = trials(sweep(**changes, settings={"stream.order": "listed", "frames": 160_000}))
    assert len({run.name for run in found}) == 2
    assert all(len(run.name) <= 120 and re.fullmatch(r"[\w.=+-]+", run.name, re.ASCII) for run in found)


def test_the_papers_experiment_is_120_runs() -> None:
    found = read_sweep(Path("configs/sweeps/figure3b.yaml"))
    assert found.sets == DrawnSets(10, 10, 0, "pool") and len(trials(found)) == 120
    assert {len(set(games)) for games in sets_of(found).values()} == {10}


MISTAKES = [
    ({"agents": ["ewc"]}, "agents: there is no 'ewc'; choose from ewc_inferred"),
    ({"agent": ["l2"]}, "unknown field agent; did you mean agents?"),
    ({"config": None}, "config: name the configuration"),
    ({"config": "configs/none.yaml"}, "none.yaml"),
    ({"config": "configs/presets/three_games.yaml"}, "games need order rounds or uniform"),
    ({"name": "../mine"}, "name: must do as the name of a folder"),
    ({"name": ""}, "name: must do as the name of a folder"),
    ({"seeds": 0}, "seeds: must lie between 1 and 2,000, is 0"),
    ({"seeds": [1, 1]}, "two runs have this name"),
    ({"seeds": [-1]}, "seeds[0]: must lie between 0 and"),
    ({"seeds": True}, "seeds: give a list"),
    ({"grid": {"learner.nstep": [1]}}, "unknown field learner.nstep; did you mean learner.n_step"),
    ({"grid": {"learner.n_step": 3}}, "grid.learner.n_step: give a list, is '3'"),
    ({"grid": [1]}, "grid: give fields by their dotted names"),
    ({"settings": {"frames": -1}}, "frames: must lie between"),
    ({"sets": {"games": 3}}, "sets.count: say how many"),
    ({"sets": {"count": 2, "games": 20}}, "the set pool has 19 games"),
    ({"sets": {"count": 2, "pool": "none"}}, "sets.pool: there is no 'none'"),
    ({"sets": {"count": 2, "pool": ["pong"]}}, "sets.pool: there is no ['pong']"),
    ({"sets": {"count": 2, "size": 3}}, "sets.size: unknown"),
    ({"sets": [["brekout"]]}, "did you mean breakout?"),
    ({"cpus": 0}, "cpus: must lie between 1 and 1,024, is 0"),
    ({"settings": {"seed": 5}}, "settings.seed: the sweep itself decides this"),
    ({"grid": {"threads": [1, 2]}}, "grid.threads: the sweep itself decides this"),
    ({"settings": {"stream.games": ["pong", "krull"]}}, "settings.stream.games: the sweep itself decides this"),
    ({"grid": {"consolidation.kind": ["ewc", "none"]}, "agents": ["ewc_inferred", "no_penalty"]}, "the same run as"),
    ({"memory_gib": float("inf")}, "memory_gib: must lie between 0.01 and 1e+06, is inf"),
    ({"gpus": 0.5}, "device cpu needs gpus: 0, is 0.5"),
    ({"settings": {"device": "cuda"}}, "device cuda needs gpus, a number or a fraction above 0"),
    ({"gpus": "one"}, "gpus: must be a number from 0 to 1,024, is 'one'"),
    ({"retries": 1.5}, "retries: must be a number from 0 to 1,000, is '1.5'"),
    ({"retry_seconds": -1}, "retry_seconds: must lie between 0 and 86,400, is -1"),
    ({"gpus": 1.5, "settings": {"device": "cuda"}}, "gpus: above 1 give a whole number, is 1.5"),
    ({"seeds": 1_000_000}, "seeds: must lie between 1 and 2,000, is 1,000,000"),
    ({"sets": {"count": 10**30}}, "sets.count: must lie between 1 and 2,000, is about 10^30"),
    (
        {"seeds": 100, "grid": {"learner.n_step": list(range(1, 100))}},
        "would be 59,400 runs; a sweep has",
    ),
    ({"memory_gib": 0}, "memory_gib: must lie between"),
    ({"settings": {"stream.visits_csv": "mine.csv"}}, "settings.stream.visits_csv: name it in the configuration"),
]


def test_an_empty_name_is_no_name() -> None:
    with pytest.raises(ConfigError, match="name: must do as the name of a folder"):
        to_sweep({"config": "configs/presets/single_game.yaml", "name": None}, "file", "file.yaml")


@pytest.mark.parametrize(("changes", "said"), MISTAKES)
def test_mistakes_are_told_in_one_line(changes: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError) as raised:
        sweep(**changes)
    assert said in str(raised.value) and "\n" not in str(raised.value)
    assert str(raised.value).startswith("mine.yaml: ")


@pytest.mark.parametrize("text", ["- a\n- b\n", "config: [", "", "seeds: 1\nseeds: 2\n"])
def test_a_file_that_is_no_sweep_is_told_in_one_line(text: str, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(ConfigError) as raised:
        read_sweep(tmp_path / "mine.yaml")
    assert "mine.yaml" in str(raised.value) and "\n" not in str(raised.value)
    with pytest.raises(ConfigError, match="No such file"):
        read_sweep(tmp_path / "none.yaml")


def test_yaml_keeps_what_a_command_line_needs() -> None:
    """Values reach train.py as text and come back as they were."""
    arguments = trials(sweep(grid={"learner.n_step": [3]}, settings={"stream.order": "rounds"}))[0].arguments
    assert yaml.safe_load(arguments[arguments.index("--stream.games") + 1]) == list(sets_of(sweep())["set0"])
    assert arguments[arguments.index("--stream.order") + 1] == "rounds"
