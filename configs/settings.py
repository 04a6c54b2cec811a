"""Settings by their dotted names, and what may differ between a run and its continuation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from configs.choices import without_unused
from configs.schema import Config

# What may differ between a run and its continuation: its length, and what only watches it.
MAY_CHANGE = ("frames", "log.", "evaluation.", "emulators.rom_dir", "emulators.threads")

# May differ as well, at the price of bit-exactness.
OF_THE_DEVICE = ("device", "learner.cuda_graphs", "replay.device_gib")

ON_CPU = ["--device", "cpu", "--learner.cuda_graphs", "false", "--replay.device_gib", "0"]
"""Options with which any run's snapshots can be played without its GPU."""

# What is decided by what the machine has, and how a configuration says that it is not decided yet.
MACHINE_CHOICES: dict[str, Any] = {
    "threads": 0,
    "emulators.threads": 0,
    "learner.optimizer_code": "auto",
}


def flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{dotted name: value} of settings in parts and parts of parts."""
    found: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            found.update(flat(value, f"{prefix}{name}."))
        else:
            found[prefix + name] = value
    return found


def tree(config: Config) -> dict[str, Any]:
    """All settings that `config` uses, in parts and parts of parts."""
    return without_unused(asdict(config))


def used_settings(config: Config) -> dict[str, Any]:
    """{dotted name: value} of all settings that `config` uses."""
    return flat(tree(config))


def differences(saved: Config, asked: Config, but: tuple[str, ...]) -> list[str]:
    """A phrase for every setting in which they differ, but those whose names begin with one of `but` and what `asked`
    leaves to the machine."""
    old, new = used_settings(saved), used_settings(asked)
    undecided = [name for name, value in MACHINE_CHOICES.items() if new[name] == value]
    return [
        f"{name}: {old.get(name, 'not used')} in the run, {new[name]} asked for"
        for name in new
        if new[name] != old.get(name) and name not in undecided and not name.startswith(but)
    ]
