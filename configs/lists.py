"""Lists in a configuration that may be long, read at once: jsonargparse copies a whole list for each of its entries."""

from __future__ import annotations

from typing import Any

from jsonargparse.typing import register_type

from configs.schema import Visit
from envs.game_sets import game_set


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
    if given.keys() != {"game", "frames"} or type(given["game"]) is not str or type(given["frames"]) is not int:
        raise ValueError(f"a visit is {{game: pong, frames: 400000}}, is {found}")
    return Visit(**given)


LISTS = {"stream.games": _Games, "stream.visits": _Visits}
"""The type with which the parser reads the field of this dotted name."""

for _kind in LISTS.values():
    register_type(_kind, list, deserializer_exceptions=())
