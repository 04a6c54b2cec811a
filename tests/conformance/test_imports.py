"""Imports go one way, so that every layer can be understood, tested and replaced without those above it."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# From the bottom up: what each package may import of ours beside itself, packages or single modules.
BELOW_CONFIGS = ("variants", "envs", "replay", "taskid", "agent", "tracking")
ALLOWED: dict[str, tuple[str, ...]] = {
    "variants": (),  # how a folder's files are found, and numbers with their ranges: knows of none of the rest
    "envs": (),
    "replay": ("envs.timestep",),
    "taskid": ("variants.settings", "envs.timestep"),
    "agent": ("variants.settings", "replay", "envs.timestep", "taskid.source"),
    "tracking": (),
    "configs": BELOW_CONFIGS,
    "evaluation": (*BELOW_CONFIGS, "configs"),
    "training": (*BELOW_CONFIGS, "configs", "evaluation"),
    "evaluate": (*BELOW_CONFIGS, "configs", "evaluation", "training"),
    "train": (*BELOW_CONFIGS, "configs", "evaluation", "training"),
}
ABOVE_ALL = ("sweep", "sweeps", "experiments", "benchmarks", "examples", "tests")
OURS = (*ALLOWED, *ABOVE_ALL)


def imported(source: str) -> list[str]:
    """The dotted names of the modules that a source imports, wherever in it."""
    names: list[str] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide what is imported"
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


def forbidden(package: str, source: str) -> list[str]:
    """The imports of ours in `source` that a module of `package` must not have."""
    own = [name for name in imported(source) if name.split(".")[0] in OURS]
    allowed = (package, *ALLOWED[package])
    return [name for name in own if not any(f"{name}.".startswith(f"{each}.") for each in allowed)]


def modules(package: str) -> list[Path]:
    script = ROOT / f"{package}.py"
    return [script] if script.is_file() else sorted((ROOT / package).rglob("*.py"))


@pytest.mark.parametrize("package", ALLOWED)
def test_a_package_imports_only_what_lies_below_it(package: str) -> None:
    found = modules(package)
    assert found, f"there is no {package} any more: change this test"
    for path in found:
        wrong = forbidden(package, path.read_text())
        assert not wrong, f"{path.relative_to(ROOT)} imports {', '.join(wrong)}"


def test_every_module_of_ours_is_under_the_rule() -> None:
    here = {path.name for path in ROOT.iterdir() if path.is_dir() and (path / "__init__.py").is_file()}
    here |= {path.stem for path in ROOT.glob("*.py")}
    assert here <= set(OURS), f"without a rule: {here - set(OURS)}"


@pytest.mark.parametrize(
    ("package", "source"),
    [
        ("envs", "from replay.buffer import ReplayBuffer"),
        ("replay", "from envs.games import game"),
        ("agent", "from taskid.sources.true_labels import TrueLabels"),
        ("variants", "import agent.dqn"),
        ("agent", "import envs.games"),
        ("taskid", "from envs.games import game"),
        ("tracking", "def f():\n    from configs.schema import Config"),
        ("configs", "from evaluation.play import play_game"),
        ("configs", "from training.machine import resolve"),
        ("taskid", "from evaluation.inference_score import InferenceScore"),
        ("evaluation", "import evaluate"),
        ("training", "import train"),
        ("train", "from benchmarks.replay_memory import main"),
        ("envs", "import tests.envs.helpers"),
    ],
)
def test_the_rule_notices(package: str, source: str) -> None:
    assert forbidden(package, source)


def test_no_file_mentions_a_place_of_one_machine() -> None:
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        capture_output=True,
    )
    if listed.returncode:
        pytest.skip("not a git repository")
    place = re.compile(r"(?<![\w.])/(?:" + "work|root" + r")/")
    paths = [ROOT / name for name in listed.stdout.decode().split("\0") if name]
    assert place.search("in /" + "work/x") and len(paths) > 50
    for path in paths:
        if path.is_file():
            match = place.search(path.read_text(errors="ignore"))
            assert not match, f"{path.relative_to(ROOT)} mentions {match.group() if match else ''}"
