"""The variants of a role are the modules of a folder. Whoever adds a file adds a choice.

A variant's module has

    a docstring          its first line is the choice's line in `--help`
    make(...)            returns the variant; takes what it needs of the parts that the role offers, by their names
    Settings             only if it has settings of its own, which `make` then takes as `settings`: a frozen dataclass
                         whose numbers are `variants.settings.number` and whose fields have a docstring each

A module is imported when it is made, and before that for its settings only; of the others the text is read. So help and
mistakes in options wait for no library, provided that a module with settings imports what is large within `make`.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, get_type_hints


class VariantError(SystemExit):
    """A file that is no variant, as one sentence that names it; ends the command, since modules are read first."""


@dataclass(frozen=True)
class Variant:
    """One file of a role's folder: how it is chosen, its line of help, and its own settings (None: it has none)."""

    name: str
    summary: str
    settings: type | None
    module: str

    @property
    def make(self) -> Any:
        """The module's function, which is imported for it."""
        return importlib.import_module(self.module).make


class Registry(Mapping[str, Variant]):
    """{name: variant} of the modules of `package`, by name.

    parts   the names of what the role offers to a variant's `make`
    """

    def __init__(self, package: str, *parts: str) -> None:
        folder = importlib.import_module(package)
        paths = [Path(place) for place in folder.__path__]
        names = sorted(each.name for each in pkgutil.iter_modules(folder.__path__) if not each.ispkg)
        self.package = package
        self.parts = parts
        self._variants = {name: _variant(f"{package}.{name}", paths, parts) for name in names}

    def __getitem__(self, name: str) -> Variant:
        return self._variants[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._variants)

    def __len__(self) -> int:
        return len(self._variants)

    def build(self, name: str, settings: Any = None, **offered: Any) -> Any:
        """The variant of this name, made of those of the offered parts that it asks for."""
        make = self[name].make
        return make(**{part: {**offered, "settings": settings}[part] for part in inspect.signature(make).parameters})


def _variant(module: str, folders: list[Path], parts: tuple[str, ...]) -> Variant:
    where, name = module.replace(".", "/") + ".py", module.rsplit(".", 1)[-1]
    path = next(folder / f"{name}.py" for folder in folders if (folder / f"{name}.py").is_file())
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"), where)
    except SyntaxError as error:
        raise VariantError(f"{where}, line {error.lineno}: no Python: {error.msg}") from None
    docstring = (ast.get_docstring(tree) or "").strip()
    if not docstring:
        raise VariantError(f"{where}: begin with a docstring; its first line is shown by --help")
    makes = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "make"]
    has_settings = any(isinstance(node, ast.ClassDef) and node.name == "Settings" for node in tree.body)
    allowed = (*parts, *(["settings"] if has_settings else []))
    if not makes:
        raise VariantError(f"{where}: has no function make, which may take {', '.join(allowed) or 'nothing'}")
    asked = [each.arg for each in (*makes[-1].args.posonlyargs, *makes[-1].args.args, *makes[-1].args.kwonlyargs)]
    if wrong := [each for each in asked if each not in allowed]:
        raise VariantError(f"{where}: make asks for {wrong[0]}; it may take {', '.join(allowed) or 'nothing'}")
    settings = importlib.import_module(module).Settings if has_settings else None
    if settings:
        _check_settings(settings, where)
    return Variant(name, docstring.splitlines()[0].removesuffix("."), settings, module)


def _check_settings(settings: Any, where: str) -> None:
    if not is_dataclass(settings):
        raise VariantError(f"{where}: Settings must be a dataclass: put @dataclass(frozen=True) above it")
    kinds = get_type_hints(settings)
    for each in fields(settings):
        if each.default is MISSING and each.default_factory is MISSING:
            raise VariantError(f"{where}: Settings.{each.name} needs a default")
        if kinds[each.name] in (int, float) and "range" not in each.metadata:
            raise VariantError(f"{where}: Settings.{each.name} needs a range, as number(default, 0, 10) has")
