"""What comes with a release: it is not installed, names one version, and its container runs the main job."""

from __future__ import annotations

import json
import re
import runpy
import tomllib

import pytest
import yaml

from tests.commands import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_an_installation_is_refused_with_a_sentence_before_anything_is_fetched() -> None:
    """The packages would get into the way of others of the same names."""
    build = PROJECT["build-system"]
    assert build["requires"] == []
    (folder,) = build["backend-path"]
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(ROOT / folder / f"{build['build-backend']}.py"))
    assert "make train" in str(ended.value) and "\n" not in str(ended.value)


def test_the_version_is_the_same_everywhere() -> None:
    version = PROJECT["project"]["version"]
    assert str(yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"]) == version
    assert re.findall(r"^## (\d\S*)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)[0] == version


def test_the_container_sets_up_and_runs_the_main_job() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    asked = [line for line in lines if line.startswith("RUN make")]
    assert asked == ["RUN make setup"] and {"setup", "train"} <= targets
    (command,) = (json.loads(line.removeprefix("CMD ")) for line in lines if line.startswith("CMD "))
    assert command == ["make", "train"]
    (copied,) = (line.split()[1:-1] for line in lines if line.startswith("COPY ") and len(line.split()) > 3)
    assert all((ROOT / name).is_file() for name in copied)
    assert f"python:{PROJECT['project']['requires-python'].removeprefix('>=')}" in "\n".join(lines)
