from pathlib import Path

import pytest

from tests.integration.runs import TOY, launch, write_config


@pytest.fixture(scope="session")
def toy_config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_config(tmp_path_factory.mktemp("toy") / "toy.yaml", TOY, tasks="inferred")


@pytest.fixture(scope="session")
def uninterrupted(toy_config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a toy run that nobody disturbed; only to be read."""
    run = tmp_path_factory.mktemp("runs") / "uninterrupted"
    outcome = launch("--config", toy_config, "--run_dir", run)
    assert outcome.code == 0, outcome.err
    return run
