"""The presets and agents that come with the program: what `train.py` without arguments tells."""

from __future__ import annotations

import textwrap
from pathlib import Path

from configs.build import build_schedule
from configs.checks import ConfigError
from configs.layers import AGENTS, PRESETS
from configs.parse import load

_WIDTH = 80  # columns


def overview() -> str:
    """How a run is started, every preset with its length and number of games, the shortest first, and every agent."""
    lines = ["Which run? Give a preset and what differs from it (--help lists every option):", ""]
    for _, path, size in sorted(_sized(path) for path in PRESETS.values()):
        lines += [f"  python train.py --config {_shown(path)}", *_wrapped(f"{size}{_first_sentence(path)}")]
    lines += ["", "Another agent? Its file comes second, and what it says wins:", ""]
    for path in AGENTS.values():
        lines += [f"  --config {_shown(path)}", *_wrapped(_first_sentence(path))]
    return "\n".join([*lines, "", "  python train.py --resume DIR   goes on with a run"])


def _sized(path: Path) -> tuple[int, Path, str]:
    """A preset's frames, the preset, and what is told of its size."""
    try:
        config = load(path)
    except ConfigError:  # such as a file that is named relative to another directory
        return 0, path, ""
    games = len(build_schedule(config).games)
    frames = f"{config.frames / 1e6:g} M" if config.frames >= 100_000 else f"{config.frames:,}"
    return config.frames, path, f"{frames} frames, {games} game{'s' if games > 1 else ''}: "


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent=6 * " ", subsequent_indent=6 * " ")


def _first_sentence(path: Path) -> str:
    """Of the comment that a preset begins with."""
    comment = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        comment.append(line.lstrip("# "))
    return " ".join(comment).split(". ")[0].split(": ")[0].removesuffix(".")


def _shown(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
