"""The games that can be played, with the scores that make them comparable.

Atari scores: the table in use since 2016 for 57 games with no-op starts, as in google-deepmind/dqn_zoo
(dqn_zoo/atari_data.py, Apache-2.0; numbers of Wang et al. 2016, arXiv:1511.06581, and Badia et al. 2020,
arXiv:2003.13350). Kirkpatrick et al. (2017) may have used the older one of Mnih et al. (2015), which differs
in some games (boxing: human 4.3 instead of 12.1).
"""

from __future__ import annotations

import csv
import difflib
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_SCORES = Path(__file__).with_name("scores.csv")

# What is printed on the box, where that is not the ROM's name.
_TITLES = {"montezumasrevenge": "montezuma_revenge", "robottank": "robotank", "jamesbond007": "jamesbond"}

# ROMs that ALE only plays with two or more players; loading one as a single player ends the whole process.
MULTI_PLAYER: tuple[str, ...] = ("combat", "joust", "maze_craze", "warlords")


@dataclass(frozen=True, slots=True)
class Game:
    """A game's snake_case name, and an episode's mean score in random and under human (or optimal) play."""

    name: str
    random: float
    human: float

    @property
    def is_toy(self) -> bool:
        """Made by `envs.toy`; needs no ROM."""
        return self.name.startswith("toy_")


# Five balls an episode, each worth +1 or -1. Random play leaves the paddle uniformly distributed, so that it
# meets a ball with probability (paddle width) / 6, whatever the column: 2/6 where it should, 3/6 where it
# should not. "Human" is the best possible play.
_TOYS: tuple[Game, ...] = (
    Game("toy_catch", random=5 * (1 / 3 - 2 / 3), human=5.0),
    Game("toy_mirror", random=5 * (1 / 3 - 2 / 3), human=5.0),
    Game("toy_avoid", random=0.0, human=5.0),
    Game("toy_rise", random=5 * (1 / 3 - 2 / 3), human=5.0),
)


@cache
def all_games() -> dict[str, Game]:
    """Every playable game by name: 57 Atari games in alphabetical order, then the toys."""
    with _SCORES.open(newline="", encoding="utf-8") as file:
        atari = [Game(row["game"], float(row["random"]), float(row["human"])) for row in csv.DictReader(file)]
    return {each.name: each for each in (*atari, *_TOYS)}


def game(name: str) -> Game:
    """The game of that name, as `canonical` understands it; ValueError with the nearest right names if it is none."""
    known = all_games()
    if found := known.get(canonical(name)):
        return found
    if _plain(name) in map(_plain, MULTI_PLAYER):
        raise ValueError(f"{name!r} cannot be played: its ROM needs two players or more; choose another.")
    plain = {_plain(each): each for each in known}
    near = [plain[each] for each in difflib.get_close_matches(_plain(name), plain, n=3)]
    hint = f"did you mean {' or '.join(near)}?" if near else "see envs/scores.csv for the names."
    raise ValueError(f"{str(name)[:100]!r} is not one of the {len(known)} games with known scores; {hint}")


def canonical(name: str) -> str:
    """The snake_case name of a game as people write it: SpaceInvaders, ALE/Pong-v5, PongNoFrameskip-v4, "Ms. Pacman";
    what is not unmistakable stays as it is."""
    known = all_games()
    return name if name in known else _by_plain_name().get(_plain(name), name)


@cache
def _by_plain_name() -> dict[str, str]:
    return {**{_plain(name): name for name in all_games()}, **_TITLES}


def human_normalised(name: str, score: float) -> float:
    """(score - random) / (human - random): 0 is random play, 1 is human play; not clipped."""
    reference = game(name)
    return (score - reference.random) / (reference.human - reference.random)


def _plain(name: str) -> str:
    """The letters and digits of a name, without what Gymnasium and ALE put around it."""
    stem = re.sub(r"^(ALE|atari)/|\.(bin|rom)$", "", str(name).strip(), flags=re.IGNORECASE)
    stem = re.sub(r"(-ram)?(Deterministic|NoFrameskip)?(-v\d+)?$", "", stem)
    return re.sub(r"[^a-z0-9]", "", stem.lower())
