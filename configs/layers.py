"""Configurations in layers, a file each: what is played is a preset, who plays it an agent, and later ones win.

train.py --config ten_games --config no_penalty
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from configs.checks import ConfigError
from configs.files import read_mapping
from configs.settings import flat

_FOLDER = Path(__file__).parent
PRESETS = {path.stem: path for path in sorted((_FOLDER / "presets").glob("*.yaml"))}
AGENTS = {path.stem: path for path in sorted((_FOLDER / "agents").glob("*.yaml"))}


def layer(named: str) -> Path:
    """The file that `named` means: the bare name of a preset or an agent, or a path. ConfigError names the nearest of
    those where there is no such file."""
    path, known = Path(named), {**PRESETS, **AGENTS}
    if named in known:
        return known[named]
    if os.path.lexists(named):
        return path
    near = nearest(path.stem if path.suffix in (".yaml", ".yml") else named, known)
    known_as = f"did you mean {near}?" if near else f"there are {', '.join(known)}, or give a file"
    raise ConfigError(f"--config: there is no {named[:100]}; {known_as}")


def nearest(wrong: str, right: Iterable[str]) -> str | None:
    """The name that is most like `wrong`; None if none is alike."""
    return next(iter(difflib.get_close_matches(wrong, [*right], n=1, cutoff=0.5)), None)


def as_arguments(layer: Path) -> list[str]:
    """The settings of a file one by one, for a command line that is to depend on no file."""
    return [
        word for name, value in flat(read_mapping(layer, "frames: 400_000")).items() for word in _option(name, value)
    ]


def _option(name: str, value: Any) -> tuple[str, str]:
    return f"--{name}", as_text(value)


def as_text(value: Any) -> str:
    """A value as it is given on a command line."""
    if isinstance(value, str):
        return value
    return " ".join(yaml.safe_dump(value, default_flow_style=True, width=10**6).replace("\n...", "").split())
