"""The blocks of docs/reach.md, executed in their order."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.test_imports import ROOT
from tracking.checkpoints import Checkpoints

PAGE = (ROOT / "docs" / "reach.md").read_text()


def test_every_block_of_the_page_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 4
    for block in blocks:
        exec(compile(block, "docs/reach.md", "exec"), names)
    out = capsys.readouterr().out
    assert "1600 environment frames" in out and "boxing" in out
    assert "[0.9 0.8] [0.3 0. ]" in out
    assert Checkpoints(tmp_path / "runs" / "online" / "checkpoints").available() == [201]
