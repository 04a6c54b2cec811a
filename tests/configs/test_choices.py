"""The settings of a variant stand beside the field that chooses it, and are told only where they are used."""

from __future__ import annotations

import inspect
from dataclasses import asdict, replace

import pytest

from agent.networks import Architecture
from configs.choices import CHOICES, CONSOLIDATORS, TASK_SOURCES, idle_settings, own_settings, with_settings_of
from configs.ranges import ranges
from configs.schema import Config
from configs.settings import flat, tree, used_settings
from training.options import read_options, train_parser
from variants.registry import VariantError


def test_what_is_chosen_by_default_is_there() -> None:
    settings = flat(asdict(Config()))
    assert all(settings[chooser] in registry for chooser, registry in CHOICES.items())


def test_a_run_tells_the_settings_of_what_it_uses_and_no_others() -> None:
    config = Config()
    assert "inferred" not in tree(config) and not any(".online_ewc." in name for name in used_settings(config))
    config = replace(config, task_source="inferred", consolidation=replace(config.consolidation, kind="online_ewc"))
    assert used_settings(config)["consolidation.online_ewc.decay"] == 1.0
    assert tree(config)["inferred"] == {"model": "default", "max_contexts": 100, "defer_storage": True}
    assert own_settings(config, "consolidation.kind").decay == 1.0 and own_settings(config, "learner.network") is None


def test_help_tells_every_choice_and_every_setting_of_its_own() -> None:
    text = " ".join(train_parser().format_help().split())
    for registry in CHOICES.values():
        for name, variant in registry.items():
            assert f"{name}: {variant.summary}" in text
    for name in ("consolidation.online_ewc.decay", "inferred.max_contexts"):
        assert f"--{name} " in text and name in ranges()
    for action in train_parser()._actions:
        assert action.help, action.dest  # such as a setting without a docstring below it


def test_only_true_labels_are_told_the_name_of_the_game() -> None:
    told = [name for name, variant in TASK_SOURCES.items() if "label" in inspect.signature(variant.make).parameters]
    assert told == ["true_labels"]


def test_every_network_has_layers() -> None:
    for name in CHOICES["learner.network"]:
        assert isinstance(CHOICES["learner.network"].build(name), Architecture)


def test_a_variant_with_the_name_of_a_setting_is_refused() -> None:
    class Group:
        online_ewc: int

    with pytest.raises(VariantError, match=r"agent.consolidators: online_ewc is a setting already"):
        with_settings_of(CONSOLIDATORS)(Group)


def test_settings_of_what_is_not_chosen_are_told() -> None:
    given = ("--consolidation.online_ewc.decay", "0.9", "--inferred.model", "paper")
    _, config = read_options(["--task_source", "single", *given])
    assert list(idle_settings(config)) == [
        "inferred: has no effect while task_source is single",
        "consolidation.online_ewc: has no effect while consolidation.kind is ewc",
    ]
    _, config = read_options(["--task_source", "inferred", "--consolidation.kind", "online_ewc", *given])
    assert not list(idle_settings(config))
