"""YAML as users write it: whatever is wrong with it is said in a sentence, before anything is made of it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from configs.checks import ConfigError

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, where PyYAML was built with it
_ODD = re.compile(r"[-+]?(0[0-7_]*[1-7][0-7_]*|[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?)")
_DEEPEST = 50  # levels of brackets or indentation; a configuration has four
_LARGEST = 1_000_000  # values, aliases written out; a list of 100,000 visits has 400,000
_LONGEST = 20_000_000  # bytes


def read_mapping(path: Path, what: str) -> dict[str, Any]:
    """The fields in a YAML file, such as `what`; ConfigError if it has none, or the same one twice."""
    try:
        with path.open("rb") as file:
            content = file.read(_LONGEST + 1)
        if len(content) > _LONGEST:  # as is a device that never ends
            raise ConfigError(f"{path} has more than {_LONGEST:,} bytes; it should hold fields such as '{what}'")
        text = content.decode("utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is no text file") from None
    try:
        check_size(text, str(path))
        check_numbers(text, str(path))
        loader = _LOADER(text)
        node = loader.get_single_node()
        if isinstance(node, yaml.MappingNode):
            _refuse_repeats(node, path)
        found = None if node is None else loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f", line {min(mark.line + 1, len(text.splitlines()))}" if mark else ""
        raise ConfigError(f"{path}{line}: no YAML: {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: no YAML: {' '.join(str(error).split())}") from None
    except ConfigError:
        raise
    except (ValueError, TypeError) as error:  # such as a date in month 13, or a number of 5,000 digits
        raise ConfigError(f"{path}: a value that is none: {error}") from None
    if not isinstance(found, dict):
        held = "is empty" if found is None else f"holds a {type(found).__name__}"
        raise ConfigError(f"{path} {held}; it should hold fields such as '{what}'")
    return found


def check_numbers(text: str, where: str) -> None:
    """Raise ConfigError for a number that YAML takes for another, as 1:30 for 90 or 010 for 8; names have quotes."""
    try:
        for event in yaml.parse(text, _LOADER):
            if isinstance(event, yaml.ScalarEvent) and event.implicit[0] and _ODD.fullmatch(event.value):
                raise ConfigError(
                    f"{where}: {event.value} is not what it seems in YAML; write a number without colons and leading "
                    "zeros, or a name in quotes"
                )
    except yaml.YAMLError:
        return


def check_size(text: str, where: str) -> None:
    """Raise ConfigError if YAML is deeper or, with its aliases written out, larger than any configuration, before it is
    built: some bytes can stand for more than memory holds. What is no YAML is not complained about."""
    sizes: dict[str, int] = {}  # of what has a name
    open_parts: list[tuple[str | None, int]] = [(None, 0)]  # the name and the size so far of what is being read
    try:
        for event in yaml.parse(text, _LOADER):
            size = 0
            if isinstance(event, yaml.CollectionStartEvent):
                open_parts.append((event.anchor, 1))
            elif isinstance(event, yaml.AliasEvent):
                if any(name == event.anchor for name, _ in open_parts):
                    raise ConfigError(f"{where}: *{event.anchor} stands within &{event.anchor}, which has no end")
                size = sizes.get(str(event.anchor), 1)
            elif isinstance(event, yaml.CollectionEndEvent):
                name, size = open_parts.pop()
                sizes |= {name: size} if name else {}
            elif isinstance(event, yaml.ScalarEvent):
                size = 1
            open_parts[-1] = (open_parts[-1][0], open_parts[-1][1] + size)
            if len(open_parts) > _DEEPEST:
                raise ConfigError(f"{where}: more than {_DEEPEST} levels of brackets or indentation")
            if open_parts[-1][1] > _LARGEST:
                raise ConfigError(f"{where}: stands for more than {_LARGEST:,} values")
    except yaml.YAMLError:
        return


def _refuse_repeats(node: yaml.MappingNode, path: Path) -> None:
    lines: dict[str, int] = {}
    for key, value in node.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            raise ConfigError(f"{path}, line {line}: the name of a field is a word, not a list or a group")
        if key.value in lines:
            raise ConfigError(f"{path}: {key.value} stands in line {lines[key.value]} and again in line {line}")
        lines[str(key.value)] = line
        if isinstance(value, yaml.MappingNode):
            _refuse_repeats(value, path)
