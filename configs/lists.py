"""How single values of a configuration are read: lists at once, since jsonargparse copies a whole list for each of its
entries, whole numbers also where they are written as 1e6, and what earlier versions wrote as true or false."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, get_args, get_type_hints

from jsonargparse.typing import register_type

from configs.schema import EvaluationConfig, Visit
from envs.game_sets import game_set
from tracking.numbers import as_whole


class _Games(list[str]):
    """stream.games as it is read."""

    def __init__(self, found: Any) -> None:
        """ValueError unless `found` is a list of names, or the name of a set of games, which is spelt out."""
        if isinstance(found, str):
            found = list(game_set(found))
        if not isinstance(found, list):
            raise ValueError(f"Expected list, or the name of a set of games. Got value: {found}")
        for name in found:
            if not isinstance(name, str):
                raise ValueError(f"Expected str. Got value: {name}")
        super().__init__(found)


class _Visits(list[Visit]):
    """stream.visits as it is read."""

    def __init__(self, found: Any) -> None:
        """ValueError unless `found` is a list of visits, or of their fields."""
        if not isinstance(found, list):
            raise ValueError(f"Expected list. Got value: {found}")
        super().__init__(map(_visit, found))


def _visit(found: Any) -> Visit:
    if isinstance(found, Visit):
        return found
    given = found if isinstance(found, dict) else {}
    if given.keys() == {"game", "frames"} and type(given["game"]) is str:
        with suppress(ValueError):
            return Visit(given["game"], as_whole(given["frames"]))
    raise ValueError(f"a visit is {{game: pong, frames: 400000}}, is {found}")


class Whole(int):
    """The type with which the parser reads a field that is an int."""


def _whole(found: Any) -> int:
    try:
        return as_whole(found)
    except (ValueError, OverflowError):
        raise ValueError(f"Expected int. Got value: {'null' if found is None else found}") from None


register_type(Whole, int, _whole, deserializer_exceptions=(), type_check=lambda value, _: type(value) is int)


class _VisitEnds(str):
    """The type with which the parser reads evaluation.at_visit_ends."""


_VISIT_ENDS = get_args(get_type_hints(EvaluationConfig)["at_visit_ends"])
_BEFORE = {True: "all", False: "none", "true": "all", "false": "none"}
"""Earlier versions evaluated every game at a visit's end, or none."""


def _visit_ends(found: Any) -> str:
    known = _BEFORE.get(found, found) if isinstance(found, bool | str) else found
    if known not in _VISIT_ENDS:
        words = ", ".join(map(repr, _VISIT_ENDS))
        raise ValueError(f"Expected one of {words}. Got value: {'null' if found is None else found}")
    return str(known)


register_type(
    _VisitEnds, str, _visit_ends, deserializer_exceptions=(), type_check=lambda value, _: value in _VISIT_ENDS
)


for _kind in (_Games, _Visits):
    register_type(_kind, list, deserializer_exceptions=())

KINDS = {"stream.games": _Games, "stream.visits": _Visits, "evaluation.at_visit_ends": _VisitEnds}
"""The type with which the parser reads the field of this dotted name."""
