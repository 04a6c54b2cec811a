from collections.abc import Iterator

import pytest
import torch

_LONGEST = "test_sweep_runs.py"  # seven minutes: begun last, it would leave the other core without work


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest file first."""
    items.sort(key=lambda item: item.path.name != _LONGEST)


@pytest.fixture(autouse=True)
def denormal_numbers() -> Iterator[None]:
    """A run flushes them for the whole process; other tests have them."""
    yield
    torch.set_flush_denormal(False)
