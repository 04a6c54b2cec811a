"""A resume relies on its checkpoint and on config.yaml; whatever else is wrong is one sentence or is not needed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from configs.checks import ConfigError
from configs.parse import load
from configs.schema import Config
from evaluation.playable import load_run
from tests.integration.runs import TOY, write_config
from tracking.checkpoints import Checkpoints
from tracking.manifest import write_manifest
from tracking.run_directory import RunDirectory
from training import resume
from training.launch import open_run
from training.options import read_options
from training.resume import Beginning

DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "zeroed": lambda data: bytes(len(data)),
    "cut": lambda data: data[: len(data) // 2],
    "one bit": lambda data: data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 1]) + data[len(data) // 2 + 1 :],
    "garbage": lambda data: bytes(range(256)) * 3,
}


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    """What a run leaves behind that was killed after its checkpoint at 800 frames, but for the parts' states."""
    options, config = read_options(["--config", str(write_config(tmp_path / "toy.yaml", TOY))])
    options.run_dir = str(tmp_path / "run")
    run, config, _ = open_run(options, config)
    with run:
        Checkpoints(run.checkpoints).save(800, {}, resume.meta(config))
        run.write_status("running", 900, config.frames)
        run.write_json(run.tasks_before, {"toy_catch": 0})
    return run


def resumed(run: RunDirectory, *arguments: str) -> tuple[Config, Beginning]:
    """The configuration that it goes on with, and what is said."""
    opened, config, beginning = open_run(*read_options(["--resume", str(run.path), *arguments]))
    opened.close()
    return config, beginning


def refusal(run: RunDirectory, *arguments: str) -> str:
    """The sentence with which a resume is refused; nothing has changed and the lock is free."""
    before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file() and path.name != "lock"}
    with pytest.raises(ConfigError) as caught:
        resumed(run, *arguments)
    assert {path: path.read_bytes() for path in before} == before and not run.busy()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def edit(run: RunDirectory, name: str, value: object) -> None:
    """Change a setting in config.yaml by hand."""
    settings = yaml.safe_load(run.config.read_text())
    *groups, last = name.split(".")
    group = settings
    for each in groups:
        group = group[each]
    group[last] = value
    run.config.write_text(yaml.safe_dump(settings))


@pytest.mark.parametrize("how", DAMAGES)
@pytest.mark.parametrize("name", ["status.json", "versions.json", "origin.json", "tasks_before.json", "lock"])
def test_a_side_file_is_not_needed(run: RunDirectory, name: str, how: str) -> None:
    """(Logs and tables: tests/tracking/test_writers.py. What `evaluate.py` needs: tests/evaluation.)"""
    file = run.path / name
    file.write_bytes(DAMAGES[how](file.read_bytes()))
    _, beginning = resumed(run)
    assert all(name in note and "\n" not in note for note in beginning.notes)
    assert isinstance(json.loads(run.versions.read_text()), list)


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_configuration_is_named(run: RunDirectory, how: str) -> None:
    content = run.config.read_bytes()
    bit = content.replace(b"learning_rate: 0.001", b"learning_rate: 0.000")
    run.config.write_bytes(bit if how == "one bit" else DAMAGES[how](content))
    said = refusal(run)
    assert str(run.config) in said if how != "one bit" else "learner.learning_rate: " in said


@pytest.mark.parametrize(
    ("before", "after"),
    [("n_step: ", "n_rtep: "), ("kind: ewc", "kind: ewa"), ("seed: ", "seed: x"), ("n_step: ", "n_step: -")],
)
def test_a_configuration_with_a_field_or_value_that_there_is_not_is_named(
    run: RunDirectory, before: str, after: str
) -> None:
    content = run.config.read_text()
    assert before in content
    run.config.write_text(content.replace(before, after, 1))
    assert refusal(run).startswith(f"{run.config}: ")
    with pytest.raises(ConfigError, match=f"^{run.config}: "):
        load(run.config)


@pytest.mark.parametrize(("name", "value"), [("learner.learning_rate", 0.5), ("seed", 4), ("threads", 2)])
def test_a_setting_edited_by_hand_is_refused_as_the_option_is(run: RunDirectory, name: str, value: object) -> None:
    edit(run, name, value)
    assert f"{name}: " in (said := refusal(run)) and f"{value} now" in said and str(run.config) in said


def test_a_setting_that_may_change_is_told_of_when_edited(run: RunDirectory) -> None:
    edit(run, "log.period", 50)
    config, beginning = resumed(run)
    assert config.log.period == 50
    assert len(beginning.notes) == 1 and "log.period: 100 then, 50 now" in beginning.notes[0]
    assert resumed(run, "--log.period", "70")[0].log.period == 70


def test_a_setting_that_came_with_a_later_version_has_its_default(run: RunDirectory) -> None:
    settings = yaml.safe_load(run.config.read_text())
    del settings["log"]["image_period"]
    run.config.write_text(yaml.safe_dump(settings))
    assert "log.image_period" in refusal(run)
    (checkpoint,) = run.checkpoints.iterdir()
    content = json.loads((checkpoint / "manifest.json").read_text())
    del content["meta"]["settings"]["log.image_period"]
    write_manifest(checkpoint, content["frames"], content["meta"], content["files"])
    assert resumed(run)[0].log.image_period == Config().log.image_period


def test_states_of_another_shape_are_refused_with_the_version_that_wrote_them(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = json.loads(run.versions.read_text())[0]["version"]
    assert version is not None
    monkeypatch.setattr(resume, "STATE_FORMAT", resume.STATE_FORMAT + 1)
    assert f"written by version {version} of this program" in refusal(run)
    (checkpoint,) = run.checkpoints.iterdir()
    write_manifest(checkpoint, 800, {}, {})  # as it was before states had a format
    run.write_json(run.versions, [{"git_commit": "abc"}])
    assert "written by an earlier version of this program (commit abc)" in refusal(run)


def test_a_run_made_on_a_gpu_goes_on_without(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    (checkpoint,) = run.checkpoints.iterdir()
    content = json.loads((checkpoint / "manifest.json").read_text())
    for name, value in {"device": "cuda", "learner.cuda_graphs": True, "replay.device_gib": 1.0}.items():
        edit(run, name, value)
        content["meta"]["settings"][name] = value
    write_manifest(checkpoint, content["frames"], content["meta"], content["files"])
    assert "device" in refusal(run)
    config, beginning = resumed(run, "--device", "cpu")
    assert (config.device, config.learner.cuda_graphs, config.replay.device_gib) == ("cpu", False, 0)
    assert any("device: cuda in the run, cpu from here on" in note for note in beginning.notes)


def test_frames_are_those_of_what_is_kept(run: RunDirectory) -> None:
    run.write_status("running", 2000, 2400)
    run.snapshots.mkdir()
    snapshot = run.snapshots / f"{1200:012d}.pt"
    snapshot.touch()
    assert "has come to 1,200 already" in refusal(run, "--frames", "800")
    snapshot.unlink()
    assert resumed(run, "--frames", "800")[0].frames == 800


def test_a_full_disk_gives_the_lock_back(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("training.launch.write_text", full)
    with pytest.raises(OSError, match="No space"):
        resumed(run)
    assert not run.busy()


def test_killed_before_its_configuration_a_run_can_be_begun_again(tmp_path: Path) -> None:
    with RunDirectory(tmp_path / "run") as killed:
        killed.create()
        killed.begin_with(None)
    with RunDirectory(tmp_path / "run") as again:
        again.create()


def test_settings_of_another_version_are_refused_with_the_version_too(run: RunDirectory) -> None:
    version = json.loads(run.versions.read_text())[0]["version"]
    (checkpoint,) = run.checkpoints.iterdir()
    write_manifest(checkpoint, 800, {"state_format": 1}, {})
    run.config.write_text(run.config.read_text().replace("ewc_lambda:", "strength:"))
    assert "written by an earlier version" in refusal(run) or f"written by version {version}" in refusal(run)
    with pytest.raises(ConfigError, match=rf"unknown field consolidation\.strength.*; version {version} .* wrote it"):
        load_run(run)


def test_lost_tasks_of_the_run_before_are_told(run: RunDirectory) -> None:
    assert not resumed(run)[1].notes
    run.tasks_before.write_bytes(b"{")
    (note,) = resumed(run)[1].notes
    assert note.startswith(f"{run.tasks_before} cannot be read: evaluate.py will take")
