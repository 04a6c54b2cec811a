"""Every mistake of the user's is one sentence that names the field; what is right survives a round trip."""

from __future__ import annotations

import csv
import dataclasses
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
import yaml

import configs.checks
from agent.anchors.anchored import AnchoredConsolidator
from agent.anchors.normalised import NormalisedFishers
from agent.anchors.online import OnlineEWC
from agent.anchors.steps import PenaltyGradient, ProximalStep
from agent.consolidators.ewc import EWC
from agent.consolidators.ewc_all import EWCOfAll
from agent.consolidators.l2 import L2
from agent.consolidators.laplace import RecursiveLaplace
from agent.consolidators.none import NoConsolidation
from agent.fisher import ESTIMATORS
from configs import layers
from configs.build import build_agent, build_memory, build_schedule
from configs.checks import ConfigError, check
from configs.choices import CONSOLIDATORS
from configs.files import read_mapping
from configs.parse import dump, load
from configs.ranges import problems, ranges
from configs.schema import Config, ConsolidationConfig, LearnerConfig
from configs.settings import flat
from taskid.forget_me_not import ForgetMeNot
from taskid.forget_me_not_settings import DEFAULT, PAPER
from tracking.numbers import Range
from training.machine import resolve
from training.options import read_options, train_parser

PRESETS = [*layers.PRESETS.values()]


def complaint(*arguments: str) -> str:
    """The one line with which the command line refuses these arguments."""
    with pytest.raises(ConfigError) as caught:
        read_options(list(arguments))
    assert str(caught.value) and "\n" not in str(caught.value)
    return str(caught.value)


def complaint_about(tmp_path: Path, content: Any) -> str:
    """The same for a YAML file, without its name in front."""
    path = tmp_path / "preset.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return complaint("--config", str(path)).removeprefix(f"{path}: ")


def nested(name: str, value: Any) -> Any:
    """{"a": {"b": value}} for the name a.b."""
    first, _, rest = name.partition(".")
    return {first: nested(rest, value) if rest else value}


def field_types(group: Any = Config, prefix: str = "") -> dict[str, tuple[Any, ...]]:
    """The dotted names of all fields, from the dataclasses themselves, and the types that each may have."""
    found: dict[str, tuple[Any, ...]] = {}
    for name, kind in get_type_hints(group).items():
        if dataclasses.is_dataclass(kind):
            found |= field_types(kind, f"{prefix}{name}.")
        else:
            found[prefix + name] = get_args(kind) if type(None) in get_args(kind) else (kind,)
    return found


# -- mistakes of form ----------------------------------------------------------------------------------------

MISSPELT = [
    ("learner.nstep", "learner.n_step"),
    ("lerner.n_step", "learner.n_step"),
    ("n_step", "learner.n_step"),
    ("learner.optimiser", "learner.optimizer"),
    ("replay.capacty", "replay.capacity"),
    ("frame", "frames"),
]


@pytest.mark.parametrize(("wrong", "right"), MISSPELT)
def test_an_unknown_field_is_told_with_the_nearest_right_name(wrong: str, right: str, tmp_path: Path) -> None:
    for told in (complaint(f"--{wrong}", "3"), complaint_about(tmp_path, nested(wrong, 3))):
        assert told == f"unknown field {wrong}; did you mean {right}?"


def test_the_file_that_is_wrong_is_named_and_no_other(tmp_path: Path) -> None:
    right, wrong = tmp_path / "right.yaml", tmp_path / "wrong.yaml"
    right.write_text("frames: 400_000\n")
    wrong.write_text("learner: {n_step: many}\n")
    told = complaint("--config", str(right), f"--config={wrong}")
    assert told.startswith(f"{wrong}: learner.n_step: ") and str(right) not in told
    told = complaint("--config", str(right), "--learner.n_step", "many")
    assert told.startswith("learner.n_step: ")
    wrong.write_text("learner: {n_step: -1}\n")  # a number, and out of its range
    with pytest.raises(ConfigError, match=f"^{wrong}: learner.n_step: "):
        load(wrong)


def test_an_unknown_field_like_no_other_points_to_the_help() -> None:
    assert complaint("--zzzqq", "1") == "unknown field zzzqq; see --help"


def test_a_file_is_blamed_for_its_own_mistakes_only(tmp_path):
    right, wrong = tmp_path / "right.yaml", tmp_path / "wrong.yaml"
    right.write_text("seed: 1\n")
    wrong.write_text("learner: {n_stp: 3}\n")
    mistakes = {
        (right, "--learner.n_stp"): "unknown field learner.n_stp; did you mean learner.n_step?",
        (right, "--learner.n_step"): "learner.n_step: must lie between 1 and 1,000, is 0",
        (wrong, "--seed"): f"{wrong}: unknown field learner.n_stp; did you mean learner.n_step?",
    }
    for (file, option), said in mistakes.items():
        with pytest.raises(ConfigError) as caught:
            load(file, [option, "0"])
        assert str(caught.value) == said


WRONG_TYPE = [
    ("frames", "many", "int"),
    ("frames", 1.5, "int"),
    ("learner.n_step", "three", "int"),
    ("learner.learning_rate", "fast", "float"),
    ("replay.compress", "maybe", "bool"),
    ("stream.games", "krull", "there is no set of games 'krull'; there are all, "),
    (
        "learner.network",
        "huge",
        "'nature', 'paper', 'pooled', 'pooled2', 'pooled4', 'small', 'tiled', 'tiled2', 'tiled4', 'wide', "
        "'wide4', 'wide8'",
    ),
    ("learner.precision", "float64", "'bfloat16'"),
    ("stream.order", "backwards", "'uniform'"),
    ("consolidation.kind", "elastic", ", ".join(repr(name) for name in CONSOLIDATORS)),
    ("consolidation.fisher", "empirical", "'td', 'q', 'q_all', 'policy'"),
    ("consolidation.step", "explicit", "'proximal', 'gradient'"),
    ("consolidation.ewc_lambda", "strong", "float"),
    ("consolidation.fisher_batches", 1.5, "int"),
    ("consolidation.online_ewc.decay", "much", "float"),
    ("task_source", "guess", "'inferred', 'single', 'true_labels'"),
    ("inferred.model", "guess", "'default', 'paper'"),
    ("inferred.max_contexts", 1.5, "int"),
    ("inferred.defer_storage", 3, "bool"),
    ("evaluation.at_visit_ends", "some", "'none', 'left', 'all'"),
    ("evaluation.at_visit_ends", 1, "'none', 'left', 'all'"),
]


@pytest.mark.parametrize(("name", "value", "expected"), WRONG_TYPE)
def test_a_wrong_type_is_told_with_the_right_one(name: str, value: Any, expected: str, tmp_path: Path) -> None:
    for told in (complaint(f"--{name}", str(value)), complaint_about(tmp_path, nested(name, value))):
        assert told.startswith(f"{name}: ") and expected in told and str(value) in told
        assert "class" not in told and "typing" not in told


def test_stray_words_are_told_what_would_be_right() -> None:
    assert complaint("configs/presets/quick.yaml") == (
        "configs/presets/quick.yaml: not the name of an option; a preset is given as --config NAME"
    )


@pytest.mark.parametrize(
    ("written", "meant"),
    [("1e6", 10**6), ("1.2e6", 1_200_000), ("400_000", 400_000), ("2000.0", 2000)],
)
def test_a_whole_number_may_be_written_as_people_do(written: str, meant: int, tmp_path: Path) -> None:
    path = tmp_path / "preset.yaml"
    path.write_text(f"frames: {written}\nstream: {{order: listed, visits: [{{game: pong, frames: {written}}}]}}")
    for arguments in (["--config", str(path)], ["--config", str(path), "--frames", written]):
        _, config = read_options(arguments)
        assert (config.frames, config.stream.visits[0].frames) == (meant, meant)
        assert type(config.frames) is int and f"frames: {meant}\n" in dump(config)


@pytest.mark.parametrize("written", ["1e-3", "1.5", "nan", "inf", "1e400", "true", "[3]", "many", "1,000"])
def test_what_is_no_whole_number_is_refused(written: str) -> None:
    assert complaint("--frames", written).startswith("frames: Expected int. Got value: ")


def test_presets_and_agents_have_bare_names() -> None:
    options, named = read_options(["--config", "quick", "--config=plain_dqn", "--seed", "3"])
    _, by_path = read_options(["--config", str(layers.PRESETS["quick"]), "--config", str(layers.AGENTS["plain_dqn"])])
    assert replace(named, seed=by_path.seed) == by_path and named.task_source == "single"
    assert [Path(str(file)).stem for file in options.config] == ["quick", "plain_dqn"]  # which name the run
    assert not layers.PRESETS.keys() & layers.AGENTS.keys()


def test_a_run_has_one_preset_and_it_comes_before_the_agent() -> None:
    said = "--config: toy and quick are presets; a run plays one of them"
    assert complaint("--config", "toy", "--config", "quick") == said
    assert complaint("--config", "toy", "--config", str(layers.PRESETS["quick"])) == said
    said = "--config: give quick, a preset, before plain_dqn, an agent; what is later wins"
    assert complaint("--config=plain_dqn", "--config", "quick") == said


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("quik", "quick"),
        ("plain-dqn", "plain_dqn"),
        ("configs/ten_game.yaml", "ten_games"),
        ("toy.yaml", "toy"),
    ],
)
def test_a_name_that_is_none_is_told_with_the_nearest(wrong: str, right: str) -> None:
    for arguments in (["--config", wrong], [f"--config={wrong}"]):
        assert complaint(*arguments) == f"--config: there is no {wrong}; did you mean {right}?"
    assert complaint("--config", "xyzzy").startswith("--config: there is no xyzzy; there are one_of_ten, ")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("learner: 3", "learner: "),
        ("learner: [1, 2]", "learner: "),
        ("frames: null", "frames: Expected int"),
        ("learner: {n_step: null}", "learner.n_step: Expected int"),
        ("stream: {games: [1, 2]}", "stream.games: "),
        ("stream: {order: listed, visits: [{game: krull, frame: 3}]}", "frame"),
        ("stream: {order: listed, visits: [{game: krull}]}", "frames"),
        ("a: [1", "line 1: no YAML"),
        ("- 1", "holds a list"),
        ("{config: configs/presets/quick.yaml, seeds: 4}", "start it with: sweep.py"),
        ("just words", "holds a str"),
        ("", "is empty"),
        ("seed: 1\nlearner: {n_step: 3}\nlearner: {batch_size: 16}", "learner stands in line 2 and again in line 3"),
        ("learner: {n_step: 3, n_step: 4}", "n_step stands in line 1 and again in line 1"),
        ("stream:", "stream is empty"),
    ],
)
def test_files_that_are_no_presets(content: str, told: str, tmp_path: Path) -> None:
    assert told in complaint_about(tmp_path, content)


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{b}: &{b} [{', '.join(9 * [f'*{a}'])}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (BOMB, "stands for more than 1,000,000 values"),
        ("a: &a {b: *a}", "*a stands within &a, which has no end"),
        ("seed: " + 3000 * "[" + 3000 * "]", "more than 50 levels of brackets"),
        ("seed: " + 3000 * "{a: " + 3000 * "}", "more than 50 levels of brackets"),
        ("".join(f"{n * ' '}a:\n" for n in range(200)), "more than 50 levels of brackets"),
        ("? [a, b]\n: 3", "line 1: the name of a field is a word"),
        ("learner: {? {a: b} : 3}", "line 1: the name of a field is a word"),
        ("1: 2", "1"),
        ("seed: " + 5000 * "9", "a value that is none"),
        ("seed: 2001-13-45", "a value that is none: month must be in 1..12"),
        ("stream: {visits: " + "[" + 250_001 * "{game: krull, frames: 1}," + "]}", "stands for more than"),
    ],
    ids=lambda value: value[:20],
)
def test_a_file_that_no_memory_holds_is_refused_before_it_is_built(content: str, told: str, tmp_path: Path) -> None:
    said = complaint_about(tmp_path, content)
    assert told in said and len(said) < 500


@pytest.mark.parametrize("value", [3000 * "[" + 3000 * "]", "{a: &a [*a]}", 3000 * "[", 5000 * "9", "? [a] : 3", "\0"])
@pytest.mark.parametrize("name", ["seed", "stream.games", "learner", "config"])
def test_a_value_that_no_memory_holds_is_refused(name: str, value: str) -> None:
    given = [f"--{name}={value}"] if name == "seed" else [f"--{name}", value]
    assert len(complaint(*given)) < 400


def test_a_long_value_is_quoted_in_part(tmp_path: Path) -> None:
    for told in (complaint("--frames", 5000 * "x"), complaint_about(tmp_path, {"replay": {"compress": 5000 * "x"}})):
        assert len(told) < 600 and told.endswith("xxx ...")


def test_a_run_of_too_many_visits_is_refused_without_listing_them() -> None:
    assert complaint("--frames", "1000000000000", "--stream.visit_frames", "48") == (
        "frames: 1,000,000,000,000 frames are 20,833,333,334 visits, each with a snapshot of its own; at most 10,000 "
        "are planned: give fewer frames or longer visits"
    )
    read_options(["--frames", "480000", "--stream.visit_frames", "48"])


def test_a_file_that_is_missing() -> None:
    assert "nowhere.yaml" in complaint("--config", "nowhere.yaml")


# -- impossible values ---------------------------------------------------------------------------------------

RANGES = ranges()


def outside(bounds: Range) -> list[float]:
    """Just below it, just above, and what lies in no range."""
    if isinstance(bounds.least, int):
        return [bounds.least - 1, bounds.most + 1, -(10**30), 10**400]
    return [bounds.least - 1e-13, bounds.most * 1.001, float("inf"), float("nan"), -1e300, 1e300]


IMPOSSIBLE = [
    ("learner.gated", "0.99", "leaves no unit of a layer of 32 open"),
    ("learner.cuda_graphs", "true", "needs device cuda"),
    ("consolidation.recall_states", "7", "give 0 or at least 8"),
    ("replay.device_gib", "2", "needs device cuda"),
    ("stream.games", "[]", "at least one"),
    ("stream.games", "[krull, krull]", "once"),
    ("stream.games", "[krul]", "did you mean krull"),
    ("stream.games", "[Krull-v5, krull]", "once"),
    ("stream.games", "[combat]", "two players"),
    ("stream.order", "listed", "stream.visits"),
    ("learner.batch_size", "60000", "replay.capacity 50000"),
    ("replay.min_history", "60000", "replay.capacity 50000"),
    ("stream.visit_frames", "16", "need at least 48 frames"),
    ("stream.reseed_frames", "16", "need at least 48 frames"),
]


@pytest.mark.parametrize(("name", "value", "told"), IMPOSSIBLE)
def test_an_impossible_value_is_refused_naming_the_field(name: str, value: str, told: str) -> None:
    said = complaint(f"--{name}", value)
    assert told in said and (said.startswith(f"{name}") or told == "stream.visits")


def changed(group: Any, name: str, value: Any) -> Any:
    """A configuration with another value of the field of this dotted name."""
    first, _, rest = name.partition(".")
    return replace(group, **{first: changed(getattr(group, first), rest, value) if rest else value})


@pytest.mark.parametrize("name", RANGES)
def test_a_number_out_of_its_range_is_refused_with_the_range(name: str) -> None:
    for value in outside(RANGES[name]):
        with pytest.raises(ConfigError) as caught:
            check(changed(Config(), name, value))
        assert str(caught.value).startswith(f"{name}: must lie between ") and len(str(caught.value)) < 120


def test_a_command_line_meets_the_ranges() -> None:
    assert complaint("--seed=-1") == "seed: must lie between 0 and 1,000,000,000,000,000,000, is -1"
    assert complaint("--frames", "1" + 26 * "0") == "frames: must lie between 4 and 1,000,000,000,000, is about 10^26"
    assert complaint("--threads", "100000") == "threads: must lie between 0 and 1,024, is 100,000"
    assert complaint("--consolidation.ewc_lambda=1e300") == (
        "consolidation.ewc_lambda: must lie between 0 and 1e+12, is 1e+300"
    )
    assert complaint("--learner.gated", "-1e-13") == (
        "learner.gated: a value is missing; one that begins with - is given as --learner.gated=-1"
    )
    assert (
        complaint("--consolidation.online_ewc.decay", ".nan")
        == "consolidation.online_ewc.decay: must lie between 0 and 1, is nan"
    )


def test_values_that_are_impossible_together(tmp_path: Path) -> None:
    tiny = ["--learner.batch_size", "4", "--replay.min_history", "10", "--replay.capacity", "10"]
    assert complaint(*tiny, "--emulators.num_envs", "8").startswith("replay.")
    visit = {"game": "krull", "frames": 0}
    said = complaint_about(tmp_path, {"stream": {"order": "listed", "visits": [visit]}})
    assert said.startswith("stream.visits[0].frames: must lie between 4 and ")
    visit = {"game": "krul", "frames": 1000}
    said = complaint_about(tmp_path, {"stream": {"order": "listed", "visits": [visit]}})
    assert "stream.visits[0]" in said and "did you mean krull" in said
    assert "with gates" in complaint("--learner.gated", "0.5", "--learner.cuda_graphs", "true")
    recall, recorded = ("--consolidation.recall_states", "8"), ("--learner.cuda_graphs", "true")
    assert "recall values" in complaint(*recall, *recorded)
    assert "needs device cuda" in complaint(*recall, "--consolidation.recall_strength", "0", *recorded)
    assert "lost.csv" in complaint("--stream.order", "listed", "--stream.visits_csv", "lost.csv")


def test_the_limits_themselves_are_possible(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each end of each range by itself, on the command line; which of them go together is another matter."""
    monkeypatch.setattr(configs.checks, "_problems", lambda config: problems(config))
    for end in ("least", "most"):
        given = {name: getattr(bounds, end) for name, bounds in RANGES.items()}
        _, config = read_options([f"--{name}={yaml.safe_dump(value).split()[0]}" for name, value in given.items()])
        assert {name: flat(dataclasses.asdict(config))[name] for name in given} == given


def test_every_number_has_a_range() -> None:
    numbers = {name for name, kinds in field_types().items() if {int, float} & {*kinds}}
    assert len(numbers) > 40 and "consolidation.online_ewc.decay" in numbers
    assert {*RANGES} == numbers
    for name, bounds in RANGES.items():
        assert bounds.least < bounds.most, name
        assert isinstance(bounds.least, int) is isinstance(bounds.most, int) is (int in field_types()[name]), name


def test_help_tells_the_ranges() -> None:
    text = " ".join(train_parser().format_help().split())
    assert "Transitions per minibatch (PAPER: 32). From 1 to 65,536." in text
    assert all(f"From {bounds}." in text for bounds in RANGES.values())


# -- what is right ---------------------------------------------------------------------------------------------


def test_a_dumped_configuration_loads_back(tmp_path: Path) -> None:
    arguments = ["--seed", "7", "--learner.learning_rate", "3e-05", "--stream.games", "[pong, boxing]"]
    arguments += ["--replay.compress", "false", "--learner.reward_clip", "0", "--learner.optimizer_code", "eager"]
    _, config = read_options(arguments)
    assert (config.seed, config.learner.learning_rate, config.stream.games) == (7, 3e-5, ["pong", "boxing"])
    for each in (Config(), config, resolve(config)):
        path = tmp_path / "config.yaml"
        path.write_text(dump(each))
        assert load(path) == each and dump(load(path)) == dump(each)


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_a_preset_loads_and_holds_only_what_differs(path: Path, tmp_path: Path) -> None:
    config = load(path)
    check(config)
    build_schedule(config)
    copy = tmp_path / "copy.yaml"
    copy.write_text(dump(config))
    assert load(copy) == config
    assert load(path, ["--seed", "77"]) == replace(config, seed=77)  # later options override


def test_every_preset_of_ten_games_passes_over_errors_of_the_inference() -> None:
    """A task that was taken by mistake is left at the next seeding, which a visit that counts must outlast."""
    found = [config for path in PRESETS if len(build_schedule(config := load(path)).games) == 10]
    assert len(found) == 3
    for config in found:
        assert config.stream.reseed_frames < config.consolidation.min_visit_frames
    paper = PRESETS[0].parent / "paper_schedule.yaml"
    with open(paper.with_suffix(".csv"), newline="") as file:
        shortest = min(int(row["frames"]) for row in csv.DictReader(file))
    assert shortest > load(paper).consolidation.min_visit_frames


@pytest.mark.parametrize(("written", "meant"), [("true", "all"), ("false", "none"), ("left", "left"), ("all", "all")])
def test_what_is_evaluated_at_the_ends_of_visits_may_be_told_as_earlier_versions_did(
    written: str, meant: str, tmp_path: Path
) -> None:
    """In a file that an earlier version kept of a run, and on the command line; kept again in today's words."""
    file = tmp_path / "config.yaml"
    file.write_text(f"evaluation:\n  at_visit_ends: {written}\n")
    for config in (load(file), load("configs/presets/three_games.yaml", ["--evaluation.at_visit_ends", written])):
        assert config.evaluation.at_visit_ends == meant and f"at_visit_ends: {meant}\n" in dump(config)


def test_kept_runs_of_earlier_versions_load() -> None:
    kept = Path("results/quick/before/ewc/config.yaml"), Path("results/compare/three_games/ewc_inferred-0/config.yaml")
    assert [read_mapping(file, "")["evaluation"]["at_visit_ends"] for file in kept] == [True, False]
    assert [load(file).evaluation.at_visit_ends for file in kept] == ["all", "none"]


def test_games_are_kept_by_one_name_however_they_were_typed(tmp_path: Path) -> None:
    _, config = read_options(["--stream.games", '[ALE/Pong-v5, "Ms. Pacman", Kung-Fu Master]'])
    assert config.stream.games == ["pong", "ms_pacman", "kung_fu_master"]
    table = tmp_path / "visits.csv"
    table.write_text("game,frames\nBreakoutDeterministic-v4,5000\n")
    _, config = read_options(["--stream.order", "listed", "--stream.visits_csv", str(table)])
    assert [visit.game for visit in config.stream.visits] == ["breakout"]
    visits = "[{game: space-invaders, frames: 5000}]"
    _, config = read_options(["--stream.order", "listed", "--stream.visits", visits])
    assert [visit.game for visit in config.stream.visits] == ["space_invaders"]


def test_n_falls_and_does_not_rise() -> None:
    told = complaint("--learner.n_step", "3", "--learner.n_step_first", "2")
    assert told.startswith("learner.n_step_first: n may fall and not rise: give 0 or at least n_step, 3, not 2")
    _, config = read_options(["--learner.n_step", "3", "--learner.n_step_first", "10"])
    assert config.learner.longest_n_step == 10
    told = complaint("--learner.n_step_first", "10", "--stream.visit_frames", "16")
    assert "4 emulators and n_step 10 need at least 192 frames" in told


def test_a_ladder_of_epsilons_needs_emulators_to_climb() -> None:
    spread = ["--exploration.end", "0.4", "--exploration.spread", "7"]
    assert complaint(*spread, "--emulators.num_envs", "1").startswith(
        "exploration.spread: one emulator has one epsilon"
    )
    _, config = read_options([*spread, "--emulators.num_envs", "2"])
    assert config.exploration.spread == 7


def test_visits_of_a_file_are_checked_like_others(tmp_path: Path) -> None:
    table = tmp_path / "visits.csv"
    listed = ["--stream.order", "listed", "--stream.visits_csv", str(table)]
    table.write_text("game,frames\nkrull,40\n")
    assert complaint(*listed).startswith("stream.visits[0].frames: 4 emulators and n_step 1 need at least 48 frames")
    table.write_text("game,frames\ncombat,4000\n")
    assert complaint(*listed).startswith(f"stream.visits_csv: {table}, line 2: 'combat' cannot be played")


def test_there_are_presets() -> None:
    assert {"quick", "ten_games"} <= {path.stem for path in PRESETS}


@pytest.mark.parametrize(
    ("told", "threads"),
    [(None, 4), ("", 4), ("1", 1), ("3", 3), ("2,8", 2), ("64", 4), ("0", 4), ("-1", 4), ("many", 4)],
)
def test_threads_that_nobody_names_are_those_of_openmp(
    monkeypatch: pytest.MonkeyPatch, told: str | None, threads: int
) -> None:
    """Of four cores; what is named counts more, and a resume keeps what its run had."""
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 2, 3})
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if told is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", told)
    decided = LearnerConfig(network="small", precision="float32", optimizer_code="eager")
    assert resolve(Config(learner=decided)).threads == threads
    assert resolve(Config(learner=decided, threads=2)).threads == 2


def test_resolve_decides_threads_and_code_once() -> None:
    config = Config()
    assert (config.threads, config.emulators.threads, config.learner.precision) == (0, 0, "float32")
    small = replace(config, learner=replace(config.learner, network="small", batch_size=4))
    resolved = resolve(small)
    assert resolved.threads >= 1 and 1 <= resolved.emulators.threads <= resolved.emulators.num_envs
    assert resolved.learner.optimizer_code == "eager"  # as always for the small network
    assert resolve(resolved) == resolved
    undone = replace(
        resolved,
        threads=0,
        emulators=replace(resolved.emulators, threads=0),
        learner=replace(resolved.learner, optimizer_code="auto"),
    )
    assert undone == small  # nothing else was decided


@pytest.mark.parametrize(("precision", "code"), [("float32", "eager"), ("bfloat16", "compiled")])
def test_resolve_keeps_what_was_asked_for(precision: Any, code: Any) -> None:
    config = Config(threads=3)
    asked = replace(
        config,
        emulators=replace(config.emulators, threads=2),
        learner=replace(config.learner, precision=precision, optimizer_code=code),
    )
    assert resolve(asked) == asked


# -- the inference's settings ------------------------------------------------------------------------------------

SMALL = ["--learner.precision", "float32", "--learner.network", "small"]


@pytest.mark.parametrize(("model", "constants"), [("default", DEFAULT), ("paper", PAPER)])
def test_a_model_stands_for_all_its_constants(model: Any, constants: Any, tmp_path: Path) -> None:
    _, config = read_options(["--inferred.model", model, "--task_source", "inferred", *SMALL])
    tasks = build_agent(config, build_memory(config), lambda: "").task_source
    assert isinstance(tasks, ForgetMeNot) and tasks.settings == constants
    _, config = read_options(["--inferred.model", model, "--inferred.max_contexts", "0", "--task_source", "inferred"])
    tasks = build_agent(config, build_memory(config), lambda: "").task_source
    assert isinstance(tasks, ForgetMeNot) and tasks.settings == replace(constants, max_contexts=0)


def test_the_papers_model_has_the_papers_numbers() -> None:
    assert (PAPER.window, PAPER.period, PAPER.switch_probability, PAPER.episode_start_only) == (4, 4, 0, False)
    assert (PAPER.levels, PAPER.concentration, PAPER.base, PAPER.max_effective_count) == (256, 1, "uniform", 0)


@pytest.mark.parametrize("defer_storage", [True, False])
def test_whether_rows_are_held_back_reaches_the_source_of_tasks(defer_storage: bool) -> None:
    small = ["--learner.precision", "float32", "--learner.network", "small"]
    _, config = read_options(
        ["--task_source", "inferred", "--inferred.defer_storage", str(defer_storage).lower(), *small]
    )
    source = build_agent(config, build_memory(config), lambda: "").task_source
    assert isinstance(source, ForgetMeNot) and source.settings.defer_storage is defer_storage


# -- consolidation -----------------------------------------------------------------------------------------------


def built(*arguments: str) -> Any:
    """The agent's consolidation under these options."""
    _, config = read_options([*arguments, "--learner.precision", "float32", "--learner.network", "small"])
    return build_agent(config, build_memory(config), lambda: "").consolidator


KINDS = {
    "ewc": EWC,
    "ewc_all": EWCOfAll,
    "ewc_normalised": NormalisedFishers,
    "l2": L2,
    "laplace": RecursiveLaplace,
    "online_ewc": OnlineEWC,
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_consolidation_is_built_with_its_settings(kind: str) -> None:
    plain = built("--consolidation.kind", kind)
    assert isinstance(plain, AnchoredConsolidator) and type(plain.store) is KINDS[kind]
    assert plain.ewc_lambda == 400  # the paper's
    assert isinstance(plain.penalty_step, ProximalStep)
    settings = {"ewc_lambda": "7", "step": "gradient", "fisher_damping": "0.25", "online_ewc.decay": "0.5"}
    options = [each for name, value in settings.items() for each in (f"--consolidation.{name}", value)]
    other = built("--consolidation.kind", kind, *options)
    assert other.ewc_lambda == 7
    assert isinstance(other.penalty_step, PenaltyGradient)
    for each, damping, decay in ((plain, 0.0, 1.0), (other, 0.0 if kind == "l2" else 0.25, 0.5)):
        inner: Any = getattr(each.store, "store", each.store)
        assert (inner.damping, getattr(inner, "decay", decay)) == (damping, decay)  # what is spread needs no damping


def test_without_consolidation_there_is_a_null_object() -> None:
    assert isinstance(built("--consolidation.kind", "none"), NoConsolidation)


def test_the_default_is_the_papers_penalty() -> None:
    assert type(built().store) is EWC
    default = ConsolidationConfig()
    assert (default.kind, default.ewc_lambda, default.fisher_batches) == ("ewc", 400, 100)


def test_what_can_be_asked_for_as_fisher_is_what_the_learner_knows() -> None:
    assert get_args(get_type_hints(ConsolidationConfig)["fisher"]) == tuple(ESTIMATORS)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_the_fisher_reaches_the_agent(name: str) -> None:
    small = ["--learner.precision", "float32", "--learner.network", "small"]
    _, config = read_options(["--consolidation.fisher", name, "--consolidation.fisher_batches", "3", *small])
    agent = build_agent(config, build_memory(config), lambda: "")
    assert (agent.departure.fisher_estimator, agent.departure.fisher_batches) == (name, 3)


@pytest.mark.parametrize("name", ["init_from", "run_dir", "resume", "config", "stream.visits_csv", "frames"])
def test_no_option_may_be_given_empty(name: str, tmp_path: Path) -> None:
    """As by a shell variable that was never set: a run would begin without the weights it was to have."""
    for words in ((f"--{name}", ""), (f"--{name}=",)):
        assert complaint(*words) == f"--{name} is empty; give it a value, or leave it out"
    if name not in ("config", "frames"):
        assert f"{name} is empty" in complaint_about(tmp_path, nested(name, ""))


def calls_for(count: int, path: Path) -> int:
    """How many functions are called to read a schedule of so many visits."""
    path.write_text(f"stream: {{order: listed, visits: [{', '.join(['{game: pong, frames: 40000}'] * count)}]}}")
    calls = 0

    def tell(_frame: Any, event: str, _argument: Any) -> None:
        nonlocal calls
        calls += event == "call"

    sys.setprofile(tell)
    try:
        load(path)
    finally:
        sys.setprofile(None)
    return calls


def test_a_schedule_twice_as_long_takes_twice_as_long_to_read(tmp_path: Path) -> None:
    calls_for(1, tmp_path / "a.yaml")  # what happens once
    one, some, twice = (calls_for(count, tmp_path / "a.yaml") for count in (1, 50, 100))
    assert twice - one < 2.5 * (some - one)


@pytest.mark.parametrize("wrong", ["pong", "3", "[pong]", "[{game: pong}]", "[{game: 3, frames: 4000}]", "[null]"])
def test_visits_that_are_none_are_refused(wrong: str) -> None:
    said = complaint("--stream.order", "listed", "--stream.visits", wrong)
    assert said.startswith("stream.visits: ") and ("Expected list" in said or "a visit is {game: pong" in said)


@pytest.mark.parametrize("odd", ["1:30", "010", "+0_17", "-1:30:00.5"])
def test_a_number_that_yaml_takes_for_another_is_refused(odd: str, tmp_path: Path) -> None:
    assert complaint(f"--frames={odd}").startswith(f"frames: {odd} is not what it seems")
    assert f"{odd} is not what it seems" in complaint_about(tmp_path, f"learner: {{n_step: {odd}}}")
    assert "game" in complaint_about(tmp_path, f"stream: {{games: ['{odd}']}}")  # in quotes it is a name


def test_a_file_without_end_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="more than 20,000,000 bytes"):
        read_mapping(Path("/dev/zero"), "frames: 3")
    assert "more than 20,000,000 bytes" in complaint("--stream.order", "listed", "--stream.visits_csv", "/dev/zero")


def test_what_may_be_null_is_told_as_plainly(tmp_path: Path) -> None:
    said = complaint_about(tmp_path, {"stream": {"visits_csv": ["a"], "order": "listed"}})
    assert said == "stream.visits_csv: Expected str or null. Got value: ['a']"
