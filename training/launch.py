"""Opens a run directory for a new, a resumed or a continued run, and settles its configuration."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from functools import cache
from pathlib import Path

import torch
from jsonargparse import ArgumentParser, Namespace

from configs.build import build_agent, build_memory, build_schedule
from configs.checks import ConfigError
from configs.parse import dump, load, make_parser, naming, parse, to_config
from configs.schema import Config
from configs.settings import MACHINE_CHOICES, MAY_CHANGE, OF_THE_DEVICE, differences, used_settings
from tracking.checkpoints import CheckpointError
from tracking.files import write_text
from tracking.run_directory import RunDirectory, run_of
from tracking.snapshots import read_snapshot
from training.machine import resolve
from training.resume import Beginning, check, check_version, made_by, progress

# Settings that no result depends on, and lists of visits, which are too long to show.
_NOT_LEARNED_FROM = (
    "device",
    "deterministic",
    "learner.cuda_graphs",
    "replay.compress",
    "replay.device_gib",
    "stream.visits",
)

ON_CPU = ["--device", "cpu", "--learner.cuda_graphs", "false", "--replay.device_gib", "0"]
"""Options with which any run's snapshots can be played without its GPU."""


@cache
def train_parser() -> ArgumentParser:
    """The options of train.py; made once in a process."""
    parser = make_parser("train.py", "Launch or resume a run. Durations are environment frames.")
    run = parser.add_argument_group("The run")
    run.add_argument("--run_dir", type=str | None, help="directory of a new run (default: runs/PRESET-AGENT-seedSEED)")
    run.add_argument(
        "--resume",
        type=str | None,
        help="directory of a run to go on with; only length, log and evaluation may change",
    )
    run.add_argument("--init_from", type=str | None, help="a snapshot whose weights a new run begins with")
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
    run = RunDirectory(options.resume)
    if not run.config.is_file():
        raise ConfigError(f"there is no run to resume in {options.resume}: it has no {run.config.name}")
    check_version(run)  # first, as the settings of another version may have other names
    own = ["--config", str(run.config)]
    options = parse(parser, [*own, *arguments])
    # What the run was is not checked: an option may say what is right here, as on a machine without its GPU.
    with naming(run.config):
        saved = to_config(parser, parse(parser, own), checked=False)
    asked = to_config(parser, options, checked=False)
    if (saved.device, asked.device) == ("cuda", "cpu"):
        options = parse(parser, [*own, *ON_CPU, *arguments])
    with naming(run.config) if asked == saved else nullcontext():  # then nothing else can be wrong
        asked = to_config(parser, options)
    frames = progress(run)
    if asked.frames < min(frames, saved.frames):
        raise ConfigError(f"frames: the run has come to {frames:,} already, which is more than {asked.frames:,}")
    return options, _continued(saved, asked)


def load_run(run: RunDirectory) -> Config:
    """The configuration of a run, to evaluate it: for the CPU where there is no GPU. ConfigError with one sentence."""
    try:
        return load(run.config, [] if torch.cuda.is_available() else ON_CPU)
    except ConfigError as error:
        if "unknown field" not in str(error):
            raise
        raise ConfigError(f"{error}; {made_by(run)} wrote it, and can evaluate the run") from None


def _continued(saved: Config, asked: Config) -> Config:
    """`asked` with the machine's choices of `saved`; refuses other differences that change what is learned."""
    if changed := differences(saved, asked, MAY_CHANGE + OF_THE_DEVICE):
        raise ConfigError(f"a resumed run keeps its settings, but {'; '.join(changed)} (--init_from begins a new run)")
    old, new = used_settings(saved), used_settings(asked)
    new.update({name: old[name] for name, undecided in MACHINE_CHOICES.items() if new[name] == undecided})
    return replace(
        asked,
        threads=new["threads"],
        emulators=replace(asked.emulators, threads=new["emulators.threads"]),
        learner=replace(
            asked.learner,
            optimizer_code=new["learner.optimizer_code"],
        ),
    )


def hyper_parameters(config: Config) -> dict[str, bool | float | str]:
    """The settings of a resolved configuration that decide what is learned, by dotted name: all that a resume keeps but
    choices of the machine that change no result; the games as one text."""
    used = {**used_settings(config), "stream.games": ", ".join(build_schedule(config).games)}
    hidden = (*MAY_CHANGE, *_NOT_LEARNED_FROM, "threads", "learner.optimizer_code")
    return {name: value for name, value in used.items() if not name.startswith(hidden)}


def check_snapshot(path: Path, config: Config) -> None:
    """Raise `ConfigError` unless `path` is a snapshot that a run of `config` can begin with."""
    try:
        kept = read_snapshot(path)["agent"]
        build_agent(config, build_memory(config), label=lambda: "").load_snapshot(kept)
    except CheckpointError as error:
        raise ConfigError(f"--init_from: {error}") from None
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError):
        raise ConfigError(
            f"--init_from: {path} is not a snapshot of a run with {_kind(config)}{_other(path)}"
        ) from None


def _kind(config: Config) -> str:
    gates = f" with gates ({config.learner.gated:g})" if config.learner.gated else ""
    return f"network {config.learner.network}{gates} and tasks {config.task_source}"


def _other(path: Path) -> str:
    """What a snapshot is of instead, as far as the run around it tells."""
    try:
        return f", but of one with {_kind(load(run_of(path) / 'config.yaml', ON_CPU))}"
    except ConfigError:
        return ""


def open_run(options: Namespace, config: Config) -> tuple[RunDirectory, Config, Beginning]:
    """The locked run directory, the resolved configuration, which it now holds, and what the run begins with."""
    if options.resume is not None:
        run = RunDirectory(options.resume)
        run.resume()
    else:
        layers = "-".join(Path(str(file)).stem for file in options.config or ["run"])
        run = RunDirectory(options.run_dir or f"runs/{layers}-seed{config.seed}")
        run.create()
    try:
        if options.resume is not None:
            beginning = check(run, config)
        else:
            beginning = Beginning(Path(options.init_from) if options.init_from else None, [])
            run.begin_with(beginning.init_from)  # before there is a configuration to resume with
            config = resolve(config)
        write_text(run.config, dump(config))
        told = run.append_versions()
    except BaseException:
        run.close()
        raise
    return run, config, replace(beginning, notes=[*beginning.notes, *([told] if told else [])])
