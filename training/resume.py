"""What a resume relies on, checked when it begins and before anything is changed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from configs.checks import ConfigError
from configs.files import read_mapping
from configs.schema import Config
from configs.settings import MAY_CHANGE, OF_THE_DEVICE, flat, used_settings
from tracking.files import quoted
from tracking.manifest import CheckpointError, DamageError, available, read_manifest
from tracking.run_directory import RunDirectory, RunDirectoryError, made_by
from tracking.snapshots import kept_snapshots, newest_intact
from tracking.task_log import tasks_before_lost
from tracking.tensorboard import event_files, last_step
from tracking.versions import program

STATE_FORMAT = 4
"""Of the states in a checkpoint. Raised whenever a key in them comes, goes or changes its meaning, which
tests/conformance/test_state_shape.py notices; checkpoints of another number are refused."""


def meta(config: Config) -> dict[str, Any]:
    """What every checkpoint of a run says about itself, as JSON-able `meta`: the format of its states, which program
    wrote it, and every setting."""
    return {"state_format": STATE_FORMAT, "program": program(), "settings": used_settings(config)}


@dataclass(frozen=True)
class Beginning:
    """How a run that is resumed begins: the snapshot whose weights it takes up (None: none, or what a checkpoint says),
    and sentences for the user."""

    init_from: Path | None
    notes: list[str]


def check(run: RunDirectory, asked: Config) -> Beginning:
    """What the locked `run` begins with when it is resumed as `asked`; ConfigError if it cannot be gone on with as it
    was."""
    known = available(run.checkpoints)
    if not known:
        if trace := next(_traces(run), None):
            raise ConfigError(
                f"{trace} shows that the run in {run.path} had begun, but {run.checkpoints} holds no checkpoint to go "
                f"on with; put it back, or {begin_anew(run)}"
            )
        try:
            return Beginning(run.began_with(), [])
        except RunDirectoryError as error:
            raise ConfigError(f"{error}; there is no checkpoint to go on with either, so begin a new run") from None
    found = check_version(run)
    if found is None:
        return Beginning(None, [])  # all of them are damaged, which is told when they are read
    settings = found["settings"]
    return Beginning(None, [*_edits(run, settings), *_another_device(settings, asked), *_lost_tasks(run)])


def check_version(run: RunDirectory) -> dict[str, Any] | None:
    """What the newest checkpoint that can be read tells of itself, if any; ConfigError if a version of this program
    wrote it whose states have another shape."""
    found = _newest_meta(run, available(run.checkpoints))
    if found is not None and found.get("state_format") != STATE_FORMAT:
        raise ConfigError(
            f"the checkpoints in {run.path} were written by {made_by(run, found)}, whose states have another shape: "
            f"go on with that version, or {begin_anew(run)}"
        )
    return found


def progress(run: RunDirectory) -> int:
    """The frames that a run has come to, by what it has kept of them."""
    kept = [int(path.stem) for path in kept_snapshots(run.snapshots)]
    return max([*kept, *available(run.checkpoints)], default=0)


def begin_anew(run: RunDirectory) -> str:
    """The advice for a run that cannot go on."""
    kept = newest_intact(run.snapshots, warn=lambda line: None)
    return f"begin a new run{f' with its weights, --init_from {quoted(kept)}' if kept else ''}"


def after_divergence(run: RunDirectory, config: Config) -> str:
    """The advice for a run whose learning broke down: what to lower, and what there is to begin with."""
    pulled = config.consolidation.kind != "none" and config.consolidation.step == "gradient"
    either = "consolidation.ewc_lambda or " if pulled and config.consolidation.ewc_lambda else ""
    return f"lower {either}learner.learning_rate and {begin_anew(run)}"


def _traces(run: RunDirectory) -> Iterator[Path]:
    """Whatever shows that a run came further than its first checkpoint, and would be lost if it began anew."""
    yield from sorted(run.snapshots.glob("*.pt"))
    yield from sorted(path for path in run.checkpoints.glob("*") if not path.name.startswith(".tmp-"))
    for file in (run.evaluations, run.task_changes, run.confusion):
        if file.is_file() and file.stat().st_size:
            yield file
    if run.report.is_dir():
        yield run.report
    if run.frames > 0:
        yield run.status
    yield from (file for file in event_files(run.tensorboard) if last_step(file) > 0)
    for line in run.metrics.read_bytes().splitlines() if run.metrics.is_file() else []:
        with suppress(ValueError, KeyError, TypeError):
            if json.loads(line)["frame"] > 0:
                yield run.metrics


def _newest_meta(run: RunDirectory, known: list[int]) -> dict[str, Any] | None:
    """That of the newest checkpoint that tells; ConfigError for one of a format that this program does not read."""
    for frames in reversed(known):
        try:
            return dict(read_manifest(run.checkpoints / f"{frames:012d}")["meta"])
        except DamageError:
            continue
        except CheckpointError as error:
            raise ConfigError(f"{error}; {made_by(run)} wrote it, so go on with that version") from None
    return None


def _lost_tasks(run: RunDirectory) -> Iterator[str]:
    if tasks_before_lost(run):
        yield (
            f"{run.tasks_before} cannot be read: evaluate.py will take games that this run has not played for games "
            "that it never met; training needs it for nothing"
        )


def _edits(run: RunDirectory, settings: dict[str, Any]) -> Iterator[str]:
    """Sentences on what was changed in config.yaml by hand; ConfigError if a run may not change it."""
    now = flat(read_mapping(run.config, "frames: 400_000"))
    manifest = f"the newest of {run.checkpoints} tells in manifest.json what was there"
    lost = [name for name in settings if name not in now]
    if lost:
        raise ConfigError(f"{run.config} lacks {', '.join(lost[:3])}{' and more' * (len(lost) > 3)}; {manifest}")
    changed = {name: f"{name}: {old} then, {now[name]} now" for name, old in settings.items() if now[name] != old}
    wrong = [phrase for name, phrase in changed.items() if not name.startswith(MAY_CHANGE + OF_THE_DEVICE)]
    if wrong:
        raise ConfigError(
            f"a resumed run keeps its settings, but {run.config} is not what it was at the last checkpoint: "
            f"{'; '.join(wrong)}; put them back (--init_from begins a new run)"
        )
    if changed:
        yield f"{run.config} is not what it was at the last checkpoint: {'; '.join(changed.values())}"


def _another_device(settings: dict[str, Any], asked: Config) -> Iterator[str]:
    if settings["device"] != asked.device:
        yield (
            f"device: {settings['device']} in the run, {asked.device} from here on, which rounds otherwise: the run "
            "will not be bit for bit what it would have been"
        )
