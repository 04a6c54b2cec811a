"""Agents side by side: what sets them apart, what is kept of them, and that nothing is run twice."""

import json
import os
import signal
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from configs.build import build_schedule, planned_visits
from configs.checks import ConfigError
from configs.layers import AGENTS, as_arguments
from configs.parse import load
from configs.settings import used_settings
from experiments import jobs as jobs_module
from experiments.compare import RESULTS, jobs_of, main, single_jobs
from experiments.jobs import Interrupted, Job, check_settings, keep, run_all
from tests.integration.runs import TOY, write_config
from tracking.run_directory import RunDirectory

WHOLE = "configs/presets/ten_games.yaml"


def agent(name: str) -> list[str]:
    return ["--config", str(AGENTS[name])]


@pytest.mark.parametrize("name", [name for name in AGENTS if name != "ewc_inferred"])
def test_agents_differ_from_the_whole_one_in_a_few_settings(name: str) -> None:
    whole, other = (used_settings(load(WHOLE, agent(each))) for each in ("ewc_inferred", name))
    differ = {setting for setting in whole.keys() & other.keys() if whole[setting] != other[setting]}
    own = {"learner.network"} if name == "plain_dqn_small" else set()
    assert 1 <= len(differ - own) <= 2 and load(WHOLE) == load(WHOLE, agent("ewc_inferred"))
    assert differ - own <= {"task_source", "consolidation.kind", "learner.rehearsal"}  # the paper has no gates
    shipped = load("configs/presets/quick.yaml", agent("no_penalty_nor_pruning"))
    assert not shipped.consolidation.prune_inactive and load("configs/presets/quick.yaml").consolidation.prune_inactive
    assert load("configs/presets/quick.yaml", agent("plain_dqn")).learner.gated == 0


def test_the_arguments_of_a_layer_say_what_its_file_says() -> None:
    for file in AGENTS.values():
        assert load(WHOLE, as_arguments(file)) == load(WHOLE, ["--config", str(file)])


@pytest.mark.slow
def test_a_comparison_of_toys_runs_once_and_keeps_what_is_small(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_config(tmp_path / "toys.yaml", TOY)
    arguments = ["--config", str(config), "--agents", "ewc_labels,plain_dqn", "--seeds", "0", "--without_single"]
    arguments += ["--runs", str(tmp_path / "runs"), "--results", str(tmp_path / "kept")]
    assert main([*arguments, "--frames", "1600"]) == 0
    for agent, tasks, kind in (("ewc_labels-0", "true_labels", "ewc"), ("plain_dqn-0", "single", "none")):
        run, kept = (RunDirectory(tmp_path / place / "toys" / agent) for place in ("runs", "kept"))
        written = load(kept.config)
        assert (written.task_source, written.consolidation.kind, written.seed, written.threads) == (tasks, kind, 0, 1)
        for name in ("evaluations", "task_changes", "confusion", "config"):
            assert getattr(kept, name).read_bytes() == getattr(run, name).read_bytes()
        status = kept.read_status()
        assert status is not None and status["state"] == "finished" and status["frames"] == 1600
        assert not kept.checkpoints.exists() and not kept.snapshots.exists()
    page = tmp_path / "kept" / "toys" / "report" / "report.html"
    assert "ewc_labels" in page.read_text() and "plain_dqn" in page.read_text()
    capsys.readouterr()
    assert main([*arguments, "--frames", "1600"]) == 0 and "started" not in capsys.readouterr().out


def test_what_is_kept_of_metrics_is_thinned_and_has_every_departure(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "run")
    run.create()
    run.config.write_text("")
    run.append_versions({"git_commit": "one"})
    run.append_versions({"git_commit": "another"})  # it was resumed
    loop = [{"frames": i, "x": 1 / 3, "task/count": 3} for i in range(1, 991)]
    lines = [{"frames": 17, "x": 1 / 3, "learning/active_fraction": 1e-7 / 3}, *loop]
    for at in (900, 300, 200):
        lines.insert(at, {"frames": at, "evaluation/score": 1.0})  # in the background they come later than otherwise
    run.metrics.write_text("".join(json.dumps(line) + "\n" for line in lines))
    run.write_status("finished", 1, 1)
    keep(run.path, tmp_path / "kept")
    found = [json.loads(line) for line in RunDirectory(tmp_path / "kept").metrics.read_text().splitlines()]
    assert found[0] == {"frames": 17, "x": 0.33333, "learning/active_fraction": 3.3333e-08}
    assert [line["frames"] for line in found[1:]] == [*range(24, 991, 24), 990]
    starts = json.loads(RunDirectory(tmp_path / "kept").versions.read_text())
    assert [start["git_commit"] for start in starts] == ["one", "another"] and "platform" not in starts[0]


class Process:
    """Stands in for a run that ends at once."""

    started: list[list[str]] = []  # noqa: RUF012
    returncode = 0

    def __init__(self, command: list[str], **_: object) -> None:
        self.started.append(command)
        directory = RunDirectory(
            Path(command[command.index("--run_dir" if "--run_dir" in command else "--resume") + 1])
        )
        directory.path.mkdir(parents=True, exist_ok=True)
        directory.config.write_text("")
        directory.metrics.write_text("")
        directory.versions.write_text("[]")
        directory.write_status("finished", 1, 1)

    def poll(self) -> int:
        return self.returncode


@pytest.fixture
def process(monkeypatch: pytest.MonkeyPatch) -> type[Process]:
    class Fresh(Process):
        started: list[list[str]] = []  # noqa: RUF012

    monkeypatch.setattr(jobs_module.subprocess, "Popen", Fresh)
    monkeypatch.setattr(jobs_module.time, "sleep", lambda _: None)
    return Fresh


def test_what_was_stopped_is_resumed(tmp_path: Path, process: type[Process]) -> None:
    job = Job("a", ("--seed", "7"), tmp_path / "a", tmp_path / "kept")
    RunDirectory(job.directory).path.mkdir()
    RunDirectory(job.directory).config.write_text("")
    process.returncode = 75
    said: list[str] = []
    assert run_all([job], 1, said.append) == ["a"] and "resume" in said[-1] and not job.done
    process.returncode = 0
    assert run_all([job], 1, said.append) == [] and job.done
    assert [command[2:] for command in process.started] == [["--resume", str(job.directory)]] * 2


def test_one_that_fails_does_not_keep_the_others_from_running(tmp_path: Path, process: type[Process]) -> None:
    process.returncode = 1
    jobs = [Job(name, (), tmp_path / name, tmp_path / "kept" / name) for name in "abc"]
    assert run_all(jobs, 2, lambda _: None) == ["a", "b", "c"] and len(process.started) == 3


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_interruption_stops_what_is_under_way_and_says_how_to_go_on(
    tmp_path: Path, process: type[Process], number: signal.Signals, request: pytest.FixtureRequest
) -> None:
    request.addfinalizer(partial(signal.signal, signal.SIGINT, signal.getsignal(signal.SIGINT)))
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background job has not
    ended: list[str] = []
    process.poll = lambda self: os.kill(os.getpid(), number)  # type: ignore[assignment]
    process.terminate = lambda self: ended.append("asked")  # type: ignore[attr-defined]
    process.wait = lambda self: ended.append("waited for")  # type: ignore[attr-defined]
    handlers = [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)]
    said: list[str] = []
    jobs = [Job(name, (), tmp_path / name, tmp_path / "kept" / name) for name in "abc"]
    with pytest.raises(Interrupted, match="start this again to go on with a, b, c"):
        run_all(jobs, 2, said.append)
    assert ended == ["asked", "asked", "waited for", "waited for"]
    assert [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)] == handlers


def test_three_games_are_compared_with_single_runs_of_the_same_length(tmp_path: Path) -> None:
    jobs = single_jobs(Path("configs/presets/three_games.yaml"), [0, 1], tmp_path, tmp_path, [])
    assert [job.name for job in jobs] == [f"{game}-{s}" for s in (0, 1) for game in ("road_runner", "boxing", "krull")]
    stream, alone = load("configs/presets/three_games.yaml"), load("configs/presets/single_game.yaml")
    for part in ("exploration", "replay", "emulators"):
        assert getattr(stream, part) == getattr(alone, part)
    assert replace(stream.learner, network="small", gated=0.0) == alone.learner  # as many units for every game
    wider = ["--learner.network", "wide8", "--learner.gated", "0.875"]
    jobs = single_jobs(Path("configs/presets/three_games.yaml"), [0], tmp_path, tmp_path, wider)
    assert [job.name for job in jobs] == [f"{game}-0" for game in ("road_runner", "boxing", "krull")]
    for text in ("learner.learning_rate 1e-4", "replay.capacity 50000", "learner.network nature", "learner.gated 0.9"):
        other = f"--{text}".split()  # what learns differently
        jobs = single_jobs(Path("configs/presets/three_games.yaml"), [0], tmp_path, tmp_path, other)
        assert [job.name for job in jobs] == [f"single_{game}-0" for game in ("road_runner", "boxing", "krull")]


def test_ten_games_are_compared_with_single_runs_of_the_same_length(tmp_path: Path) -> None:
    config = Path("configs/presets/ten_games_cpu.yaml")
    games = build_schedule(load(config)).games
    games = tuple(visit.game for _, _, visit in planned_visits(load(config))[: len(games)])  # in the order of the round
    assert [job.name for job in single_jobs(config, [0], tmp_path, tmp_path, [])] == [f"{game}-0" for game in games]
    jobs = single_jobs(config, [0], tmp_path / "runs", tmp_path / "kept", [])
    assert jobs[0].directory == tmp_path / "runs" / "one_of_ten" / jobs[0].name and "one_of_ten" in jobs[0].arguments
    assert jobs[0].kept == tmp_path / "kept" / "one_of_ten" / jobs[0].name
    assert single_jobs(config, [0], tmp_path, RESULTS, [])[0].kept.parent == RESULTS.parent / "one_of_ten"
    other = single_jobs(config, [0], tmp_path, tmp_path, ["--learner.gated", "0.5"])
    assert all(job.name.startswith("single_") for job in other)


def test_the_kept_runs_of_the_quick_result_are_of_its_preset_today() -> None:
    kept = RESULTS.parent / "quick"
    plain = ("--learner.network", "tiled", "--replay.capacity", "10000", "--evaluation.reference", "null")
    runs = {f"ewc-{seed}": ("--seed", str(seed)) for seed in (1, 2)}
    runs["plain_dqn_short_replay"] = ("--seed", "1", *agent("plain_dqn"), *plain)
    for name, given in runs.items():
        check_settings([Job(name, ("--config", "quick", *given), Path("nowhere"), kept / name)])
        assert RunDirectory(kept / name).finished


def test_the_other_three_games_are_played_with_the_same_settings() -> None:
    tuned, others = load("configs/presets/three_games.yaml"), load("configs/presets/three_others.yaml")
    assert replace(others, stream=tuned.stream) == tuned
    assert [visit.frames for visit in others.stream.visits] == [visit.frames for visit in tuned.stream.visits]
    games = ({visit.game for visit in config.stream.visits} for config in (tuned, others))
    assert set.isdisjoint(*games)


def test_single_runs_of_another_length_are_plain_agents_of_the_same_configuration(tmp_path: Path) -> None:
    jobs = single_jobs(Path("configs/presets/quick.yaml"), [0], tmp_path, tmp_path, ["--log.period", "8000"])
    assert [job.name for job in jobs] == ["single_road_runner-0", "single_freeway-0", "single_krull-0"]
    stream = load("configs/presets/quick.yaml")
    for job, frames in zip(jobs, (208_000, 200_000, 152_000), strict=True):
        _, file, *given = job.arguments
        alone = load(file, given)
        assert (alone.frames, alone.task_source, alone.consolidation.kind) == (frames, "single", "none")
        assert alone.log.period == 8000
        schedule = build_schedule(alone)
        assert schedule.games == (job.name.split("_", 1)[1][:-2],)
        assert [visit.frames for _, _, visit in planned_visits(alone)] == [frames]
        assert alone.learner == replace(stream.learner, gated=0.0)


def test_single_runs_of_visits_in_a_file_are_of_their_games() -> None:
    jobs = single_jobs(Path("configs/presets/paper_schedule.yaml"), [0], Path("runs"), Path("nowhere"), [])
    frames = {job.name: load(job.arguments[1], job.arguments[2:]).frames for job in jobs}
    assert len(frames) == 10 and sum(frames.values()) == load("configs/presets/paper_schedule.yaml").frames


def test_what_is_kept_of_other_settings_is_refused() -> None:
    """What lies in the repository is what the commands ask for; with other settings it would be taken for that."""
    config, nowhere = Path("configs/presets/three_games.yaml"), Path("nowhere")
    given: list[str] = []
    jobs = jobs_of(config, ["ewc_inferred", "no_penalty_nor_pruning"], range(3), nowhere, RESULTS, given)
    jobs += single_jobs(config, range(3), nowhere, RESULTS, given)
    assert all(job.done for job in jobs)
    check_settings(jobs)
    with pytest.raises(ConfigError, match="n_step: 10 in the run, 3 asked for"):
        check_settings(jobs_of(config, ["ewc_inferred"], [0], nowhere, RESULTS, ["--learner.n_step", "3"]))
    with pytest.raises(ConfigError, match="frames: 1200000 in the run, 600000 asked for"):
        check_settings(jobs_of(config, ["ewc_inferred"], [0], nowhere, RESULTS, ["--frames", "600000"]))


def test_the_order_is_seed_by_seed(tmp_path: Path) -> None:
    jobs = jobs_of(Path("configs/presets/three_games.yaml"), ["l2", "plain_dqn"], [0, 1], tmp_path, tmp_path, [])
    assert [job.name for job in jobs] == ["l2-0", "plain_dqn-0", "l2-1", "plain_dqn-1"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--agents", "ewc"], "there is no 'ewc'; choose from ewc_inferred, ewc_labels"),
        (["--seeds", "0,1,0"], "--seeds: give each number once, is '0,1,0'"),
        (["--config", "configs/none.yaml"], "none.yaml"),
        (["--learner.n_steps", "3"], "n_steps"),
        (["--seed", "5"], "--seed would be that of every run; give --seeds"),
        (["--config", "configs/presets/single_game.yaml"], "plays one game only"),
        (["--consolidation.kind", "ewc"], "no_penalty-0 would be the same run as ewc_inferred-0"),
    ],
)
def test_mistakes_are_told_in_a_line(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    error = capsys.readouterr().err.strip()
    assert caught.value.code == 2 and said in error.splitlines()[-1]
