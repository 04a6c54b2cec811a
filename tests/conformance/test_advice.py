"""Commands that are advised can be typed as they are shown, also where a path has a space."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tracking.files import quoted
from tracking.run_directory import RunDirectory, RunDirectoryError

ROOT = Path(__file__).resolve().parents[2]
_UNQUOTED = re.compile(r"--(?:resume|init_from|run_dir|dir|status|report|logdir) \{(?!quoted\()")


def test_every_path_in_a_command_is_quoted() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in ROOT.rglob("*.py")
        if path.relative_to(ROOT).parts[0] != "tests" and not path.relative_to(ROOT).parts[0].startswith(".")
        for line in path.read_text().splitlines()
        if _UNQUOTED.search(line)
    ]
    assert not found


@pytest.mark.parametrize("name", ["plain", "a run", "it's"])
def test_the_path_arrives(tmp_path: Path, name: str) -> None:
    assert shlex.split(quoted(tmp_path / name)) == [str(tmp_path / name)]
    (tmp_path / name).mkdir()
    (tmp_path / name / "config.yaml").touch()
    with pytest.raises(RunDirectoryError) as refused:
        RunDirectory(tmp_path / name).create()
    said = str(refused.value)
    assert shlex.split(said[said.index("--resume") : said.index(", or choose")]) == ["--resume", str(tmp_path / name)]
