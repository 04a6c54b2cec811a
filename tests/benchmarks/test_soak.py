"""A soak keeps every sample, goes on with what there is, and its table tells growth from restarts."""

import os
from dataclasses import asdict
from pathlib import Path

import pytest

from benchmarks import soak
from benchmarks.soak_table import slope, slope_within, table
from configs.checks import check
from tracking.run_directory import BAD_INPUT, RunDirectory
from training.resources import plan


def _sample(minutes: float, launch: int, **values: float) -> soak.Sample:
    rest = dict.fromkeys(soak.Sample.__dataclass_fields__, 0)
    return soak.Sample(**{**rest, "minutes": minutes, "launch": launch, **values})  # type: ignore[arg-type]


def test_the_run_plays_all_57_games_with_anchors_and_inferred_tasks() -> None:
    check(soak.CONFIG)
    assert len(soak.CONFIG.stream.games) == 57
    assert soak.CONFIG.task_source == "inferred" and soak.CONFIG.consolidation.kind == "ewc"
    assert soak.CONFIG.consolidation.start_frames < soak.CONFIG.stream.visit_frames
    assert plan(soak.CONFIG, measure=False).memory_bytes < 4 * 2**30


def test_samples_are_kept_one_by_one_and_a_line_that_was_cut_short_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "samples.csv"
    first, second = _sample(1.0, 1, frames=10), _sample(2.5, 2, frames=30)
    soak.append(path, asdict(first))
    with path.open("a") as file:
        file.write("1.5,1,2")
    soak.append(path, asdict(second))
    assert soak.read_samples(path) == [first, second]
    again = soak.Soak(RunDirectory(tmp_path / "run"), tmp_path)
    assert (again.minutes, again.launch) == (2.5, 2)


def test_a_leak_shows_within_launches_though_every_restart_hides_it() -> None:
    leaking = [
        {"minutes": 20.0 * launch + minute, "launch": launch, "resident_mib": 500.0 + 2.0 * minute}
        for launch in range(6)
        for minute in range(20)
    ]
    assert abs(slope(leaking, "resident_mib")) < 5.0
    assert slope_within(leaking, "resident_mib") == pytest.approx(120.0)


def test_the_table_has_a_row_per_half_hour_and_the_slopes_of_the_second_half() -> None:
    samples = [asdict(_sample(float(m), 1, files=min(m, 60), frames_per_s=100.0)) for m in range(1, 121)]
    lines = table(samples)
    assert [line.split(" | ")[0] for line in lines[2:]] == [
        "| 0.50",
        "| 1.00",
        "| 1.50",
        "| 2.00",
        "| per hour, second half",
        "| the same within launches",
    ]
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    files, speed = cells[0].index("files"), cells[0].index("frames_per_s")
    assert [row[files] for row in cells[2:]] == ["30", "60", "60", "60", "0", "0"]
    assert {row[speed] for row in cells[2:6]} == {"100"}
    assert table([]) == ["no sample was taken"]


def test_sizes_count_a_file_with_several_links_once(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    for frames in (0, 1000):
        (run.checkpoints / f"{frames:012d}").mkdir(parents=True)
    shared = run.checkpoints / "000000000000" / "memory.pt"
    shared.write_bytes(bytes(soak.MIB))
    os.link(shared, run.checkpoints / "000000001000" / "memory.pt")
    run.snapshots.mkdir()
    (run.snapshots / "000000001000.pt").write_bytes(bytes(2 * soak.MIB))
    found = soak.sizes(run)
    assert (found["run_mib"], found["files"], found["checkpoint_mib"]) == (3.0, 2, 1.0)
    assert (found["snapshots"], found["snapshots_mib"], found["newest_snapshot_mib"]) == (1, 2.0, 2.0)


def test_this_process_is_held_to_have_memory_and_files() -> None:
    before = soak.held(os.getpid())
    with open(os.devnull) as _, open(os.devnull) as __:
        assert soak.held(os.getpid())["open_files"] == before["open_files"] + 2
    assert before["resident_mib"] > 50


@pytest.mark.parametrize("option", ["--hours=0", "--every=-1", "--restarts=-1", "--hours=nan"])
def test_what_cannot_be_watched_is_one_sentence(
    option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert soak.main([option, "--run_dir", str(tmp_path / "run"), "--results", str(tmp_path / "results")]) == BAD_INPUT
    assert capsys.readouterr().err.startswith("soak: --hours and --every must be above 0")
    assert not (tmp_path / "results").exists()
