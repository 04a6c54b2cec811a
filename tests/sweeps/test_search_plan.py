"""A search's file: which trials it stands for, and what is wrong with it in one line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from configs.checks import ConfigError
from sweeps.directory import own, read
from sweeps.plan import Sweep
from sweeps.runs import SweepError
from sweeps.search_plan import Search, as_yaml, to_search
from sweeps.span import Span, corners

RATE = {"low": 1.0e-5, "high": 1.0e-2, "log": True}
WHOLE = {
    "config": "configs/presets/single_game.yaml",
    "agent": "plain_dqn",
    "settings": {"frames": 200_000},
    "ranges": {
        "learner.learning_rate": RATE,
        "learner.n_step": {"low": 1, "high": 9, "step": 4},
        "learner.optimizer": {"choices": ["adam", "rmsprop"]},
    },
    "trials": 12,
    "seed": 4,
    "cpus": 2,
}


def search(**changes: object) -> Search:
    fields = {**WHOLE, **changes}
    return to_search({key: value for key, value in fields.items() if value is not None}, "mine", "mine.yaml")


def test_a_trial_is_the_configuration_with_its_settings() -> None:
    point = {"learner.learning_rate": 1.2345678901234567e-05, "learner.n_step": 5, "learner.optimizer": "rmsprop"}
    config = search().checked(point)
    assert config.learner.learning_rate == 1.2345678901234567e-05  # to the bit, though it is told as text
    assert (config.learner.n_step, config.learner.optimizer) == (5, "rmsprop")
    assert (config.frames, config.seed, config.threads, config.task_source) == (200_000, 4, 2, "single")
    assert search().trial(7, point).name == "trial007"


def test_numbers_are_whole_where_the_setting_is() -> None:
    ranges = search().ranges
    assert ranges["learner.n_step"] == Span(1, 9, step=4, whole=True) and ranges["learner.n_step"].points == (1, 5, 9)
    found = search(ranges={"learner.samples_per_step": {"low": 4, "high": 10, "step": 3}}, seed=0)
    assert [type(value) for value in found.ranges["learner.samples_per_step"].points] == [float] * 3
    assert search(ranges={"learner.learning_rate": {**RATE, "low": "1e-5"}}).ranges["learner.learning_rate"].low == 1e-5


def test_every_combination_of_ends_is_checked_or_else_every_end() -> None:
    spans = {"a": Span(1, 9), "b": Span(choices=("x", "y", "z"))}
    assert len(list(corners(spans, 6))) == 6
    assert list(corners(spans, 5)) == [{"a": 1}, {"a": 9}, {"b": "x"}, {"b": "y"}, {"b": "z"}]


def test_it_is_written_as_it_was_read(tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text(as_yaml(search()))
    assert read(tmp_path / "other.yaml") == search() and search().name == "mine"


def test_a_file_without_ranges_is_a_sweep() -> None:
    assert isinstance(read(Path("configs/sweeps/small.yaml")), Sweep)
    assert isinstance(read(Path("configs/sweeps/search_small.yaml")), Search)


def test_a_presets_bare_name_is_its_file(tmp_path: Path) -> None:
    with own(tmp_path, search(config="toy")) as mine:
        assert Path(mine.config).read_text() == Path("configs/presets/toy.yaml").read_text()


def test_a_directory_takes_more_trials_of_its_search_and_no_other_search(tmp_path: Path) -> None:
    with own(tmp_path, search()):
        pass
    with own(tmp_path, search(trials=30, parallel=2)) as mine:
        assert mine.config == str(tmp_path / "config.yaml")
    assert read(tmp_path / "sweep.yaml") == replace(mine, name="mine")
    for other in (
        search(seed=5),
        search(ranges={"learner.learning_rate": RATE}),
        read(Path("configs/sweeps/small.yaml")),
    ):
        with pytest.raises(SweepError, match="holds another sweep"), own(tmp_path, other):
            pass


MISTAKES = [
    ({"ranges": {}}, "ranges: name at least one field"),
    ({"ranges": [1]}, "ranges: give fields by their dotted names"),
    (
        {"ranges": {"learner.learningrate": RATE}},
        "unknown field learner.learningrate; did you mean learner.learning_rate?",
    ),
    ({"ranges": {"learner.learning_rate": 0.1}}, "ranges.learner.learning_rate: give {low: 1, high: 9}"),
    ({"ranges": {"learner.learning_rate": {**RATE, "hihg": 1}}}, "unknown field hihg; did you mean high?"),
    ({"ranges": {"learner.learning_rate": {"low": 1}}}, "learning_rate: high is missing"),
    ({"ranges": {"learner.learning_rate": {"low": 0.2, "high": 0.1}}}, "low must be below high, is 0.2 and high 0.1"),
    ({"ranges": {"learner.learning_rate": {**RATE, "low": 0}}}, "low must be above 0 for log: true, is 0"),
    ({"ranges": {"learner.learning_rate": {**RATE, "log": "yes"}}}, "log: must be true or false, is 'yes'"),
    ({"ranges": {"learner.learning_rate": {**RATE, "step": 0.1}}}, "a logarithmic range has no steps"),
    ({"ranges": {"learner.learning_rate": {**RATE, "high": "fast"}}}, "high: must be a number, is 'fast'"),
    ({"ranges": {"learner.learning_rate": {**RATE, "high": float("nan")}}}, "high: must be a number, is 'nan'"),
    (
        {"ranges": {"learner.learning_rate": {**RATE, "high": 11.0}}},
        "learner.learning_rate: must lie between 1e-10 and 10",
    ),
    ({"ranges": {"learner.n_step": {"low": 1.5, "high": 3}}}, "low: must be a whole number, is '1.5'"),
    ({"ranges": {"learner.n_step": {"low": 1, "high": 3, "step": 3}}}, "step: must be above 0 and at most high - low"),
    ({"ranges": {"learner.optimizer": {"low": 1, "high": 3}}}, "learner.optimizer is no number: give {choices"),
    ({"ranges": {"learner.optimizer": {"choices": ["adam"]}}}, "choices: give a list of two or more"),
    ({"ranges": {"learner.optimizer": {"choices": ["adam", "adam"]}}}, "choices: give each value once"),
    ({"ranges": {"learner.optimizer": {"choices": ["adam", ["x"]]}}}, "choices: give a list of two or more"),
    ({"ranges": {"learner.optimizer": {"choices": ["adam", "sgd"]}}}, "at learner.optimizer sgd: learner.optimizer"),
    ({"ranges": {"learner.optimizer": {"choices": ["adam", "sgd"], "low": 1}}}, "choices have no low"),
    (
        {
            "ranges": {
                "learner.batch_size": {"low": 32, "high": 60_000},
                "replay.capacity": {"low": 50_000, "high": 90_000},
            }
        },
        "at learner.batch_size 60000, replay.capacity 50000: learner.batch_size: a batch of 60000 does not fit",
    ),
    (
        {"ranges": {"frames": {"low": 100_000, "high": 200_000}}, "settings": None},
        "trials that differ in it cannot be compared",
    ),
    ({"ranges": {"stream.games": {"choices": ["figure3", "pool"]}}}, "trials that differ in it cannot be compared"),
    ({"ranges": {"seed": {"low": 1, "high": 3}}}, "ranges.seed: the search itself decides this"),
    ({"settings": {"threads": 3}}, "settings.threads: the search itself decides this"),
    ({"settings": {"learner.n_step": 3}}, "learner.n_step stands in ranges and in settings"),
    ({"settings": {"learner.nstep": 3}}, "settings: unknown field learner.nstep; did you mean learner.n_step?"),
    ({"settings": {"evaluation.period": 0}}, "prune median: needs evaluations on the way, but evaluation.period is 0"),
    ({"settings": {"frames": 50_000}}, "evaluation.period is 50,000 of 50,000 frames"),
    ({"sampler": "tpes"}, "sampler: there is no 'tpes'; choose from tpe, random, grid"),
    ({"sampler": "grid"}, "ranges.learner.learning_rate: sampler grid needs choices, or a step and no log"),
    (
        {"sampler": "grid", "ranges": {"learner.n_step": {"low": 1, "high": 9, "step": 4}}},
        "the grid has 3 points, is 12",
    ),
    ({"prune": True}, "prune: there is no True; choose from median, halving, none"),
    ({"goal": "score"}, "goal: there is no 'score'; choose from human_normalised, clipped_total"),
    ({"agent": "ewc"}, "agent: there is no 'ewc'; choose from ewc_inferred"),
    ({"agents": ["plain_dqn"]}, "unknown field agents; did you mean agent?"),
    ({"config": None}, "config: name the configuration"),
    ({"trials": 0}, "trials: must lie between 1 and 1,000, is 0"),
    ({"trials": 2.5}, "trials: must be a number from 1 to 1,000, is '2.5'"),
    ({"parallel": 0}, "parallel: must lie between 1 and 256, is 0"),
    ({"warmup_evaluations": 0}, "warmup_evaluations: must lie between 1"),
    ({"name": "../mine"}, "name: must do as the name of a folder"),
]


@pytest.mark.parametrize(("changes", "said"), MISTAKES)
def test_mistakes_are_told_in_one_line(changes: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError) as raised:
        search(**changes)
    assert said in str(raised.value) and "\n" not in str(raised.value)
    assert str(raised.value).startswith("mine.yaml: ")
