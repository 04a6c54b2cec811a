"""The range of every number of the configuration, as the schema gives it beside the field."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from typing import Any, get_type_hints

from configs.schema import Config
from tracking.numbers import Range, real, whole


def ranges(group: type = Config, prefix: str = "") -> dict[str, Range]:
    """{dotted name: range} of the numbers in `group`; those in lists are not among them."""
    found: dict[str, Range] = {}
    kinds = get_type_hints(group)
    for each in fields(group):
        if is_dataclass(kinds[each.name]):
            found |= ranges(kinds[each.name], f"{prefix}{each.name}.")
        elif "range" in each.metadata:
            found[prefix + each.name] = Range(*each.metadata["range"])
    return found


def problems(group: Any, prefix: str = "") -> Iterator[str]:
    """A sentence for every number in `group` that is out of its range, those in lists too."""
    for each in fields(group):
        name, value = prefix + each.name, getattr(group, each.name)
        if (
            "range" in each.metadata
            and value is not None
            and (problem := Range(*each.metadata["range"]).problem(value))
        ):
            yield f"{name}: {problem}"
        elif is_dataclass(value):
            yield from problems(value, f"{name}.")
        elif isinstance(value, list):
            for i, entry in enumerate(value):
                if is_dataclass(entry):
                    yield from problems(entry, f"{name}[{i}].")


def argument(name: str) -> Callable[[str], Any]:
    """For `add_argument(type=...)`: what the field of this dotted name may hold."""
    kind: Any = Config
    for part in name.split("."):
        kind = get_type_hints(kind)[part]
    bounds = ranges()[name]
    return whole(int(bounds.least), int(bounds.most)) if kind is int else real(bounds.least, bounds.most)
