"""The roles whose variants a configuration chooses by name, and where the settings of a single variant stand.

A variant's own settings are a group of its name beside the field that chooses it: `consolidation.kind: online_ewc` has
`consolidation.online_ewc.decay`. What a run does not use is in none of its files.

What a variant's `make` may ask for:

    CONSOLIDATORS   weights: the shared ones, freshly initialised; those of a checkpoint or of --init_from are loaded
                    into them afterwards, so a variant that keeps a copy has it in its state. step: a `PenaltyStep`.
                    ewc_lambda, fisher_damping: the settings
    NETWORKS        nothing
    TASK_SOURCES    label: the name of the game on screen, for oracles only
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import field
from typing import Any, TypeVar

from variants.registry import Registry, VariantError

CONSOLIDATORS = Registry("agent.consolidators", "weights", "step", "ewc_lambda", "fisher_damping")
NETWORKS = Registry("agent.architectures")
TASK_SOURCES = Registry("taskid.sources", "label")

CHOICES = {"task_source": TASK_SOURCES, "learner.network": NETWORKS, "consolidation.kind": CONSOLIDATORS}
"""{the dotted name of the field that chooses: its variants}."""

Group = TypeVar("Group", bound=type)


def with_settings_of(registry: Registry) -> Callable[[Group], Group]:
    """Below `@dataclass`: a group of settings for every variant that has its own, with its defaults."""

    def extended(group: Group) -> Group:
        for name, variant in registry.items():
            if variant.settings is None:
                continue
            if name in group.__annotations__:
                raise VariantError(f"{registry.package}: {name} is a setting already; give the file another name")
            group.__annotations__[name] = variant.settings
            setattr(group, name, field(default_factory=variant.settings))
        return group

    return extended


def own_settings(config: Any, chooser: str) -> Any:
    """The settings of the variant that the field `chooser` chooses; None if it has none."""
    *groups, last = chooser.split(".")
    for group in groups:
        config = getattr(config, group)
    return getattr(config, getattr(config, last), None) if CHOICES[chooser][getattr(config, last)].settings else None


def idle_settings(config: Any) -> Iterator[str]:
    """A sentence for every variant that is not chosen and whose settings are not their defaults."""
    for chooser, registry in CHOICES.items():
        *groups, last = chooser.split(".")
        parent = config
        for group in groups:
            parent = getattr(parent, group)
        chosen = getattr(parent, last)
        for name, variant in registry.items():
            if variant.settings and name != chosen and getattr(parent, name) != variant.settings():
                yield f"{'.'.join([*groups, name])}: has no effect while {chooser} is {chosen}"


def without_unused(tree: dict[str, Any]) -> dict[str, Any]:
    """A configuration's tree of settings without those of variants that it does not choose."""
    tree = dict(tree)
    for chooser, registry in CHOICES.items():
        *groups, last = chooser.split(".")
        parent = tree
        for group in groups:
            parent[group] = dict(parent[group])
            parent = parent[group]
        for name, variant in registry.items():
            if variant.settings and name != parent[last]:
                del parent[name]
    return tree
