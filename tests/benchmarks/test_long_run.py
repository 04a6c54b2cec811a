"""What is fed into the replay is real play, and the report of a small run is that of its parts."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from benchmarks import long_run
from benchmarks.recordings import Filler, load, record
from configs.build import emulator_maker
from configs.schema import Config, EmulatorConfig
from envs.timestep import TimeStep
from replay.buffer import ReplayBuffer
from replay.per_task import PerTaskReplay


@pytest.mark.parametrize("game", ["breakout", "toy_avoid"])
def test_a_recording_is_what_the_emulators_showed(game: str, tmp_path: Path) -> None:
    config = Config(seed=3, emulators=EmulatorConfig(num_envs=2))
    record(config, game, 599, tmp_path / "play.npz")
    recording = load(tmp_path / "play.npz")
    batch = emulator_maker(config)(game, 3)
    now, ends = batch.reset(), 0
    rows = list(recording.rows())
    assert len(rows) == 300
    for before, action, after in rows:
        following = batch.step(action)
        for recorded, shown in ((before, now), (after, following)):
            assert (recorded.observation == shown.observation).all()
            assert (recorded.discount == shown.discount).all() and (recorded.first == shown.first).all()
        assert (after.reward == np.clip(following.reward, -1, 1)).all()
        now, ends = following, ends + int(following.first.sum())
    batch.close()
    assert ends > 0 and len(np.unique(recording.actions)) == 18


class Spy(PerTaskReplay):
    """Remembers the times and newest pixels of what is added."""

    def __init__(self) -> None:
        super().__init__(lambda: ReplayBuffer(100), budget_bytes=10**9)
        self.added: list[tuple[int, int, int]] = []

    def add(self, task: int, time: int, now: TimeStep, action: np.ndarray, following: TimeStep) -> None:
        super().add(task, time, now, action, following)
        self.added.append((task, time, int(now.observation[0, -1, 0, 0])))


def test_a_recording_is_played_again_and_again_behind_a_seam(tmp_path: Path) -> None:
    record(Config(emulators=EmulatorConfig(num_envs=2)), "toy_rise", 10, tmp_path / "play.npz")
    recording = load(tmp_path / "play.npz")
    recording.frames[:] = np.arange(6)[:, None, None, None]
    memory = Spy()
    filler = Filler(memory)
    filler.add(0, recording, 17)
    filler.add(4, recording, 2)
    shown = [(task, pixel) for task, _, pixel in memory.added]
    assert shown == [(0, pixel) for pixel in (0, 1, 2, 3, 4, 0, 1, 2, 3)] + [(4, 0)]
    times = [time for _, time, _ in memory.added]
    assert np.diff(times).tolist() == [1, 1, 1, 1, 2, 1, 1, 1, 2]
    assert (memory.size(0), memory.size(4)) == (18, 2)


def test_written_bytes_leave_out_what_is_linked(tmp_path: Path) -> None:
    before, after = tmp_path / "1", tmp_path / "2"
    before.mkdir()
    after.mkdir()
    (before / "old").write_bytes(bytes(1000))
    known = long_run.inodes(tmp_path)
    os.link(before / "old", after / "old")
    (after / "new").write_bytes(bytes(30))
    (before / "old").unlink()  # an older checkpoint may be gone by then
    assert long_run.written_bytes(after, known) == 30


def test_resident_memory_is_what_was_written_to() -> None:
    before, held = long_run.resident_bytes(), np.ones(200_000_000, np.uint8)
    grown = long_run.resident_bytes()
    assert 190e6 < grown - before < 250e6
    del held
    assert long_run.resident_bytes("VmHWM") > grown - 1e7


def test_the_report_of_a_small_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    games = ["toy_catch", "toy_avoid", "toy_mirror"]
    sizes = ["--games", ",".join(games), "--tasks", "3", "--transitions", "8192", "--recorded", "800"]
    more = ["--network", "small", "--minibatches", "10", "--checkpoints", "2", "--directory", str(tmp_path)]
    assert long_run.main([*sizes, *more, "--json"]) == 0
    said = capsys.readouterr().out.splitlines()
    report = json.loads(said[-1])
    assert said[1].split()[:2] == ["toy_catch", "8,192"] and said[2].split()[0] == "toy_avoid"
    assert report["transitions"] == 3 * 8192 and list(report["per_game"]) == games
    held = [each["bytes_per_transition"] for each in report["per_game"].values()]
    assert report["bytes_per_transition"] == pytest.approx(np.mean(held)) and 20 < min(held) < max(held) < 7056
    assert report["replay_gib"] * 2**30 == pytest.approx(8192 * sum(held))
    assert 0 < report["resident_at_end_gib"] < report["peak_gib"] + 0.01
    # Networks, optimizer, three anchors and rings; two checkpoints later without one of both, which were not touched.
    weights = report["anchors_gib"] * 2**30 / 6
    assert report["first_checkpoint_bytes"] > 10 * weights + 8192 * sum(held) - 1e5
    linked = 2 * weights + 0.4 * 8192 * held[2]  # the ring's columns are not
    assert 8 * weights < report["checkpoint_bytes"] < report["first_checkpoint_bytes"] - linked
    stopped, written = report["checkpoints_s"], report["checkpoints_written_s"]
    assert len(stopped) == 2 and max(stopped) == report["checkpoint_s"]
    assert all(0 < a <= b for a, b in zip(stopped, written, strict=True))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--games", "brekout"], "breakout"),
        (["--tasks", "11"], "--tasks 11"),
        (["--tasks", "0"], "--tasks"),
        (["--transitions", "0"], "--transitions"),
        (["--transitions", "1000000000"], "GiB of memory"),
        (["--network", "huge"], "huge"),
        (["--directory", "/dev/null/x"], "/dev/null/x"),
    ],
)
def test_bad_input_is_one_line(arguments: list[str], named: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        code: object = long_run.main(arguments)
    except SystemExit as ended:
        code = ended.code
    said = capsys.readouterr().err
    assert code == 2 and said.count("\n") == 1 and named in said
