"""Docstrings and comments name modules, classes and functions that exist."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from configs.parse import field_names
from tests.conformance.test_docs import ROOT
from training.options import train_parser

PACKAGES = sorted(path.parent.name for path in ROOT.glob("*/__init__.py"))
_NAMED = re.compile(rf"`((?:{'|'.join(PACKAGES)})(?:\.\w+)+)`")
FILES = sorted(path.relative_to(ROOT) for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def names(node: ast.stmt) -> list[str]:
    """What a statement gives a name to."""
    match node:
        case ast.ClassDef(name) | ast.FunctionDef(name):
            return [name]
        case ast.Assign(targets):
            return [target.id for target in targets if isinstance(target, ast.Name)]
        case ast.AnnAssign(target=ast.Name(name)):
            return [name]
        case ast.Import(aliases) | ast.ImportFrom(names=aliases):
            return [alias.asname or alias.name for alias in aliases]
    return []


def there_is(dotted: str) -> bool:
    """Whether package.module.Class.method is in the files; what a constructor stores is not found."""
    parts = dotted.split(".")
    for count in range(len(parts), 0, -1):
        path = ROOT.joinpath(*parts[:count])
        if path.with_suffix(".py").is_file():
            return _within(ast.parse(path.with_suffix(".py").read_text()).body, parts[count:])
        if path.is_dir():
            return count == len(parts)
    return False


def _within(body: Sequence[ast.stmt], parts: Sequence[str]) -> bool:
    if not parts:
        return True
    found = [node for node in body if parts[0] in names(node)]
    return any(_within(getattr(node, "body", []), parts[1:]) for node in found)


@pytest.mark.parametrize("file", FILES, ids=str)
def test_what_is_named_exists(file: Path) -> None:
    settings = field_names(train_parser())
    named = set(_NAMED.findall((ROOT / file).read_text())) - set(settings)
    assert [name for name in sorted(named) if not there_is(name)] == []


@pytest.mark.parametrize(
    ("dotted", "there"),
    [
        ("agent.dqn", True),
        ("agent.dqn.PlainUpdate.prepare", True),
        ("agent.fast", True),
        ("agent.dqn.PlainUpdate.prepares", False),
        ("agent.nothing", False),
        ("evaluation.play.play_everything", False),
    ],
)
def test_the_rule_notices(dotted: str, there: bool) -> None:
    assert there_is(dotted) == there
