"""What was measured with other settings is not taken for what is asked for."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path

import pytest

from benchmarks.inference import _check_kept

ASKED = {"visits": 3, "vector_steps": 2000, "source": "default", "set": ["base=uniform"]}


@pytest.mark.parametrize(
    "other", [{"visits": 2}, {"vector_steps": 1}, {"source": "paper"}, {"set": []}, {"set": ["a=1"]}]
)
def test_another_setting_is_told(tmp_path: Path, other: dict[str, object]) -> None:
    kept = tmp_path / "figure3-8-v-0.json"
    _check_kept(kept, Namespace(**ASKED))  # nothing is there
    kept.write_text(json.dumps(ASKED))
    _check_kept(kept, Namespace(**ASKED))
    with pytest.raises(ValueError, match=f"is of .* {next(iter(other))}, not .*; keep both, with another --results"):
        _check_kept(kept, Namespace(**{**ASKED, **other}))
