"""Trees of tensors in files.

A *tree* is nested dicts, lists and tuples whose leaves are tensors, numbers, strings, bytes and None: what
`torch.load(weights_only=True)` reads, so that loading a file never executes anything.

    plain   what torch.save writes, a zip file that holds a CRC-32 of everything in it; read lazily
    packed  the same within one lz4 frame, whose checksum covers every byte; a table of counts takes a thirtieth
"""

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lz4.frame
import torch

from tracking.files import HashedFile

Tree = Any
_FRAME_MAGIC = b"\x04\x22\x4d\x18"
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


def write_packed(path: Path, tree: Tree) -> None:
    """Store `tree` in the new file `path` as `write_tree` does, packed."""
    tree = _storable(tree, path.name)
    with HashedFile(path) as file:
        frame = _Frame(file)
        torch.save(tree, frame)  # type: ignore[arg-type]
        frame.end()


def read_tree(path: Path) -> Tree:
    """The tree in `path`, plain or packed, in host memory; the bulk data of a plain one is mapped, hence read from the
    disk when it is copied, and not compared with its checksum (see `check_tree`)."""
    with open(path, "rb") as file:
        packed = file.read(len(_FRAME_MAGIC)) == _FRAME_MAGIC
    if packed:
        return torch.load(io.BytesIO(_unpacked(path)), map_location="cpu", weights_only=True)
    return torch.load(path, map_location="cpu", weights_only=True, mmap=True)


def check_tree(path: Path) -> None:
    """Raise some exception unless the content of a plain file is what its checksums say. A packed one is compared
    whenever it is read."""
    with open(path, "rb") as file:
        if file.read(len(_FRAME_MAGIC)) == _FRAME_MAGIC:
            return
    with zipfile.ZipFile(path) as archive:
        if damaged := archive.testzip():
            raise ValueError(f"{damaged} is altered")


class _Frame:
    """A file that packs what is written to it into one lz4 frame."""

    def __init__(self, file: HashedFile) -> None:
        self._file = file
        size = lz4.frame.BLOCKSIZE_MAX1MB
        self._packer = lz4.frame.LZ4FrameCompressor(block_size=size, content_checksum=True)
        file.write(self._packer.begin())

    def write(self, data: bytes) -> int:
        self._file.write(self._packer.compress(data))
        return len(data)

    def flush(self) -> None:
        """Nothing leaves before `end`, or the block is full."""

    def end(self) -> None:
        """Write what is left, and the checksum."""
        self._file.write(self._packer.flush())


def _unpacked(path: Path) -> bytes:
    """The content of one lz4 frame; RuntimeError if it is not what its checksum says, or not all of the file."""
    packed = path.read_bytes()
    content, read = lz4.frame.decompress(packed, return_bytes_read=True)
    if read != len(packed):
        raise RuntimeError("there is more in it than was written")
    return content


def not_finite(tree: Tree, where: str = "") -> str | None:
    """The place of the first tensor that holds a value that is not finite, as a/b/c; None if there is none."""
    if isinstance(tree, torch.Tensor):
        return None if bool(torch.isfinite(tree).all()) else where
    if isinstance(tree, Mapping):
        found = (not_finite(branch, f"{where}/{key}" if where else str(key)) for key, branch in tree.items())
        return next((place for place in found if place is not None), None)
    return None


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
