"""Trees of tensors in files.

A *tree* is nested dicts, lists and tuples whose leaves are tensors, numbers, strings, bytes and None: what
`torch.load(weights_only=True)` reads, so that loading a file never executes anything.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from tracking.files import HashedFile

Tree = Any
_LEAVES = (bool, int, float, str, bytes, type(None))


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
