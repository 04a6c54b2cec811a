"""Named sets of games: the files of envs/sets, a game a line, # begins a comment. A file more is a set more."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from envs.games import game

_FOLDER = Path(__file__).with_name("sets")


@cache
def game_sets() -> dict[str, tuple[str, ...]]:
    """{name: its games by their snake_case names, in the file's order}; ValueError names a line that is no game."""
    return {path.stem: _read(path) for path in sorted(_FOLDER.glob("*.txt"))}


def game_set(name: str) -> tuple[str, ...]:
    """The games of the set of this name; ValueError with the names that there are if it is none."""
    if name not in game_sets():
        raise ValueError(f"there is no set of games {str(name)[:100]!r}; there are {', '.join(game_sets())}")
    return game_sets()[name]


def games_of(text: str) -> tuple[str, ...]:
    """The games in a comma-separated list of ROM ids and names of sets, each once; ValueError names what is neither."""
    names = [name for part in text.split(",") for name in game_sets().get(part.strip(), (part.strip(),))]
    return tuple(dict.fromkeys(game(name).name for name in names))


def _read(path: Path) -> tuple[str, ...]:
    words = [line.partition("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines()]
    try:
        found = tuple(game(word).name for word in words if word)
    except ValueError as error:
        raise ValueError(f"envs/sets/{path.name}: {error}") from None
    if not found or len(set(found)) < len(found):
        raise ValueError(f"envs/sets/{path.name}: a set names at least one game, and each game once")
    return found
