"""A run resumed with another version of this program goes on or is refused with a sentence, never with a KeyError.

Every checkpoint carries `training.resume.STATE_FORMAT`. The keys of all states, and the types of what they hold, are
kept in state_shape.json beside that number. Where they change on purpose: raise the number, then store the new ones
with

    python -m tests.conformance.test_state_shape
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.conformance.test_state_law import CASES
from tracking.writers import CsvWriter, JsonLinesWriter, TensorBoardWriter, Writers
from training.resume import STATE_FORMAT

SHAPES = Path(__file__).with_name("state_shape.json")
VARIANTS = ("consolidator ", "task source ")  # of the registries: a file more or less needs no shape stored


def leaves(tree: Any, path: str = "") -> Iterator[str]:
    """Where something lies in a state, and of which type it is; numbers in names, which count something, are #."""
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            name = "*" if path.endswith("/segments") else re.sub(r"\d+", "#", str(key))
            yield from leaves(value, f"{path}/{name}")
    elif isinstance(tree, list | tuple):
        for value in tree:
            yield from leaves(value, f"{path}/[]")
    else:
        yield f"{path}: {type(tree).__name__}"


def shape(state: Any) -> list[str]:
    return sorted(set(leaves(state)))


def shapes() -> dict[str, list[str]]:
    """{part: shape} after the longest drive of every case of the law of state, and of the writers."""
    nowhere = Path("nowhere")
    writers = [TensorBoardWriter(nowhere), JsonLinesWriter(nowhere), CsvWriter(nowhere, ["a"])]
    found = {"writers": shape(Writers(writers).state_dict())}
    for name, case in CASES.items():
        part = case.make(0)
        for t in range(max(case.before)):
            case.drive(part, t)
        found[name] = shape(part.state_dict())
        getattr(part, "close", lambda: None)()
    return found


def test_states_have_the_shape_of_their_number() -> None:
    stored = json.loads(SHAPES.read_text())
    assert stored["format"] == STATE_FORMAT, "store the shapes of this number, see above"
    now = shapes()
    new = {name for name in now.keys() ^ stored["shapes"].keys() if not name.startswith(VARIANTS)}
    assert not new, f"store the shapes of {', '.join(sorted(new))}, see above"
    for name in now.keys() & stored["shapes"].keys():
        lines = now[name]
        differing = sorted(set(lines) ^ set(stored["shapes"][name]))
        assert not differing, f"{name}: the state has changed, so raise STATE_FORMAT, see above: {differing}"


def test_a_changed_key_is_noticed() -> None:
    assert shape({"a": [1, 2], "b": {3: "x"}}) == ["/a/[]: int", "/b/#: str"]
    assert shape({"a": [1], "b": {3: "x"}}) == shape({"a": [1, 2], "b": {4: "y"}})
    assert shape({"a": 1}) != shape({"b": 1}) and shape({"a": 1}) != shape({"a": 1.0})


def store() -> None:
    """Replace the stored shapes; refuses to give a number that has shapes other ones."""
    stored, now = json.loads(SHAPES.read_text()) if SHAPES.exists() else {"format": 0, "shapes": {}}, shapes()
    changed = [name for name, lines in stored["shapes"].items() if name in now and now[name] != lines]
    if changed and stored["format"] == STATE_FORMAT:
        raise SystemExit(f"raise STATE_FORMAT in training/resume.py first: {', '.join(changed)} changed")
    SHAPES.write_text(json.dumps({"format": STATE_FORMAT, "shapes": now}, indent=1) + "\n")
    print(f"written: {SHAPES}")


if __name__ == "__main__":
    store()
