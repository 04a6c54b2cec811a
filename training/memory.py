"""How much memory a new process could take now: what the machine has, and what containers and limits leave of it."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

_V1_NONE = 1 << 60  # cgroup v1 writes its largest number of whole pages where there is no limit


def available_memory(
    root: Path = Path("/"), address_space: Callable[[], int] = lambda: resource.getrlimit(resource.RLIMIT_AS)[0]
) -> int:
    """Bytes: the least of what is available in the machine below `root`, what the limits of this process's cgroup and
    of those around it leave (containers, SLURM), and what `address_space` (ulimit -v; -1: no limit) leaves."""
    return max(0, min([_of_machine(root), *_left_by_cgroups(root), *_left_by_limit(root, address_space())]))


def _of_machine(root: Path) -> int:
    try:
        fields = dict(line.split(":", 1) for line in (root / "proc/meminfo").read_text().splitlines())
        return int(fields["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _left_by_cgroups(root: Path) -> Iterator[int]:
    """Of every cgroup with a limit, what is neither used nor can be reclaimed from the cache of files."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        number, controllers, path = line.split(":", 2)
        mounts: tuple[str, ...]
        if number == "0" and not controllers:
            mounts, names = (
                ("sys/fs/cgroup", "sys/fs/cgroup/unified"),
                ("memory.max", "memory.current", "inactive_file"),
            )
        elif "memory" in controllers.split(","):
            mounts = ("sys/fs/cgroup/memory",)
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        own = PurePosixPath("/", *(part for part in PurePosixPath(path).parts if part not in ("/", "..")))
        for mount in mounts:
            for group in (own, *own.parents):
                yield from _left_by_cgroup(root / mount / group.relative_to("/"), *names)


def _left_by_cgroup(group: Path, limit: str, used: str, cache: str) -> Iterator[int]:
    with suppress(OSError, ValueError):  # "max", or no such cgroup where a container sees its own as the root
        most = int((group / limit).read_text())
        if most < _V1_NONE:
            fields = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
            yield most - int((group / used).read_text()) + int(fields.get(cache, 0))


def _left_by_limit(root: Path, limit: int) -> Iterator[int]:
    if limit != resource.RLIM_INFINITY:
        with suppress(OSError, ValueError):
            pages = int((root / "proc/self/statm").read_text().split()[0])
            yield limit - pages * os.sysconf("SC_PAGE_SIZE")
