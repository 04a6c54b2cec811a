"""The variants of a role are the modules of a folder. Whoever adds a file adds a choice.

A variant's module has

    a docstring          its first line is the choice's line in `--help`
    make(...)            returns the variant; takes what it needs of the parts that the role offers, by their names
    Settings             only if it has settings of its own, which `make` then takes as `settings`: a frozen dataclass
                         whose numbers are `variants.settings.number` and whose fields have a docstring each
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from typing import Any, get_type_hints


class VariantError(SystemExit):
    """A file that is no variant, as one sentence that names it; ends the command, since modules are read first."""


@dataclass(frozen=True)
class Variant:
    """One file of a role's folder: how it is chosen, its line of help, and its own settings (None: it has none)."""

    name: str
    summary: str
    settings: type | None
    make: Any


class Registry(Mapping[str, Variant]):
    """{name: variant} of the modules of `package`, by name.

    parts   the names of what the role offers to a variant's `make`
    """

    def __init__(self, package: str, *parts: str) -> None:
        folder = importlib.import_module(package)
        names = sorted(each.name for each in pkgutil.iter_modules(folder.__path__) if not each.ispkg)
        self.package = package
        self.parts = parts
        self._variants = {name: _variant(f"{package}.{name}", parts) for name in names}

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


def _variant(module_name: str, parts: tuple[str, ...]) -> Variant:
    module = importlib.import_module(module_name)
    where = module_name.replace(".", "/") + ".py"
    if not (module.__doc__ or "").strip():
        raise VariantError(f"{where}: begin with a docstring; its first line is shown by --help")
    make, settings = getattr(module, "make", None), getattr(module, "Settings", None)
    allowed = (*parts, *(["settings"] if settings else []))
    if not callable(make):
        raise VariantError(f"{where}: has no function make, which may take {', '.join(allowed) or 'nothing'}")
    if wrong := [name for name in inspect.signature(make).parameters if name not in allowed]:
        raise VariantError(f"{where}: make asks for {wrong[0]}; it may take {', '.join(allowed) or 'nothing'}")
    if settings:
        _check_settings(settings, where)
    summary = str(module.__doc__).strip().splitlines()[0].removesuffix(".")
    return Variant(module_name.rsplit(".", 1)[-1], summary, settings, make)


def _check_settings(settings: Any, where: str) -> None:
    if not is_dataclass(settings):
        raise VariantError(f"{where}: Settings must be a dataclass: put @dataclass(frozen=True) above it")
    kinds = get_type_hints(settings)
    for each in fields(settings):
        if each.default is MISSING and each.default_factory is MISSING:
            raise VariantError(f"{where}: Settings.{each.name} needs a default")
        if kinds[each.name] in (int, float) and "range" not in each.metadata:
            raise VariantError(f"{where}: Settings.{each.name} needs a range, as number(default, 0, 10) has")
