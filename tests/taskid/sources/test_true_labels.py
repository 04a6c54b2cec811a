"""Tasks as the true labels tell them."""

from taskid.source import Inference
from taskid.sources.true_labels import TrueLabels


def test_games_are_numbered_in_order_of_appearance() -> None:
    shown: list[str] = []
    tasks = TrueLabels(lambda: shown[-1])
    answers = []
    for name in ("krull", "krull", "pong", "boxing", "krull", "pong"):
        shown.append(name)
        answers.append(tasks.infer(None))  # type: ignore[arg-type]
    assert answers == [Inference(task, (task,)) for task in (0, 0, 1, 2, 0, 1)]  # without any doubt
    assert tasks.num_tasks == 3 and tasks.posterior == 1


def test_recognising_creates_no_task() -> None:
    tasks = TrueLabels(lambda: "krull")
    tasks.infer(None)  # type: ignore[arg-type]
    before = tasks.state_dict()
    assert tasks.recogniser("pong").identify(None) is None  # type: ignore[arg-type]
    assert tasks.recogniser("krull").identify(None) == 0  # type: ignore[arg-type]
    assert tasks.num_tasks == 1 and tasks.state_dict() == before


def test_the_state_is_a_copy() -> None:
    shown = ["krull"]
    tasks = TrueLabels(lambda: shown[-1])
    tasks.infer(None)  # type: ignore[arg-type]
    state = tasks.state_dict()
    shown.append("pong")
    tasks.infer(None)  # type: ignore[arg-type]
    assert state == {"numbers": {"krull": 0}}
