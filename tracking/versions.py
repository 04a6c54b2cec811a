"""What a run was made with."""

import platform
import subprocess
import tomllib
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("torch", "numpy", "ale_py", "gymnasium")


def versions() -> dict[str, Any]:
    """Versions of this program, Python and the packages that decide the numbers, the machine, and this repository's
    commit.

    What cannot be found out is None.
    """
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "version": _version(),
        "python": platform.python_version(),
        **{package: _package(package) for package in PACKAGES},
        "platform": platform.platform(),
        "cpu": _cpu(),
        "git_commit": _commit(_ROOT),
    }


def program() -> dict[str, Any]:
    """This program's version and commit, None where unknown."""
    return {"version": _version(), "git_commit": _commit(_ROOT)}


def _version() -> str | None:
    """This program's own."""
    try:
        return str(tomllib.loads((_ROOT / "pyproject.toml").read_text())["project"]["version"])
    except (OSError, ValueError, KeyError):
        return None


def _package(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _cpu() -> str | None:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or None
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), None)


def _commit(directory: Path) -> str | None:
    """The commit, with `+changes` if tracked files differ from it or Python files were added."""
    git = ["git", "-C", str(directory)]
    try:
        commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True, timeout=10)
        told = [
            ["status", "--porcelain", "--untracked-files=no"],
            ["ls-files", "--others", "--exclude-standard", "*.py"],
        ]
        changes = [subprocess.run([*git, *ask], capture_output=True, text=True, check=True, timeout=30) for ask in told]
    except (OSError, subprocess.SubprocessError):
        return None
    return commit.stdout.strip() + ("+changes" if any(each.stdout.strip() for each in changes) else "")
