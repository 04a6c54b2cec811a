"""One task for everything."""

from taskid.source import Inference
from taskid.sources.single import SingleTask


def test_everything_is_one_task() -> None:
    tasks = SingleTask()
    assert tasks.num_tasks == 1 and tasks.infer(None) == Inference(0, (0,))  # type: ignore[arg-type]
    assert tasks.recogniser("anything").identify(None) == 0  # type: ignore[arg-type]
    assert tasks.state_dict() == {}
