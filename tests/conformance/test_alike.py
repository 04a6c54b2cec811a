"""The comparison that every law of state rests on must itself be able to fail."""

import numpy as np
import pytest
import torch

from tests.conformance.alike import assert_alike, difference

SAME = {"a": torch.tensor([0.0, float("nan")]), "b": [1, None, "x", b"y", float("nan")], "c": (np.arange(3),)}


def test_equal_trees_are_alike():
    assert_alike(SAME, {"a": SAME["a"].clone(), "b": [1, None, "x", b"y", float("nan")], "c": (np.arange(3),)})


@pytest.mark.parametrize(
    ("a", "b", "told"),
    [
        (torch.tensor([0.0, 1.0]), torch.tensor([-0.0, 1.0]), "elements differ"),  # equal, but not in every bit
        (torch.zeros(2), torch.zeros(3), r"\(2,\)"),
        (torch.zeros(2), torch.zeros(2, dtype=torch.int32), "float32"),
        ({"x": {"y": 1}}, {"x": {"y": 2}}, "/x/y: 1 against 2"),
        ({"x": 1}, {"x": 1.0}, "int against float"),
        ({"x": 1}, {"x": 1, "y": 1}, "keys"),
        ([1, 2], [1, 2, 3], "2 against 3"),
        ([1, [2, "a"]], [1, [2, "b"]], "/1/1"),
        (None, 0, "NoneType"),
    ],
)
def test_any_difference_is_found_and_named(a, b, told):
    with pytest.raises(AssertionError, match=told):
        assert_alike(a, b)
    assert difference(a, b)
