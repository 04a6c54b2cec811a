"""What a run says it was made with."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tracking.versions import _commit


def test_a_commit_is_told_apart_from_one_with_changes_or_python_files_of_ones_own(tmp_path: Path) -> None:
    def git(*arguments: str) -> str:
        who = ["-c", "user.name=somebody", "-c", "user.email=somebody@example.org"]
        return subprocess.run(
            ["git", "-C", str(tmp_path), *who, *arguments], capture_output=True, text=True, check=True
        ).stdout.strip()

    assert _commit(tmp_path) is None
    git("init", "--quiet")
    (tmp_path / "tracked.txt").write_text("one")
    (tmp_path / ".gitignore").write_text("runs/\n")
    git("add", ".")
    git("commit", "--quiet", "-m", "first")
    head = git("rev-parse", "HEAD")
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "copy.py").write_text("")
    (tmp_path / "notes.md").write_text("")
    assert _commit(tmp_path) == head
    (tmp_path / "part").mkdir()
    (tmp_path / "part" / "mine.py").write_text("")
    assert _commit(tmp_path) == f"{head}+changes"
    git("add", "part")
    git("commit", "--quiet", "-m", "second")
    assert _commit(tmp_path) == git("rev-parse", "HEAD")
    (tmp_path / "tracked.txt").write_text("two")
    assert _commit(tmp_path) == f"{git('rev-parse', 'HEAD')}+changes"
