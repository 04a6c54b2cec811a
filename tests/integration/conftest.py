from pathlib import Path

import pytest

from tests.integration.runs import TOY, launch, write_config

# Anchors from the first departure on, of weights and of values.
EWC = {
    "start_frames": 100,
    "min_visit_frames": 0,
    "ewc_lambda": 10.0,
    "fisher_batches": 5,
    "recall_states": 24,
    "recall_samples": 3,
}


@pytest.fixture(scope="session")
def toy_config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    more = {
        "learner": {**TOY["learner"], "average_rate": 0.02},
        "exploration": {**TOY["exploration"], "spread": 1.0},
    }
    return write_config(
        tmp_path_factory.mktemp("toy") / "toy.yaml", TOY, task_source="inferred", consolidation=EWC, **more
    )


@pytest.fixture(scope="session")
def uninterrupted(toy_config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a toy run that nobody disturbed; only to be read."""
    run = tmp_path_factory.mktemp("runs") / "uninterrupted"
    outcome = launch("--config", toy_config, "--run_dir", run)
    assert outcome.code == 0, outcome.err
    return run
