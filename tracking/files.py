"""Files that are either wholly there or not at all, and trees of tensors inside them.

A *tree* is nested dicts, lists and tuples whose leaves are tensors, numbers, strings, bytes and None: what
`torch.load(weights_only=True)` reads, so that loading a file never executes anything.
"""

import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import torch

Tree = Any
_LEAVES = (bool, int, float, str, bytes, type(None))


class HashedFile:
    """A new file that is hashed while it is written, and fsynced when closed.

    Leaving the context raises the first OSError of a write, which torch's serialiser hides behind its own.
    """

    def __init__(self, path: Path) -> None:
        self._file: IO[bytes] = open(path, "wb")  # noqa: SIM115 (open until exit)
        self._hash = hashlib.sha256()
        self.size = 0
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        """Append data; returns its length."""
        try:
            self._file.write(data)
        except OSError as error:
            self.error = self.error or error
            raise
        self._hash.update(data)
        self.size += len(data)
        return len(data)

    def flush(self) -> None:
        """Hand everything to the operating system."""
        self._file.flush()

    @property
    def sha256(self) -> str:
        """Hex digest of everything written so far."""
        return self._hash.hexdigest()

    def __enter__(self) -> "HashedFile":
        return self

    def __exit__(self, kind: type[BaseException] | None, _: object, __: TracebackType | None) -> None:
        try:
            if kind is None:
                self._file.flush()
                os.fsync(self._file.fileno())
        finally:
            try:
                self._file.close()
            except OSError as error:  # what the failed write left in the buffer still does not fit
                self.error = self.error or error
        if self.error is not None:
            raise self.error


def existing_part(path: Path) -> Path:
    """The longest part of the path that is there."""
    existing = path.absolute()
    while not existing.exists():
        existing = existing.parent
    return existing


def write_tree(path: Path, tree: Tree) -> tuple[int, str]:
    """Store `tree` in the new file `path`, fsynced; returns its size in bytes and its sha256.

    A view is stored without the rest of its storage, and everything as host memory. Raises TypeError naming
    the place of a leaf that could not be loaded again, and OSError as the file system gave it.
    """
    tree = _storable(tree, path.name)
    with HashedFile(path) as file:
        torch.save(tree, file)  # type: ignore[arg-type]
    return file.size, file.sha256


def read_tree(path: Path) -> Tree:
    """The tree in `path`, in host memory; bulk data is mapped, hence read from the disk when it is copied."""
    return torch.load(path, map_location="cpu", weights_only=True, mmap=True)


def tree_bytes(tree: Tree) -> int:
    """About how many bytes the tensors, strings and bytes of a tree take."""
    if isinstance(tree, torch.Tensor):
        return tree.numel() * tree.element_size()
    if isinstance(tree, (bytes, str)):
        return len(tree)
    if isinstance(tree, Mapping):
        return sum(tree_bytes(branch) for branch in tree.values())
    if isinstance(tree, (list, tuple)):
        return sum(tree_bytes(branch) for branch in tree)
    return 8


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` make the file under a temporary name beside `path`, then rename it; durable on return."""
    temporary = path.with_name(f".tmp-{path.name}")
    try:
        write(temporary)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    fsync_directory(path.parent)


def write_text(path: Path, text: str) -> None:
    """Replace the file by `text` (UTF-8), atomically and durably."""

    def write(temporary: Path) -> None:
        with HashedFile(temporary) as file:
            file.write(text.encode())

    write_atomically(path, write)


def fsync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _storable(tree: Tree, where: str) -> Tree:
    """The same tree in plain containers and compact host tensors; TypeError for a leaf that cannot be
    loaded."""
    if isinstance(tree, torch.Tensor):
        tensor = tree.detach().cpu()
        compact = tensor.untyped_storage().nbytes() <= tensor.numel() * tensor.element_size()
        return tensor if compact else tensor.clone()
    if type(tree) in _LEAVES:
        return tree
    if isinstance(tree, Mapping):
        return {_key(key, where): _storable(branch, f"{where}/{key}") for key, branch in tree.items()}
    if type(tree) is list:
        return [_storable(branch, f"{where}/{i}") for i, branch in enumerate(tree)]
    if type(tree) is tuple:
        return tuple(_storable(branch, f"{where}/{i}") for i, branch in enumerate(tree))
    raise TypeError(
        f"{where}: a {type(tree).__module__}.{type(tree).__qualname__} cannot be part of a state; "
        "use tensors, numbers, strings, bytes or None"
    )


def _key(key: object, where: str) -> object:
    if type(key) not in _LEAVES:
        raise TypeError(f"{where}: the key {key!r} must be a plain number or string")
    return key
