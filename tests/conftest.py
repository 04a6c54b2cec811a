from collections.abc import Iterator

import hypothesis
import pytest
import torch

pytest_plugins = ["tests.cpu"]

# Chosen by --hypothesis-profile: `make test` takes the first, `make check` the second.
hypothesis.settings.register_profile("quick", max_examples=30, deadline=None)
hypothesis.settings.register_profile("thorough", max_examples=300, deadline=None)
hypothesis.settings.load_profile("quick")


@pytest.fixture(autouse=True)
def denormal_numbers() -> Iterator[None]:
    """A run flushes them for the whole process; other tests have them."""
    yield
    torch.set_flush_denormal(False)
