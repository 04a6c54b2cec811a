"""The options of train.py: what they are, help on them, and from them to a run's configuration.

Nothing here imports torch before it is known that there is a run to be made, so that help and mistakes do not wait.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser, Namespace

from configs.checks import ConfigError
from configs.layers import AGENTS
from configs.overview import overview
from configs.parse import make_parser, naming, parse, to_config
from configs.schema import Config
from configs.settings import MACHINE_CHOICES, MAY_CHANGE, OF_THE_DEVICE, ON_CPU, differences, used_settings
from configs.showing import group_help, run_help
from tracking.run_directory import BAD_INPUT, FINISHED, RunDirectory

RUN_OPTIONS = {
    "run_dir": "Folder of a new run (default: runs/PRESET-AGENT-seedSEED).",
    "resume": "Folder of a run to go on with; --frames may take it further.",
    "init_from": "A snapshot whose weights a new run begins with.",
    "dry_run": "Print timetable, memory, disk and duration, and stop.",
}
"""What is asked of train.py beside the configuration."""


def answer(given: Sequence[str]) -> int | None:
    """Print what is asked for where no run is: the presets where nothing is given, help, or what is wrong with the
    options of a new run. The exit code, or None if there is a run to be made."""
    if not given:
        print(overview())
        return BAD_INPUT
    try:
        if (topic := _help_topic(given)) is not None:
            print(group_help(train_parser(), topic) if topic else run_help(train_parser(), RUN_OPTIONS))
            return FINISHED
        options = parse(train_parser(), list(given))
        if options.resume is None:
            to_config(train_parser(), options)
            if not options.config:  # the defaults alone are 50 million frames of three games
                raise ConfigError("name a configuration to begin with, such as --config quick, or a run to --resume")
            files = [Path(str(each)).absolute() for each in options.config]
            if all(file in AGENTS.values() for file in files):
                agent = files[0].stem
                raise ConfigError(f"--config: {agent} says who plays; say first what: --config quick --config {agent}")
    except ConfigError as error:
        print(f"train.py: {error}", file=sys.stderr)
        return BAD_INPUT
    return None


def _help_topic(given: Sequence[str]) -> str | None:
    """The word after --help, "" if it has none; None if no help is asked for."""
    for word, after in zip(given, [*given[1:], ""], strict=True):
        if word in ("--help", "-h"):
            return "" if after.startswith("-") else after
        if word.startswith("--help="):
            return word.partition("=")[2]
    return None


@cache
def train_parser() -> ArgumentParser:
    """The options of train.py; made once in a process."""
    parser = make_parser("train.py", "Launch or resume a run. Durations are environment frames.")
    for name, text in RUN_OPTIONS.items():
        flag: dict[str, Any] = {"type": bool, "default": False, "nargs": "?", "const": True}
        parser.add_argument(f"--{name}", help=text, **(flag if name == "dry_run" else {"type": str | None}))
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
    from training.resume import check_version, progress  # and with it torch

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
    return options, continued(saved, asked)


def continued(saved: Config, asked: Config, free: tuple[str, ...] = ()) -> Config:
    """`asked` with the machine's choices of `saved`; refuses other differences that change what is learned, but in
    settings whose names begin with one of `free`."""
    if changed := differences(saved, asked, MAY_CHANGE + OF_THE_DEVICE + free):
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
