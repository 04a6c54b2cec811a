"""What `--help` prints: the options of a run on one screen, and all that is known of the settings of a group."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import fields, is_dataclass
from typing import Any, Literal, get_args, get_origin, get_type_hints

from jsonargparse import ArgumentParser

from configs.checks import ConfigError
from configs.layers import as_text, nearest
from configs.schema import Config

_WIDTH = 80  # columns
_HEAD = """\
Launch or resume a run. Durations are environment frames.

  python train.py                                  lists presets and agents
  python train.py --config quick --frames 1e6      a preset, and what differs
  python train.py --config ten_games --config no_penalty --seed 1
  python train.py --resume runs/quick-seed1        goes on after any stop
"""


def run_help(parser: ArgumentParser, own: Iterable[str]) -> str:
    """A line for every option of the run itself, `own` and those in no group, and for every group of settings."""
    single = [each.name for each in fields(Config) if each.name not in _groups()]
    lines = [_HEAD, "The run:"]
    lines += [_line(f"--{name}", _help(parser, name)) for name in ("config", *own, *single)]
    lines += ["", "Groups of settings, shown by --help GROUP:"]
    lines += [_line(name, _summary(group)) for name, group in _groups().items()]
    return "\n".join([*lines, _line("all", "Every setting there is.")])


def group_help(parser: ArgumentParser, topic: str) -> str:
    """Every setting whose dotted name begins with `topic`, all if that is "all": its values, default and meaning.
    ConfigError names the nearest if there is none."""
    known = dict(_settings(Config()))
    topic = topic.removeprefix("--")
    found = [name for name in known if topic == "all" or f"{name}.".startswith(f"{topic}.")]
    if not found:
        groups = {name.rpartition(".")[0]: None for name in known if "." in name}
        near = nearest(topic, ["all", *groups, *known])
        told = f"did you mean {near}?" if near else f"there are {', '.join(_groups())} and all"
        raise ConfigError(f"--help: there is no group of settings {topic[:100]}; {told}")
    lines = []
    for name in found:
        kind, default = known[name]
        shown = f"{default:_}" if type(default) is int else as_text(default)
        head, default = f"--{name} {_values(parser, name, kind)}", f"   (default: {shown})"
        if len(head) > _WIDTH:  # a long list of values
            *wrapped, head = textwrap.wrap(head.replace(",", ", "), _WIDTH, subsequent_indent=4 * " ")
            lines += wrapped
        lines += [head + default] if len(head + default) <= _WIDTH else [head, default]
        lines += textwrap.wrap(_help(parser, name), _WIDTH, initial_indent=4 * " ", subsequent_indent=4 * " ")
    return "\n".join(lines)


def _groups() -> dict[str, Any]:
    return {each.name: value for each in fields(Config) if is_dataclass(value := getattr(Config(), each.name))}


def _settings(group: Any, prefix: str = "") -> Iterator[tuple[str, tuple[Any, Any]]]:
    """(dotted name, (type, default)) of all in a group."""
    kinds = get_type_hints(type(group))
    for each in fields(group):
        value = getattr(group, each.name)
        if is_dataclass(value):
            yield from _settings(value, f"{prefix}{each.name}.")
        else:
            yield prefix + each.name, (kinds[each.name], value)


def _help(parser: ArgumentParser, name: str) -> str:
    return next(" ".join(str(action.help).split()) for action in parser._actions if action.dest == name)


def _values(parser: ArgumentParser, name: str, kind: Any) -> str:
    """What may be given, in a word."""
    action = next(action for action in parser._actions if action.dest == name)
    if isinstance(action.metavar, str) and action.metavar.startswith("{"):
        return action.metavar
    if get_origin(kind) is Literal:
        return "{" + ",".join(map(str, get_args(kind))) + "}"
    return {bool: "{true,false}", int: "N", float: "X"}.get(kind, "[…]" if get_origin(kind) is list else "TEXT")


def _summary(group: Any) -> str:
    return " ".join(str(type(group).__doc__).split())


def _line(name: str, text: str) -> str:
    """One line: the first sentence, or as much of it as there is room for."""
    return f"  {name:15} {textwrap.shorten(text.split('. ')[0].removesuffix('.'), _WIDTH - 18, placeholder=' …')}"
