"""Our agent on raw frames of several games, started twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from configs.schema import Config
from examples import challenge
from training.online import OnlineAgent


def test_it_plays_every_visit_and_goes_on_after_the_last_one_that_was_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    shown: list[tuple[bool, bool]] = []
    act = OnlineAgent.act

    def watched(self: OnlineAgent, frame: Any, reward: float, terminated: bool, truncated: bool) -> int:
        shown.append((terminated, truncated))
        return act(self, frame, reward, terminated, truncated)

    monkeypatch.setattr(OnlineAgent, "act", watched)
    monkeypatch.setattr(challenge, "CYCLES", 1)
    whole = challenge.main(tmp_path / "whole", "300", "pong", "breakout")
    assert len(whole) == 2 and len(shown) == 600
    assert [place for place, (_, truncated) in enumerate(shown) if truncated] == [0, 300]
    assert capsys.readouterr().out.startswith("pong: ")

    assert len(challenge.main(tmp_path / "again", 300, "pong")) == 1
    assert len(challenge.main(tmp_path / "again", 300, "pong", "breakout")) == 1  # the second visit only
    assert capsys.readouterr().out.splitlines()[-1].startswith("breakout: ")


def test_the_preset_is_one_that_an_online_agent_can_have() -> None:
    config = challenge.load("upper_bound", challenge.ONLINE)
    assert isinstance(config, Config) and config.task_source == "inferred" and config.emulators.num_envs == 1
