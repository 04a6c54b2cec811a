"""Every public module, class, function and method says what it is or does: the reference pages are made of that."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("variants", "agent", "envs", "replay", "taskid", "configs", "evaluation", "training", "tracking")
FEWEST_WORDS = 4  # what is shorter says nothing that the name does not say
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def public(body: list[ast.stmt]) -> Iterator[Definition]:
    for node in body:
        if isinstance(node, Definition) and not node.name.startswith("_"):
            yield node


def says(node: ast.Module | Definition) -> bool:
    return len((ast.get_docstring(node) or "").split()) >= FEWEST_WORDS


def is_protocol(node: ast.ClassDef) -> bool:
    return any("Protocol" in ast.unparse(base) for base in node.bases)


def told_by_roles(trees: list[ast.Module]) -> set[str]:
    """The methods whose contract stands in a Protocol, so that those who fill the role need not repeat it."""
    return {
        method.name
        for tree in trees
        for role in public(tree.body)
        if isinstance(role, ast.ClassDef) and is_protocol(role)
        for method in public(role.body)
        if says(method)
    }


def silent(tree: ast.Module, told: set[str]) -> list[str]:
    """What lacks a docstring, or has one that says nothing."""
    found = [] if says(tree) else ["the module"]
    for node in public(tree.body):
        if not says(node):
            found.append(node.name)
        if isinstance(node, ast.ClassDef):
            methods = [each for each in public(node.body) if each.name not in told or ast.get_docstring(each)]
            found += [f"{node.name}.{each.name}" for each in methods if not says(each)]
    return list(dict.fromkeys(found))  # a setter bears its property's name


@pytest.fixture(scope="module")
def trees() -> dict[Path, ast.Module]:
    paths = [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]
    return {path: ast.parse(path.read_text()) for path in paths}


@pytest.mark.parametrize("room", ROOMS)
def test_every_public_name_has_a_docstring(trees: dict[Path, ast.Module], room: str) -> None:
    told = told_by_roles([*trees.values()])
    here = {path: tree for path, tree in trees.items() if path.is_relative_to(ROOT / room)}
    assert here
    wrong = [f"{path.relative_to(ROOT)}: {name}" for path, tree in here.items() for name in silent(tree, told)]
    assert not wrong, "no docstring of at least four words: " + ", ".join(wrong)


@pytest.mark.parametrize(
    "source",
    [
        "def f(): ...",
        '"""A module with something to say."""\ndef f(): "The rest."',
        '"""A module with something to say."""\nclass C:\n    "A class with something to say."\n    def own(self): ...',
    ],
)
def test_the_rule_notices(source: str) -> None:
    assert silent(ast.parse(source), {"step"})


def test_who_fills_a_role_need_not_repeat_it() -> None:
    role = 'class Role(Protocol):\n    "What a role is for."\n    def step(self): "One step of everything."\n'
    part = '"""A module with something to say."""\nclass Part:\n    "One that fills the role."\n    def step(self): ...'
    assert told_by_roles([ast.parse(role)]) == {"step"}
    assert silent(ast.parse(part), {"step"}) == [] and silent(ast.parse(part), set()) == ["Part.step"]
