"""Configurations in layers, a file each: what is played is a preset, who plays it an agent, and later ones win.

train.py --config configs/presets/ten_games.yaml --config configs/agents/no_penalty.yaml
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from configs.files import read_mapping
from configs.settings import flat

_FOLDER = Path(__file__).parent
PRESETS = {path.stem: path for path in sorted((_FOLDER / "presets").glob("*.yaml"))}
AGENTS = {path.stem: path for path in sorted((_FOLDER / "agents").glob("*.yaml"))}


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
