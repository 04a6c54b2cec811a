"""The examples of docs/extending.md do what the page says: written into a copy, each is a choice, and trains."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conformance.test_imports import ALLOWED, ROOT
from tests.integration.runs import TOY, write_config

PAGE = (ROOT / "docs" / "extending.md").read_text()
FILES = dict(re.findall(r'^```\w+ title="([^"]+)"\n(.*?)^```', PAGE, re.MULTILINE | re.DOTALL))
CHOSEN = {
    "agent/consolidators/initial.py": ["--consolidation.kind=initial", "--consolidation.initial.stiffness=0.5"],
    "taskid/sources/mean_grey.py": ["--task_source=mean_grey"],
    "agent/architectures/tiny.py": ["--learner.network=tiny"],
    "envs/sets/my_toys.txt": ["--stream.games=my_toys"],
}
FRAMES = 1600


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program with the page's files in their places, and a small configuration."""
    folder = tmp_path_factory.mktemp("copy")
    skip = shutil.ignore_patterns("__pycache__", "*.pyc")
    for name in (*ALLOWED, "tests"):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=skip)
        else:
            shutil.copy(ROOT / f"{name}.py", folder)
    for name, text in FILES.items():
        assert not (ROOT / name).exists(), f"{name} is no example any more"
        (folder / name).write_text(text)
    consolidation = {"start_frames": 0, "min_visit_frames": 0, "fisher_batches": 2}
    write_config(folder / "toy.yaml", TOY, consolidation=consolidation, frames=FRAMES)
    return folder


def run_in(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], cwd=folder, capture_output=True, text=True, timeout=300)


def test_every_role_has_an_example_of_at_most_forty_lines() -> None:
    assert FILES.keys() == CHOSEN.keys()
    assert all(len(text.splitlines()) <= 40 for text in FILES.values())


def test_a_run_with_all_of_them_chosen_by_name_trains_to_its_end(copy: Path) -> None:
    chosen = [word for words in CHOSEN.values() for word in words]
    done = run_in(copy, "train.py", "--config", "toy.yaml", "--run_dir", "run", *chosen)
    assert done.returncode == 0, done.stderr
    settings: dict[str, Any] = yaml.safe_load((copy / "run" / "config.yaml").read_text())
    assert settings["consolidation"]["kind"] == "initial"
    assert settings["consolidation"]["initial"] == {"stiffness": 0.5}
    assert (settings["task_source"], settings["learner"]["network"]) == ("mean_grey", "tiny")
    assert settings["stream"]["games"] == ["toy_catch", "toy_mirror"]
    metrics = (copy / "run" / "metrics.jsonl").read_text()
    assert '"consolidation/penalty"' in metrics and '"learning/loss"' in metrics


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--consolidation.initial.stiffness=-1"], "consolidation.initial.stiffness: must lie between 0 and 1e+06"),
        (
            ["--learner.network=tinny"],
            "one of 'nature', 'paper', 'pooled', 'pooled2', 'pooled4', 'small', 'tiled', 'tiled2', 'tiled4', 'tiny', "
            "'wide', 'wide4', 'wide8'",
        ),
    ],
)
def test_their_mistakes_are_told_like_all_others(copy: Path, arguments: list[str], told: str) -> None:
    done = run_in(copy, "train.py", "--config", "toy.yaml", "--dry_run", *arguments)
    assert done.returncode == 2 and told in done.stderr and len(done.stderr.splitlines()) == 1


def test_the_conformance_suites_hold_them_without_being_edited(copy: Path) -> None:
    """To the laws of their roles; those of the variants that come with the program are tested elsewhere."""
    suites = ["test_consolidators.py", "test_state_law.py", "test_task_sources.py"]
    paths = [f"tests/conformance/{name}" for name in suites]
    done = run_in(copy, "-m", "pytest", *paths, "-q", "-x", "-p", "no:cacheprovider", "-k", "initial or mean_grey")
    assert done.returncode == 0 and " passed" in done.stdout, done.stdout[-3000:]


def test_a_file_that_lacks_something_ends_the_command_with_a_sentence(copy: Path) -> None:
    broken = copy / "agent" / "consolidators" / "broken.py"
    broken.write_text('"""A name with a typing error."""\n\n\ndef mkae(weights):\n    return weights\n')
    try:
        done = run_in(copy, "train.py", "--config", "toy.yaml", "--dry_run")
    finally:
        broken.unlink()
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("agent/consolidators/broken.py: has no function make, which may take weights, step, ")
