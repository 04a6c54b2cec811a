"""Opens a run directory for a new, a resumed or a continued run, and settles its configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser, Namespace

from configs.checks import ConfigError
from configs.parse import dump, load, make_parser, parse, to_config
from configs.run import build_agent, build_memory, build_schedule, resolve
from configs.schema import Config
from tracking.checkpoints import CheckpointError, Checkpoints
from tracking.files import write_text
from tracking.run_directory import RunDirectory, run_of
from tracking.snapshots import newest_intact, read_snapshot

# What may differ between a run and its continuation: its length, and what only watches it.
MAY_CHANGE = ("frames", "log.", "evaluation.", "emulators.rom_dir", "emulators.threads")
_MACHINE_CHOICES: dict[str, Any] = {
    "threads": 0,
    "emulators.threads": 0,
    "learner.precision": "auto",
    "learner.optimiser_code": "auto",
}

# Settings that no result depends on, and lists of visits, which are too long to show.
_NOT_LEARNED_FROM = (
    "device",
    "deterministic",
    "learner.recorded",
    "replay.compress",
    "replay.device_gib",
    "stream.visits",
)

ON_CPU = ["--device", "cpu", "--learner.recorded", "false", "--replay.device_gib", "0"]
"""Options with which any run's snapshots can be played without its GPU."""

PLAIN_DQN = ("--tasks", "single", "--consolidation.kind", "none", "--learner.rehearsal", "0", "--learner.gated", "0")
"""What makes any configuration that of a plain DQN: one task, one replay and the whole network for everything."""


def train_parser() -> ArgumentParser:
    """The options of train.py."""
    parser = make_parser("train.py", "Launch or resume a run. Durations are environment frames.")
    run = parser.add_argument_group("The run")
    run.add_argument("--run_dir", type=str | None, help="directory of a new run (default: runs/PRESET-seedSEED)")
    run.add_argument(
        "--resume",
        type=str | None,
        help="directory of a run to go on with; only length, log and evaluation may change",
    )
    run.add_argument("--init_from", type=str | None, help="a snapshot whose weights a new run begins with")
    run.add_argument(
        "--compare",
        type=bool,
        default=False,
        nargs="?",
        const=True,
        help="then run a plain DQN on the same stream, in plain_dqn within the run's directory, for the report",
    )
    run.add_argument(
        "--dry_run",
        type=bool,
        default=False,
        nargs="?",
        const=True,
        help="print timetable, memory and expected duration, and stop",
    )
    return parser


def read_options(arguments: list[str]) -> tuple[Namespace, Config]:
    """Parsed options and the checked configuration; with --resume, the run's own with the changes allowed."""
    parser = train_parser()
    options = parse(parser, arguments)
    if options.resume is None:
        return options, to_config(parser, options)
    if options.run_dir:
        raise ConfigError("--resume names the run's directory; --run_dir cannot be given together with it")
    if options.init_from:
        raise ConfigError("--init_from begins a new run; it cannot be given together with --resume")
    saved_file = RunDirectory(options.resume).config
    if not saved_file.is_file():
        raise ConfigError(f"there is no run to resume in {options.resume}: it has no {saved_file.name}")
    options = parse(parser, ["--config", str(saved_file), *arguments])
    saved, asked = load(saved_file), to_config(parser, options)
    frames = RunDirectory(options.resume).frames
    if asked.frames < min(frames, saved.frames):
        raise ConfigError(f"frames: the run has come to {frames:,} already, which is more than {asked.frames:,}")
    return options, _continued(saved, asked)


def _continued(saved: Config, asked: Config) -> Config:
    """`asked` with the machine's choices of `saved`; refuses other differences that change what is learned."""
    if changed := differences(saved, asked, MAY_CHANGE):
        raise ConfigError(f"a resumed run keeps its settings, but {'; '.join(changed)} (--init_from begins a new run)")
    old, new = flat(asdict(saved)), flat(asdict(asked))
    new.update({name: old[name] for name, undecided in _MACHINE_CHOICES.items() if new[name] == undecided})
    return replace(
        asked,
        threads=new["threads"],
        emulators=replace(asked.emulators, threads=new["emulators.threads"]),
        learner=replace(
            asked.learner,
            precision=new["learner.precision"],
            optimiser_code=new["learner.optimiser_code"],
        ),
    )


def differences(saved: Config, asked: Config, but: tuple[str, ...]) -> list[str]:
    """A phrase for every setting in which they differ, but those whose names begin with one of `but` and what `asked`
    leaves to the machine."""
    old, new = flat(asdict(saved)), flat(asdict(asked))
    undecided = [name for name, value in _MACHINE_CHOICES.items() if new[name] == value]
    return [
        f"{name}: {old[name]} in the run, {new[name]} asked for"
        for name in new
        if new[name] != old[name] and name not in undecided and not name.startswith(but)
    ]


def _check_complete(run: RunDirectory) -> None:
    """Raise `ConfigError` if a run lacks what it had: going on would begin it anew, over what is still there."""
    if run.frames > 0 and not Checkpoints(run.checkpoints).available():
        raise ConfigError(
            f"{run.path} has come to {run.frames:,} frames, but {run.checkpoints} holds no checkpoint to go on with; "
            f"put it back, or {begin_anew(run)}"
        )
    if run.frames > 0 and not run.tasks.is_file():
        raise ConfigError(f"{run.tasks} is gone, without which the run's story cannot be told; put it back")


def begin_anew(run: RunDirectory) -> str:
    """The advice for a run that cannot go on."""
    kept = newest_intact(run.snapshots, warn=lambda line: None)
    return f"begin a new run{f' with its weights, --init_from {kept}' if kept else ''}"


def flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{dotted name: value} of settings in parts and parts of parts."""
    found: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            found.update(flat(value, f"{prefix}{name}."))
        else:
            found[prefix + name] = value
    return found


def hyper_parameters(config: Config) -> dict[str, bool | float | str]:
    """The settings of a resolved configuration that decide what is learned, by dotted name: all that a resume keeps but
    choices of the machine that change no result; the games as one text."""
    settings = {**flat(asdict(config)), "stream.games": ", ".join(build_schedule(config).games)}
    hidden = (*MAY_CHANGE, *_NOT_LEARNED_FROM, "threads", "learner.optimiser_code")
    return {name: value for name, value in settings.items() if not name.startswith(hidden)}


def check_snapshot(path: Path, config: Config) -> None:
    """Raise `ConfigError` unless `path` is a snapshot that a run of `config` can begin with."""
    try:
        build_agent(config, build_memory(config), label=lambda: "").load_snapshot(read_snapshot(path)["agent"])
    except CheckpointError as error:
        raise ConfigError(f"--init_from: {error}") from None
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError):
        raise ConfigError(
            f"--init_from: {path} is not a snapshot of a run with {_kind(config)}{_other(path)}"
        ) from None


def _kind(config: Config) -> str:
    gates = f" with gates ({config.learner.gated:g})" if config.learner.gated else ""
    return f"network {config.learner.network}{gates} and tasks {config.tasks}"


def _other(path: Path) -> str:
    """What a snapshot is of instead, as far as the run around it tells."""
    try:
        return f", but of one with {_kind(load(run_of(path) / 'config.yaml', ON_CPU))}"
    except ConfigError:
        return ""


def open_run(options: Namespace, config: Config) -> tuple[RunDirectory, Config]:
    """The locked run directory and the resolved configuration, which it now holds."""
    if options.resume is not None:
        run = RunDirectory(options.resume)
        _check_complete(run)
        run.resume()
    else:
        preset = Path(str(options.config[-1])).stem if options.config else "run"
        run = RunDirectory(options.run_dir or f"runs/{preset}-seed{config.seed}")
        run.create()
        config = resolve(config)
    write_text(run.config, dump(config))
    run.append_versions()
    return run, config
