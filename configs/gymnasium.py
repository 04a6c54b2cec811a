"""Makes the stream for other people's agents from a configuration: what `gymnasium.make_vec` calls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from configs.build import build_stream
from configs.checks import check
from configs.parse import load
from configs.schema import Config
from envs.gymnasium import ContinualAtari


def continual_atari(
    config: str | Path | Config,
    num_envs: int | None = None,
    seed: int | None = None,
    settings: Sequence[str] = (),
    labels: bool = False,
) -> ContinualAtari:
    """The stream of a run with this configuration, whose `stream`, `emulators` and `seed` alone are looked at.

    config    a file of settings, or what `configs.parse.load` made of one
    num_envs  instead of `emulators.num_envs`; `gymnasium.make_vec` always gives one, 1 unless told otherwise
    seed      instead of `seed`
    settings  options as on the command line, such as "--stream.visit_frames=50_000"; only with a file
    labels    whether `info` names the game

    ConfigError with one sentence for what cannot be.
    """
    found = config if isinstance(config, Config) else load(config, list(settings))
    emulators = found.emulators if num_envs is None else replace(found.emulators, num_envs=num_envs)
    found = replace(found, emulators=emulators, seed=found.seed if seed is None else seed)
    check(found)
    return ContinualAtari(
        lambda seed: build_stream(replace(found, seed=seed)), found.seed, found.emulators.num_envs, labels
    )
