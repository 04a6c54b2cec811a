"""Says whether two runs computed the same, bit for bit: the check behind the claim that a resume is exact.

    python -m tracking.compare RUN_A RUN_B

Compares, by hash, every part of the newest checkpoints (parameters, optimizer, replay, generators, counters), the
logged numbers but clock readings (see `metrics.CLOCKS`), the evaluations and the inferred tasks. Exit code 0 if
all are equal, 1 if not.
"""

import hashlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from tracking import command
from tracking.checkpoints import Checkpoints, load_file
from tracking.manifest import CheckpointError, DamageError, verify
from tracking.metrics import CLOCKS
from tracking.run_directory import BAD_INPUT, RunDirectory

_FILE_SIZES = ("writers", "scores")  # parts that hold the lengths of files with clock readings in them


def tree_hash(tree: object) -> str:
    """A hash of a nested state: of its keys in order, its numbers and strings, and its tensors' types and bytes."""
    digest = hashlib.sha256()
    _feed(digest, tree)
    return digest.hexdigest()


def run_hashes(run: RunDirectory) -> dict[str, str]:
    """A hash for each thing that a run computed; `CheckpointError` names what it lacks or what is damaged."""
    checkpoints = Checkpoints(run.checkpoints).available()
    if not checkpoints:
        raise CheckpointError(f"there is no checkpoint in {run.path}")
    directory = run.checkpoints / f"{checkpoints[-1]:012d}"
    try:
        files = verify(directory)["files"]
    except DamageError as damage:
        raise CheckpointError(f"the checkpoint {directory} is damaged ({damage})") from None
    hashes = {"frames": str(checkpoints[-1])}
    for name in sorted(files):
        if name.split(".")[0] not in _FILE_SIZES:
            hashes[f"checkpoint/{name.removesuffix('.pt')}"] = tree_hash(load_file(directory / name))
    hashes["metrics"] = tree_hash(_numbers(run.metrics))
    for file in (run.evaluations, run.task_changes, run.confusion):
        if file.is_file():
            hashes[file.stem] = hashlib.sha256(file.read_bytes()).hexdigest()
    return hashes


def _numbers(metrics: Path) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl without clock readings."""
    if not metrics.is_file():
        raise CheckpointError(f"there is no file {metrics}")
    try:
        lines = [json.loads(line) for line in metrics.read_text().splitlines()]
        return [{k: v for k, v in line.items() if not k.startswith(CLOCKS) and k != "config"} for line in lines]
    except (ValueError, AttributeError, RecursionError):
        raise CheckpointError(f"{metrics} is damaged, or was not written by a run") from None


def _feed(digest: Any, tree: object) -> None:
    if isinstance(tree, torch.Tensor):
        digest.update(f"{tree.dtype}{tuple(tree.shape)}".encode())
        digest.update(tree.contiguous().flatten().view(torch.uint8).numpy().tobytes())
    elif isinstance(tree, Mapping):
        for key, value in tree.items():
            digest.update(repr(key).encode())
            _feed(digest, value)
    elif isinstance(tree, (list, tuple)):
        digest.update(f"[{len(tree)}]".encode())
        for value in tree:
            _feed(digest, value)
    else:
        digest.update(repr(tree).encode())


def main() -> int:
    """The command line; returns the exit code."""
    parser = command.Parser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("run_a", type=Path, metavar="RUN_A", help="a run directory")
    parser.add_argument("run_b", type=Path, metavar="RUN_B", help="another")
    options = parser.parse_args()
    try:
        one, other = (run_hashes(RunDirectory(path)) for path in (options.run_a, options.run_b))
    except CheckpointError as error:
        print(f"compare: {error}", file=sys.stderr)
        return BAD_INPUT
    different = [name for name in sorted({*one, *other}) if one.get(name) != other.get(name)]
    for name in sorted({*one, *other}):
        verdict = "DIFFERENT" if name in different else "equal"
        print(f"{verdict:9}  {name}  {one.get(name, '-')[:16]}  {other.get(name, '-')[:16]}")
    print(f"{len(different)} of {len({*one, *other})} differ" if different else "the runs are equal bit for bit")
    return 1 if different else 0


if __name__ == "__main__":
    command.run(main)
