"""What is available where containers, batch systems and limits leave less than the machine has."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import training.resources
from configs.checks import ConfigError
from training.memory import available_memory
from training.resources import Plan, refuse_if_too_large

MIB = 2**20
NO_LIMIT = 0x7FFFFFFFFFFFF000  # as cgroup v1 writes it


def machine(root: Path, files: dict[str, object], available_mib: int = 16_000) -> Path:
    """A made-up tree of /proc and /sys."""
    files = {"proc/meminfo": f"MemTotal: 1 kB\nMemAvailable: {available_mib * 1024} kB", **files}
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"{content}\n")
    return root


def group(folder: str, limit_mib: object, used_mib: int, cache_mib: int = 0, version: int = 2) -> dict[str, object]:
    """A cgroup's files."""
    most = limit_mib * MIB if isinstance(limit_mib, int) and limit_mib < 10**9 else limit_mib
    limit, used, cache = {
        1: ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        2: ("memory.max", "memory.current", "inactive_file"),
    }[version]
    stat = f"anon 5\n{cache} {cache_mib * MIB}"
    return {f"{folder}/{limit}": most, f"{folder}/{used}": used_mib * MIB, f"{folder}/memory.stat": stat}


V2, V1 = "sys/fs/cgroup", "sys/fs/cgroup/memory"
CASES: dict[str, tuple[dict[str, object], int]] = {
    "no cgroups": ({}, 16_000),
    "v2": ({"proc/self/cgroup": "0::/a/b", **group(f"{V2}/a/b", 700, 100)}, 600),
    "v2, the cache can be reclaimed": ({"proc/self/cgroup": "0::/a", **group(f"{V2}/a", 700, 300, 200)}, 600),
    "v2, the limit is a parent's": (
        {"proc/self/cgroup": "0::/job/step", **group(f"{V2}/job", 700, 50), **group(f"{V2}/job/step", "max", 50)},
        650,
    ),
    "v2, both": (
        {"proc/self/cgroup": "0::/job/step", **group(f"{V2}/job", 700, 50), **group(f"{V2}/job/step", 300, 50)},
        250,
    ),
    "v2, in a container of its own": ({"proc/self/cgroup": "0::/", **group(V2, 700, 100)}, 600),
    "v2, a container that sees paths outside": ({"proc/self/cgroup": "0::/../../x", **group(V2, 700, 100)}, 600),
    "v2, more than the machine has": ({"proc/self/cgroup": "0::/a", **group(f"{V2}/a", 64_000, 100)}, 16_000),
    "v2, used up": ({"proc/self/cgroup": "0::/a", **group(f"{V2}/a", 700, 900)}, 0),
    "v1": ({"proc/self/cgroup": "5:cpu:/\n4:memory:/a\n0::/", **group(f"{V1}/a", 700, 100, version=1)}, 600),
    "v1 beside others": (
        {"proc/self/cgroup": "4:hugetlb,memory:/a", **group(f"{V1}/a", 700, 100, 50, version=1)},
        650,
    ),
    "v1, docker's path is not below its mount": (
        {"proc/self/cgroup": "4:memory:/docker/123", **group(V1, 700, 100, version=1)},
        600,
    ),
    "v1 without a limit": ({"proc/self/cgroup": "4:memory:/", **group(V1, NO_LIMIT, 100, version=1)}, 16_000),
    "another controller's": ({"proc/self/cgroup": "4:cpu:/a", **group(f"{V1}/a", 700, 100, version=1)}, 16_000),
}


@pytest.mark.parametrize("case", CASES)
def test_the_limit_of_the_own_cgroup_and_of_those_around_it_counts(case: str, tmp_path: Path) -> None:
    files, expected_mib = CASES[case]
    assert available_memory(machine(tmp_path, files), lambda: -1) == expected_mib * MIB


def test_a_limit_of_the_address_space_counts_without_what_is_taken(tmp_path: Path) -> None:
    pages = 300 * MIB // os.sysconf("SC_PAGE_SIZE")
    root = machine(tmp_path, {"proc/self/statm": f"{pages} 1 1 1 0 1 0"})
    assert available_memory(root, lambda: 1000 * MIB) == 700 * MIB
    assert available_memory(root, lambda: 200 * MIB) == 0
    assert available_memory(root, lambda: -1) == 16_000 * MIB


def test_this_machine_has_some() -> None:
    assert 50 * MIB < available_memory() < 2**50


def test_a_run_that_fits_the_machine_and_not_its_container_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs = Plan(memory_bytes=2000 * MIB, replay_bytes=1, disk_bytes=1, seconds=None, rates=None)
    root = machine(tmp_path, {"proc/self/cgroup": "0::/a"})
    monkeypatch.setattr(training.resources, "available_memory", lambda: available_memory(root, lambda: -1))
    refuse_if_too_large(needs, tmp_path)
    machine(tmp_path, group(f"{V2}/a", 700, 0))
    with pytest.raises(ConfigError, match=r"2\.0 GiB of memory and 0\.7 GiB are available"):
        refuse_if_too_large(needs, tmp_path)
