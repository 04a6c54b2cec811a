from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True)
def denormal_numbers() -> Iterator[None]:
    """A run flushes them for the whole process; other tests have them."""
    yield
    torch.set_flush_denormal(False)
