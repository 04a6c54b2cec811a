"""The presets and agents that come with the program: what `train.py` without arguments tells, in 80 columns.

A preset begins with a line such as `# The main job. Takes 20 min and 1.3 GiB.`, an agent with `# The whole agent.`
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from configs.checks import ConfigError
from configs.files import read_mapping
from configs.layers import AGENTS, PRESETS

_TAKES = re.compile(r"(.+?)\. Takes (.+) and (.+ GiB)")


def overview() -> str:
    """How a run is started, a line for every preset, the shortest first, and a line for every agent."""
    rows = [("preset", "frames", "about", "memory", "what it is")]
    rows += [_preset(name, path) for name, path in sorted(PRESETS.items(), key=lambda each: _frames(each[1]))]
    wide = max(map(len, PRESETS))
    lines = [f"{name:{wide}}  {frames:>7}  {time:>7}  {memory:>7}  {what}" for name, frames, time, memory, what in rows]
    return "\n".join(
        [
            "Which run? Give a preset, and what differs from it:",
            "",
            "  python train.py --config quick                      runs/quick-seed1",
            "  python train.py --config quick --frames 1e6 --seed 2",
            "  python train.py --config three_games --config plain_dqn   another agent",
            "  python train.py --resume runs/quick-seed1           after any stop",
            "",
            *(f"  {line}" for line in lines),
            "",
            "Times are estimates for two cores of an AMD EPYC (AVX2; the days: Zen 4 with",
            "--learner.precision bfloat16). With --dry_run, this machine is measured.",
            "",
            f"  {'agent':{max(map(len, AGENTS))}}  what differs",
            *(f"  {name:{max(map(len, AGENTS))}}  {_comment(path)}" for name, path in AGENTS.items()),
            "",
            "--help shows the options, --help GROUP those of a group.",
        ]
    )


def _preset(name: str, path: Path) -> tuple[str, str, str, str, str]:
    frames, comment = _frames(path), _comment(path)
    told = _TAKES.fullmatch(comment)
    what, time, memory = told.groups() if told else (comment, "?", "?")
    return name, f"{frames / 1e6:g} M" if frames >= 100_000 else f"{frames:,}", time, memory, what


def _frames(path: Path) -> int:
    try:
        found: Any = read_mapping(path, "frames: 400_000").get("frames", 0)
        return int(found)
    except (ConfigError, ValueError, TypeError):
        return 0


def _comment(path: Path) -> str:
    """The line that a file begins with."""
    with path.open(encoding="utf-8") as file:
        line = file.readline()
    return line.lstrip("# ").strip().removesuffix(".") if line.startswith("#") else ""
