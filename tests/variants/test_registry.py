"""A folder's files are its variants; one that is none is told in a sentence that names it."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import pytest

from variants.registry import Registry, VariantError

_count = itertools.count()
WHOLE = '''"""A line of help.

More.
"""
from __future__ import annotations
from dataclasses import dataclass
from variants.settings import number

@dataclass(frozen=True)
class Settings:
    size: int = number(3, 1, 5)
    name: str = "x"

def make(weight, settings):
    return weight, settings.size
'''


@pytest.fixture
def registry_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A registry of a folder with these files, whose variants are offered `weight` and `label`."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def made(**files: str) -> Registry:
        package = f"folder{next(_count)}"
        (tmp_path / package).mkdir()
        for name, text in {"__init__": "", **files}.items():
            (tmp_path / package / f"{name}.py").write_text(text)
        return Registry(package, "weight", "label")

    return made


def test_variants_are_the_files_by_name_with_their_line_of_help(registry_of) -> None:
    found = registry_of(b=WHOLE, a='"""Plain."""\ndef make(label):\n    return label()\n')
    assert [*found] == ["a", "b"] and [v.summary for v in found.values()] == ["Plain", "A line of help"]
    assert found["a"].settings is None
    assert found.build("a", weight=1, label=lambda: "told") == "told"
    assert found.build("b", found["b"].settings(size=5), weight=1, label=None) == (1, 5)


def test_a_module_is_imported_when_it_is_made_and_before_only_for_its_settings(registry_of) -> None:
    found = registry_of(plain='"""Plain."""\ndef make(*, weight):\n    return weight\n', whole=WHOLE)
    package = found.package
    assert f"{package}.plain" not in sys.modules and f"{package}.whole" in sys.modules
    assert found.build("plain", weight=7, label=None) == 7 and f"{package}.plain" in sys.modules


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("def make(): ...", "begin with a docstring"),
        ('"""Help."""\ndef make(:', "mine.py, line 2: no Python: "),
        ('"""Help."""', "has no function make, which may take weight, label"),
        (WHOLE.replace("make(weight", "make(wait"), "make asks for wait; it may take weight, label, settings"),
        ('"""Help."""\ndef make(settings): ...', "make asks for settings; it may take weight, label"),
        (WHOLE.replace("number(3, 1, 5)", "3"), "Settings.size needs a range, as number(default, 0, 10) has"),
        (WHOLE.replace(" = number(3, 1, 5)", ""), "Settings.size needs a default"),
        (WHOLE.replace("@dataclass(frozen=True)", ""), "Settings must be a dataclass"),
    ],
)
def test_a_file_that_lacks_something_is_told_in_a_sentence(registry_of, text: str, told: str) -> None:
    with pytest.raises(VariantError) as caught:
        registry_of(mine=text)
    assert told in str(caught.value) and "/mine.py" in str(caught.value) and "\n" not in str(caught.value)
