"""Bit-for-bit comparison of anything that a state or a trace may hold."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import torch


def difference(a: Any, b: Any, path: str = "") -> str | None:
    """Where two trees differ first, in a sentence, or None. Values of different types are different."""
    if type(a) is not type(b):
        return f"{path}: {type(a).__name__} against {type(b).__name__}"
    if isinstance(a, torch.Tensor):
        a, b = a.detach().numpy(), b.detach().numpy()
    if isinstance(a, np.ndarray):
        if (a.dtype, a.shape) != (b.dtype, b.shape):
            return f"{path}: {a.dtype} {a.shape} against {b.dtype} {b.shape}"
        return None if a.tobytes() == b.tobytes() else f"{path}: {np.sum(a != b)} of {a.size} elements differ"
    if is_dataclass(a):
        names = [field.name for field in fields(a)]
        return _first({n: getattr(a, n) for n in names}, {n: getattr(b, n) for n in names}, path)
    if isinstance(a, Mapping):
        if list(a) != list(b):
            return f"{path}: the keys {list(a)} against {list(b)}"
        return _first(a, b, path)
    if isinstance(a, Sequence) and not isinstance(a, (str, bytes)):
        if len(a) != len(b):
            return f"{path}: {len(a)} against {len(b)} elements"
        return _first(dict(enumerate(a)), dict(enumerate(b)), path)
    return None if a == b or (a != a and b != b) else f"{path}: {a!r} against {b!r}"


def assert_alike(a: Any, b: Any) -> None:
    """Fail with the first place where two trees differ."""
    found = difference(a, b)
    assert found is None, found


def through_a_file(state: Any) -> Any:
    """The state after `torch.save`, and a loading that executes nothing."""
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def _first(a: Mapping[Any, Any], b: Mapping[Any, Any], path: str) -> str | None:
    found = (difference(a[key], b[key], f"{path}/{key}") for key in a)
    return next((sentence for sentence in found if sentence), None)
