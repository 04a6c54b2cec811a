"""From the command line and YAML files to a checked `Config`, and from any mistake to one sentence."""

from __future__ import annotations

import re
import sys
from argparse import ArgumentError
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import is_dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml
from jsonargparse import ArgumentParser, Namespace, set_parsing_settings

from configs.checks import ConfigError, check
from configs.choices import CHOICES
from configs.files import check_numbers, check_size, read_mapping
from configs.layers import AGENTS, PRESETS, layer, nearest
from configs.lists import KINDS, Whole
from configs.ranges import ranges
from configs.schema import Config, Visit
from configs.settings import tree
from envs.games import canonical
from envs.visits_csv import load_schedule_csv
from tracking.command import empty_option

set_parsing_settings(docstring_parse_attribute_docstrings=True)

_LONGEST = 500  # characters of a complaint that quotes a value
_MISTAKES = (ArgumentError, TypeError, ValueError, OverflowError, yaml.YAMLError)
"""What jsonargparse raises for a mistake of the user's."""
_OF_SWEEPS = {"sets", "agents", "seeds", "grid", "settings", "ranges"}
"""Fields that a sweep's file has and a preset has not."""


def make_parser(prog: str, description: str) -> ArgumentParser:
    """A parser with every field of `Config` under its dotted name, and `--config FILE`."""
    parser = ArgumentParser(prog=prog, description=description, exit_on_error=False, allow_abbrev=False, add_help=False)
    parser.add_argument("--config", action="config", help="A preset, an agent or a file of settings; later ones win.")
    parser.add_class_arguments(Config)
    known = ranges()
    for action in parser._actions:
        if action.dest in KINDS:
            action._typehint = KINDS[action.dest]  # type: ignore[attr-defined]
        if variants := CHOICES.get(action.dest):
            action._typehint = Literal[tuple(variants)]  # type: ignore[attr-defined]
            action.metavar = f"{{{','.join(variants)}}}"
            action.help = f"{action.help} {'; '.join(f'{v.name}: {v.summary}' for v in variants.values())}."
        if bounds := known.get(action.dest):
            if action._typehint is int:  # type: ignore[attr-defined]
                action._typehint = Whole  # type: ignore[attr-defined]
            action.help = f"{action.help} From {bounds}."
    return parser


def parse(parser: ArgumentParser, arguments: list[str] | None = None) -> Namespace:
    """Parsed options; raises `ConfigError` with one sentence for any mistake of the user's."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if problem := empty_option(given):
        raise ConfigError(problem)
    for word in given:
        check_size(word.partition("=")[2] if word.startswith("--") else word, word.partition("=")[0][:40])
    for here, after in zip(given, [*given[1:], ""], strict=False):
        name, equals, value = here.removeprefix("--").partition("=")
        if name in ranges():
            check_numbers(value if equals else after, name)
    presets = []
    for number, word in enumerate(given):
        if word.startswith("--config="):
            presets.append(layer(word.partition("=")[2]))
            given[number] = f"--config={presets[-1]}"
        elif number and given[number - 1] == "--config":
            presets.append(layer(word))
            given[number] = str(presets[-1])
    for file in presets:
        _check_preset(file)
    _check_layers(presets)
    try:
        options = parser.parse_args(given)
    except _MISTAKES as error:
        said = _one_sentence(str(error), parser)
        said = said if len(said) <= _LONGEST else f"{said[:_LONGEST]} ..."
        wrong = next((file for file in presets if not _can_be_parsed(file, parser)), None)
        raise ConfigError(f"{wrong}: {said}" if wrong and str(wrong) not in said else said) from None
    for name, value in options.items():
        if isinstance(value, str) and not value.strip():
            raise ConfigError(f"{name} is empty; give it a value, or leave it out")
    if any(word.startswith("--stream.games") for word in given) and options["stream.order"] == "listed":
        raise ConfigError(
            "stream.games: order listed plays what stream.visits says; games need order rounds or uniform"
        )
    return options


@contextmanager
def naming(file: Path) -> Iterator[None]:
    """What is found to be wrong within it is in `file`, which the sentence then names."""
    try:
        yield
    except ConfigError as error:
        said = str(error)
        raise ConfigError(said if str(file) in said else f"{file}: {said}") from None


def _can_be_parsed(file: Path, parser: ArgumentParser) -> bool:
    """Whether a preset is right by itself, so that a mistake is elsewhere."""
    try:
        parser.parse_args(["--config", str(file)])
    except _MISTAKES:
        return False
    return True


def _check_layers(files: list[Path]) -> None:
    """`ConfigError` for two presets, of which a run plays one, and for an agent that a preset would override."""
    agents = [file for file in files if file.absolute() in AGENTS.values()]
    presets = [file for file in files if file.absolute() in PRESETS.values()]
    if len(presets) > 1:
        raise ConfigError(
            f"--config: {' and '.join(file.stem for file in presets)} are presets; a run plays one of them"
        )
    if presets and agents and files.index(agents[0]) < files.index(presets[0]):
        raise ConfigError(
            f"--config: give {presets[0].stem}, a preset, before {agents[0].stem}, an agent; what is later wins"
        )


def _check_preset(file: Path) -> None:
    """`ConfigError` where a file is there and no preset: jsonargparse would say less of it, or read on for ever."""
    try:
        found = read_mapping(file, "frames: 400_000") if file.is_file() else {}
        if file.is_char_device() or file.is_dir():
            raise ConfigError(f"--config: {file} is no file; give a preset, such as quick, or a file")
    except OSError as error:
        raise ConfigError(f"--config: {str(file)[:100]}: {error.strerror}") from None
    if found.keys() & _OF_SWEEPS:
        raise ConfigError(f"{file}: a sweep, not one run; start it with: sweep.py {file}")
    for name, value in found.items():
        if value is None and is_dataclass(getattr(Config(), str(name), None)):
            raise ConfigError(f"{file}: {name} is empty; it should hold fields, or be left out")


def to_config(parser: ArgumentParser, options: Namespace, checked: bool = True) -> Config:
    """The `Config` in parsed options, checked unless `checked` is false."""
    _refuse_gaps(options, Config())
    fields = parser.instantiate(options)
    config = _with_visits(_with_names(Config(**{name: fields[name] for name in Config.__dataclass_fields__})))
    if checked:
        check(config)
    return config


def _with_names(config: Config) -> Config:
    """`config` with every game by the name that files and reports have."""
    stream = config.stream
    visits = [replace(visit, game=canonical(visit.game)) for visit in stream.visits]
    return replace(config, stream=replace(stream, games=[canonical(name) for name in stream.games], visits=visits))


def _with_visits(config: Config) -> Config:
    """`config` with the visits of its CSV file spelt out, so that a run does not depend on the file."""
    if config.stream.order != "listed" or not config.stream.visits_csv or config.stream.visits:
        return config
    try:
        listed = load_schedule_csv(config.stream.visits_csv).visits
    except OSError as error:
        raise ConfigError(f"stream.visits_csv: {config.stream.visits_csv}: {error.strerror}") from None
    except ValueError as error:
        raise ConfigError(f"stream.visits_csv: {error}") from None
    visits = [Visit(each.game, each.frames) for each in listed]
    return replace(config, stream=replace(config.stream, visits=visits, visits_csv=None))


def _refuse_gaps(options: Namespace, usual: Any, prefix: str = "") -> None:
    """`ConfigError` where jsonargparse let something pass that is no group of fields, or a null."""
    for name, default in vars(usual).items():
        value = options[name]
        if is_dataclass(default):
            if not isinstance(value, Namespace):
                raise ConfigError(f"{prefix}{name}: Expected a group of fields. Got value: {value}")
            _refuse_gaps(value, default, f"{prefix}{name}.")
        elif value is None and default is not None:
            raise ConfigError(f"{prefix}{name}: Expected {type(default).__name__}. Got value: null")


def load(path: str | Path, overrides: list[str] | None = None) -> Config:
    """The checked `Config` of a YAML file with overrides such as `--learner.n_step 3`; a ConfigError names the file
    where it is wrong by itself."""
    parser, given = _plain_parser(), ["--config", str(path)]
    if overrides:
        try:
            return to_config(parser, parse(parser, [*given, *overrides]))
        except ConfigError as error:
            load(path)  # raises what is wrong with the file, if anything is
            raise error from None
    with naming(Path(path)):
        return to_config(parser, parse(parser, given))


@cache
def _plain_parser() -> ArgumentParser:
    """One for all files, because its making takes longer than a file."""
    return make_parser("load", "")


def dump(config: Config) -> str:
    """`config` as YAML text that `load` reads back to an equal object, but for what it does not use."""
    return yaml.safe_dump(tree(config), sort_keys=False, allow_unicode=True)


def field_names(parser: ArgumentParser) -> list[str]:
    """Every option by its dotted name."""
    names = (option.lstrip("-") for action in parser._actions for option in action.option_strings)
    return [name for name in names if name not in ("h", "help") and not name.endswith((".help", "+"))]


def nearest_field(wrong: str, names: list[str]) -> str | None:
    """The field that is most like `wrong`, with or without the group that it is in; None if none is alike."""
    last = [name for name in names if name.rsplit(".", 1)[-1] == wrong.rsplit(".", 1)[-1]]
    if last:
        return nearest(wrong, last) or last[0]
    short = {name.rsplit(".", 1)[-1]: name for name in reversed(names)} if "." not in wrong else {}
    near = nearest(wrong, [*names, *short])
    return short.get(near, near) if near else None


def _one_sentence(message: str, parser: ArgumentParser) -> str:
    text = " ".join(message.split())
    unknown = re.search(r"unrecognized arguments: --([\w.+-]+)", text, re.IGNORECASE) or re.search(
        r"""[Oo]ption ['"]([\w.]+)['"] is not accepted|does not accept option ['"]([\w.]+)['"]""", text
    )
    if unknown:
        name = next(found for found in unknown.groups() if found)
        group = re.search(r"""Group ['"]([\w.]+)['"]""", text)
        if group and not name.startswith(group.group(1)):
            name = f"{group.group(1)}.{name}"
        near = nearest_field(name, field_names(parser))
        return f"unknown field {name}" + (f"; did you mean {near}?" if near else "; see --help")
    if valueless := re.search(r"argument --([\w.]+): expected one argument", text):
        name = valueless.group(1)
        return f"{name}: a value is missing; one that begins with - is given as --{name}=-1"
    if stray := re.search(r"unrecognized arguments: (\S+)", text, re.IGNORECASE):
        return f"{stray.group(1)}: not the name of an option; a preset is given as --config NAME"
    wrong = re.search(r"""[Pp]arser key ["']([\w.]+)["']:?\s*(.*)""", text)
    if wrong:
        path, reason = wrong.groups()
        reason = re.sub(r"(?:an? )?typing\.Literal\[(.*?)\]", r"one of \1", reason)
        reason = re.sub(r"(?:an? )?<class '(\w+)'>", r"\1", reason)
        reason = re.sub(
            r"Does not validate against any of the Union subtypes "
            r"Subtypes: \[(?:NoneType, )?(\w+)(?:, NoneType)?\].* Given value: (.*)$",
            r"Expected \1 or null. Got value: \2",
            reason,
        )
        return f"{path}: {reason}"
    return text
