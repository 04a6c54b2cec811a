"""The fields of a sweep's or a search's file: each is what it should be, or one sentence says what would be right."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable
from typing import Any

from configs.checks import ConfigError
from tracking.files import file_name
from tracking.numbers import Range

OWNED = ("seed", "threads", "emulators.threads", "config", "help", "print_config")
"""Fields of the configuration that the file decides by fields of its own, and options that are no fields."""


def refuse_unknown(found: Iterable[str], known: Collection[str], where: str) -> None:
    """ConfigError for the first of these names that is not known, with the nearest that is."""
    for key in found:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1)
            raise ConfigError(f"{where}: unknown field {key}" + (f"; did you mean {near[0]}?" if near else ""))


def folder_name(found: dict[str, Any], otherwise: str, where: str) -> str:
    """The field `name`, or what it is called without one; it names a folder."""
    called = str(found.get("name", otherwise))
    if not isinstance(found.get("name", otherwise), str | int) or not called or called != file_name(called):
        raise ConfigError(
            f"{where}: name: must do as the name of a folder (letters, digits, _, -, +, =, .), is {called!r}"
        )
    return called


def listed(found: Any, where: str, kind: type, empty: bool = False) -> list[Any]:
    """A list of this kind of values; `empty`: it may be."""
    if not isinstance(found, (list, tuple)) or not (found or empty) or not all(isinstance(x, kind) for x in found):
        raise ConfigError(
            f"{where}: give a list{'' if kind is object else ' of ' + kind.__name__}, is {str(found)[:100]!r}"
        )
    return list(found)


def mapping(found: Any, where: str) -> dict[str, Any]:
    """{dotted name: whatever is given for it}."""
    if not isinstance(found, dict):
        raise ConfigError(f"{where}: give fields by their dotted names, is {str(found)[:100]!r}")
    return {str(key): value for key, value in found.items()}


def number(found: Any, where: str, kind: type[int] | type[float], least: float, most: float) -> Any:
    """A number of this kind in this range."""
    if isinstance(found, bool) or not isinstance(found, int | kind):
        raise ConfigError(f"{where}: must be a number from {Range(least, most)}, is {str(found)[:100]!r}")
    if problem := Range(least, most).problem(found):
        raise ConfigError(f"{where}: {problem}")
    return kind(found)


def one_of(found: Any, where: str, choices: Collection[str]) -> str:
    """One of these words."""
    if not isinstance(found, str) or found not in choices:
        raise ConfigError(f"{where}: there is no {repr(found)[:100]}; choose from {', '.join(choices)}")
    return found
