"""When evaluations are due, and when what of them is recorded and told; played by nobody."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from configs.schema import Config, EvaluationConfig
from evaluation.play import Abandoned, GameResult
from training import evaluations as module
from training.evaluations import Evaluations
from training.failures import Diverged
from training.milestones import Milestones, Request, due, first_milestones

END = 100  # frames
RESULTS = [GameResult("toy_catch", (1.0,), (4,), 0, 1.0)]


class World:
    """A run without a loop: its frames are set by hand, and `tape` shows what was done. A worker has its results when
    `ready` is set; asked for them before, it waits in vain, and the wait is `stopped` if the run is."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, **evaluation: Any) -> None:
        self.tape: list[Any] = []
        self.stopped = self.ready = False
        self.folder = folder
        self.config = Config(frames=END, evaluation=EvaluationConfig(**evaluation))
        self.stream = SimpleNamespace(frames=0, visit_start=0, label="toy_catch", left="toy_avoid")
        self.network = torch.nn.Linear(1, 1)
        self.milestones = first_milestones(self.config)
        monkeypatch.setattr(
            module, "scheduled_evaluation", lambda config, agent, last, game, _: self.played(game, "play", last)
        )
        monkeypatch.setattr(
            module, "evaluate_snapshot", lambda config, path, last, game, _: self.played(game, "play", path.name)
        )
        self.made = self.resumed()

    def resumed(self) -> Evaluations:
        """As a process makes it that takes up the run."""
        agent: Any = SimpleNamespace(learner=SimpleNamespace(network=self.network))
        parts: Any = SimpleNamespace(stream=self.stream, agent=agent)
        worker: Any = SimpleNamespace(
            start=lambda snapshot, last, game: self.tape.append(("start", snapshot.name, last, *only(game))),
            ready=lambda: self.ready,
            results=lambda stopped=None: self.results("wait") if not self.ready else RESULTS,
        )
        snapshots: Any = SimpleNamespace(
            save=self.save,
            file=lambda frames: self.folder / str(frames),
            problem=lambda frames: None if (self.folder / str(frames)).is_file() else f"{frames} is missing",
        )
        logs: Any = SimpleNamespace(evaluation=lambda frames, results: self.tape.append(("record", frames)))
        progress: Any = SimpleNamespace(event=self.tape.append)
        stop: Any = SimpleNamespace(requested=False)
        return Evaluations(self.config, parts, self.milestones, snapshots, logs, progress, worker, stop)

    def save(self) -> Path:
        path = self.folder / str(self.stream.frames)
        path.touch()
        self.tape.append(("save", self.stream.frames))
        return path

    def played(self, game: str | None, *did: Any) -> list[GameResult]:
        return self.results(*did, *only(game))

    def results(self, *did: Any) -> list[GameResult]:
        if self.stopped:
            raise Abandoned
        self.tape.append(did)
        return RESULTS

    def at(self, frames: int) -> list[Any]:
        """What is done at this frame."""
        self.stream.frames = frames
        self.tape.clear()
        if self.made.due():
            self.made.make()
        return [*self.tape]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path, monkeypatch, period=20)


@pytest.fixture
def beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path, monkeypatch, period=40, background=True, report_after=10)


def only(game: str | None) -> tuple[str, ...]:
    """What the tape shows of an evaluation of one game, and of one of all."""
    return () if game is None else (game,)


def told(frames: int, words: str = "") -> str:
    return f"{frames}: evaluation{words}: toy_catch 1.0 ({RESULTS[0].human_normalised:.2f})"


def test_due_is_a_question_of_multiples() -> None:
    assert [t for t in range(1, 30) if due(7, t - 1, t)] == [7, 14, 21, 28]
    assert due(7, 6, 20) and not due(7, 7, 13) and not due(0, 0, 10**9)


def test_the_run_evaluates_at_its_period_and_at_its_end(world: World) -> None:
    """Recorded, told and kept, in that order; the last one with the episodes of the end."""
    assert world.at(0) == [] and world.at(18) == []
    assert world.at(21) == [("play", False), ("record", 21), told(21), ("save", 21)]
    assert world.at(21) == [] and world.at(39) == []
    assert world.at(END) == [("play", True), ("record", END), told(END), ("save", END)]
    assert world.at(END) == [] and world.milestones == Milestones(evaluated=END)


def test_the_end_of_a_visit_counts_if_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path, monkeypatch, period=0, at_visit_ends="all")
    assert world.at(0) == [] and world.at(30) == []
    world.stream.visit_start = 40
    assert ("record", 40) in world.at(40) and world.at(40) == [] and world.at(50) == []
    world.made.config = Config(frames=END, evaluation=EvaluationConfig(period=0, at_visit_ends="none"))
    world.stream.visit_start = 60
    assert world.at(60) == []


@pytest.mark.parametrize("rate", [0.0, 0.01])
def test_each_moment_is_kept_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rate: float) -> None:
    """Before it is played where a running average plays, which is in snapshots only, else afterwards."""
    world = World(tmp_path, monkeypatch, period=20, at_start=True)
    world.made.config = replace(world.config, learner=replace(world.config.learner, average_rate=rate))
    for frames in (0, 20, 40):
        done = [each[0] for each in world.at(frames) if isinstance(each, tuple)]
        assert done == (["save", "play", "record"] if rate else ["play", "record", "save"])


def test_the_game_just_left_alone_is_played_where_nothing_else_is_due(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the period, at the start and at the end every game is, whether a visit ends there or not."""
    world = World(tmp_path, monkeypatch, period=40, at_visit_ends="left", at_start=True)
    assert world.at(0)[0] == ("play", False)
    for frames, played in (
        (20, ("play", False, "toy_avoid")),
        (41, ("play", False)),
        (60, ("play", False, "toy_avoid")),
    ):
        world.stream.visit_start = frames
        assert world.at(frames)[0] == played
        assert world.at(frames) == [] and world.at(frames + 4) == [], "once"
    assert world.at(80)[0] == ("play", False), "what was played at 60 puts nothing off"
    world.stream.visit_start = END
    assert world.at(END)[0] == ("play", True)


def test_in_the_background_the_game_just_left_is_asked_for_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also by a process that takes up the run, in which another game may have been left since."""
    world = World(tmp_path, monkeypatch, period=0, at_visit_ends="left", background=True, report_after=10)
    world.stream.visit_start = 40
    assert world.at(40) == [("save", 40), ("start", "40", False, "toy_avoid")]
    state = world.milestones.state_dict()
    assert state == {"evaluated": 40, "pending": (40, False, "toy_avoid")}
    world.milestones = Milestones()
    world.milestones.load_state_dict(state)
    world.stream.left, world.made = "toy_rise", world.resumed()
    world.tape.clear()
    world.made.resume()
    assert world.tape == [("start", "40", False, "toy_avoid")]
    world.ready = True
    assert world.at(50) == [("record", 40), told(40, " on leaving")]
    assert world.milestones.state_dict() == {"evaluated": 40}
    world.ready, world.stream.visit_start = False, 60
    world.at(60)
    world.config = Config(frames=END, evaluation=EvaluationConfig(period=0, report_after=10))
    world.made = world.resumed()
    assert world.at(70)[0] == ("play", "60", "toy_rise"), "without a background it is played by the run itself"


def test_checkpoints_that_know_of_evaluations_of_every_game_only_are_taken_up() -> None:
    milestones = Milestones()
    milestones.load_state_dict({"evaluated": 40, "pending": (40, True)})
    assert milestones == Milestones(40, Request(40, True, None))
    assert milestones.state_dict() == {"evaluated": 40, "pending": (40, True)}
    milestones.load_state_dict({"evaluated": 60})
    assert milestones == Milestones(60, None)


@pytest.mark.parametrize("period", [0, 20])
def test_the_start_counts_if_asked_for(period: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once, and at frame 0 alone; in the background it is told like any other."""
    world = World(tmp_path, monkeypatch, period=period, at_start=True)
    assert world.at(0) == [("play", False), ("record", 0), told(0), ("save", 0)]
    assert world.at(0) == world.at(8) == []
    beside = World(tmp_path, monkeypatch, period=period, at_start=True, background=True, report_after=10)
    assert beside.at(0) == [("save", 0), ("start", "0", False)]
    beside.ready = True
    beside.made.announce()
    assert beside.tape[-1] == told(0) and beside.at(10) == [("record", 0)]


def test_what_is_given_up_is_due_again(world: World) -> None:
    world.stopped = True
    assert world.at(20) == ["evaluation abandoned; it will be done again on resume"]
    assert world.milestones.evaluated == 0
    world.stopped, world.made = False, world.resumed()
    assert ("record", 20) in world.at(20)


def test_nothing_is_played_or_kept_with_weights_that_are_not_finite(world: World) -> None:
    with torch.no_grad():
        world.network.weight.fill_(float("inf"))
    with pytest.raises(Diverged, match="weight is not finite"):
        world.at(20)
    assert world.tape == []


def test_in_the_background_results_are_recorded_by_frames_and_told_at_once(beside: World) -> None:
    assert beside.at(40) == [("save", 40), ("start", "40", False)]
    assert beside.milestones == Milestones(evaluated=40, pending=Request(40, False))
    beside.made.announce()
    assert beside.at(44) == []
    beside.ready = True
    beside.made.announce()
    beside.made.announce()
    assert beside.tape == [told(40)] and beside.milestones.pending, "told once, and not yet recorded"
    assert beside.at(49) == []
    assert beside.at(50) == [("record", 40)] and beside.milestones.pending is None


def test_a_slow_worker_is_waited_for_at_the_same_frame(beside: World) -> None:
    beside.at(40)
    assert beside.at(50) == ["waiting for the evaluation at 40 frames", ("wait",), ("record", 40), told(40)]


def test_the_next_evaluation_and_the_end_do_not_wait_longer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path, monkeypatch, period=40, background=True, report_after=1000)
    world.at(40)
    world.ready = True
    assert world.at(80) == [("record", 40), told(40), ("save", 80), ("start", "80", False)]
    done = [("record", 80), told(80), ("save", END), ("start", str(END), True), ("record", END), told(END)]
    assert world.at(END) == done and world.milestones == Milestones(evaluated=END)


def test_a_wait_is_given_up_and_begun_anew(beside: World) -> None:
    beside.at(40)
    beside.stopped = True
    assert beside.at(50)[-1] == "evaluation abandoned; it will be done again on resume"
    assert beside.milestones.pending == Request(40, False)
    beside.stopped, beside.made = False, beside.resumed()
    beside.tape.clear()
    beside.made.resume()
    assert beside.tape == [("start", "40", False)]
    beside.ready = True
    assert beside.at(50) == [("record", 40), told(40)]


def test_a_resume_without_a_background_plays_what_was_pending_itself(beside: World) -> None:
    beside.at(40)
    beside.config = Config(frames=END, evaluation=EvaluationConfig(period=40, background=False, report_after=10))
    beside.made = beside.resumed()
    beside.tape.clear()
    beside.made.resume()
    assert beside.tape == []
    assert beside.at(50) == [("play", "40"), ("record", 40), told(40)]


def test_a_lost_snapshot_of_what_was_pending_is_saved_again_if_the_run_still_stands_there(beside: World) -> None:
    beside.made.resume()  # there is none
    beside.at(40)
    (beside.folder / "40").unlink()
    beside.tape.clear()
    beside.resumed().resume()
    assert beside.tape == [("save", 40), ("start", "40", False)]


def test_what_was_pending_is_left_out_if_its_snapshot_is_lost_and_the_run_went_on(beside: World) -> None:
    beside.at(40)
    beside.at(44)
    (beside.folder / "40").unlink()
    beside.tape.clear()
    beside.made = beside.resumed()
    beside.made.resume()
    assert beside.tape == ["40 is missing; the evaluation at 40 frames is left out"]
    assert not beside.at(60)  # nothing is pending any more
