"""YAML files as users write them: whatever is wrong with one is said in a sentence that names it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from configs.checks import ConfigError


def read_mapping(path: Path, what: str) -> dict[str, Any]:
    """The fields in a YAML file, such as `what`; ConfigError if it has none, or the same one twice."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is no text file") from None
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if isinstance(node, yaml.MappingNode):
            _refuse_repeats(node, path)
        found = None if node is None else loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f", line {mark.line + 1}" if mark else ""
        raise ConfigError(f"{path}{line}: no YAML: {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: no YAML: {' '.join(str(error).split())}") from None
    if not isinstance(found, dict):
        held = "is empty" if found is None else f"holds a {type(found).__name__}"
        raise ConfigError(f"{path} {held}; it should hold fields such as '{what}'")
    return found


def _refuse_repeats(node: yaml.MappingNode, path: Path) -> None:
    lines: dict[str, int] = {}
    for key, value in node.value:
        line = key.start_mark.line + 1
        if key.value in lines:
            raise ConfigError(f"{path}: {key.value} stands in line {lines[key.value]} and again in line {line}")
        lines[str(key.value)] = line
        if isinstance(value, yaml.MappingNode):
            _refuse_repeats(value, path)
