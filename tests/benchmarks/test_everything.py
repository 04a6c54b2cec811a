"""The one call that measures all: its cases are configurations that exist, and a case is what roofline prints."""

import pytest

from benchmarks import everything, roofline
from configs.checks import ConfigError


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_every_case_is_a_configuration_of_that_device(device: str) -> None:
    cases = everything.cases(device)
    assert len({case.name for case in cases}) == len(cases) >= 9
    for case in cases:
        config = roofline.configuration(roofline.parser().parse_args(list(case.options)))
        assert config.device == device and case.name.startswith(config.learner.network)
        assert ("recorded" in case.name) == config.learner.cuda_graphs
        assert ("frames" in case.name) == (config.replay.device_gib > 0)
        assert (config.task_source == "inferred") != ("plain" in case.name)
        assert case.deterministic == ("deterministic" in case.name)


def test_a_case_measures_phases_beside_their_floors() -> None:
    case = everything.Case("small", ("--network", "small", "--precision", "float32", "--threads", "1"))
    found = everything.run(case, 0.3, 2)
    assert set(everything._COLUMNS) <= set(found) and all(found[name] > 0 for name in everything._COLUMNS)
    assert found["emulators"] == 2 and found["updates_per_step"] == 0.5
    assert found["learn_floor_ms"] == pytest.approx(0.5 * found["update_floor_ms"])
    assert found["update_over_floor"] == pytest.approx(found["update_ms"] / found["update_floor_ms"])
    assert 0 < found["busy"] <= 1.1


def test_what_cannot_be_measured_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConfigError, match="did you mean krull"):
        everything.run(everything.Case("wrong", ("--game", "krul")), 0.3, 2)
    with pytest.raises(SystemExit) as ended:
        everything.main(["--emulators", "0"])
    said = capsys.readouterr().err
    assert ended.value.code == 2 and said.count("\n") == 1 and "--emulators: must lie between 1 and 1,024" in said


def test_an_updates_operations_counted_by_hand() -> None:
    """The small network: 5x5 kernels with stride 5 on 4 x 84 x 84, then 5x5 with stride 5, 256 and 18 units."""
    config = roofline.configuration(roofline.parser().parse_args(["--network", "small", "--precision", "float32"]))
    layers = [16 * 16 * 32 * 4 * 25, 3 * 3 * 64 * 32 * 25, 256 * 64 * 9, 18 * 256]
    assert roofline.update_operations(config) == 2 * 32 * (5 * sum(layers) - layers[0])
