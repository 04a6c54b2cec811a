"""The presets and agents that come with the program, each in a line: what `train.py` without arguments tells."""

from __future__ import annotations

from pathlib import Path

from configs.build import build_schedule
from configs.checks import ConfigError
from configs.layers import AGENTS, PRESETS
from configs.parse import load


def overview() -> str:
    """How a run is started, every preset with its length and number of games, and every agent."""
    lines = ["Which run? Give a preset and what differs from it (--help lists every option):", ""]
    for path in PRESETS.values():
        lines.append(f"  python train.py --config {_shown(path)!s:36}  {_size(path):23}  {_first_sentence(path)}")
    lines += ["", "Another agent? Its file comes second, and what it says wins:", ""]
    for path in AGENTS.values():
        lines.append(f"  --config {_shown(path)!s:52}  {_first_sentence(path)}")
    return "\n".join([*lines, "", "  python train.py --resume DIR   goes on with a run"])


def _size(path: Path) -> str:
    try:
        config = load(path)
    except ConfigError:  # such as a file that is named relative to another directory
        return ""
    games = len(build_schedule(config).games)
    return f"{config.frames / 1e6:g} M frames, {games} game{'s' if games > 1 else ''}"


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
