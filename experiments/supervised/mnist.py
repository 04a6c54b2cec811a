"""MNIST, checked, and the tasks that are made of it by moving pixels.

Real digits come from a folder that holds the four IDX files (packed or not), or from the cache, which is filled
from a public mirror. What is read must have the published checksum. A file in numpy's .npz format with the arrays
x_train, y_train, x_test, y_test is taken as it is: the tests use a few hundred digits in that form.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import struct
import urllib.request
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tracking.files import write_atomically

SIDE = 28
PIXELS = SIDE * SIDE
CLASSES = 10

# MD5 sums of the unpacked files.
FILES = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}
MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
SAMPLE = Path(__file__).parent / "mnist_sample" / "digits.npz"

_TIMEOUT = 60.0  # seconds without an answer from a mirror
_UNSIGNED_BYTES = 0x08


class DataError(ValueError):
    """No usable digits, in one sentence."""


@dataclass(frozen=True)
class Digits:
    """images uint8 [N, 28, 28], labels uint8 [N] in 0 … 9."""

    images: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class Mnist:
    """Digits to learn from and digits to be judged on."""

    train: Digits
    test: Digits

    def held_out(self, count: int) -> Mnist:
        """The last `count` training digits take the place of the test digits, so that settings can be chosen
        without looking at these."""
        train = self.train
        if not 0 < count < len(train.labels):
            raise ValueError(f"there are {len(train.labels)} training digits, so {count} of them cannot be held out")
        return Mnist(
            Digits(train.images[:-count], train.labels[:-count]), Digits(train.images[-count:], train.labels[-count:])
        )

    def first(self, count: int) -> Mnist:
        """The first `count` training digits and a quarter as many to be judged on, for quick trials."""
        if not 4 <= count <= len(self.train.labels):
            most = len(self.train.labels)
            raise ValueError(f"of {most} training digits the first 4 or more can be taken, not {count}")
        judged = count // 4
        return Mnist(
            Digits(self.train.images[:count], self.train.labels[:count]),
            Digits(self.test.images[:judged], self.test.labels[:judged]),
        )


# -- reading --------------------------------------------------------------------------------------------------


def parse_idx(data: bytes) -> np.ndarray:
    """The array of unsigned bytes in an IDX file: two zeros, the type, the number of axes, their big-endian 32-bit
    lengths, the values in C order. DataError if `data` is anything else."""
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] != _UNSIGNED_BYTES:
        raise DataError("this is not an IDX file of unsigned bytes.")
    axes = data[3]
    start = 4 + 4 * axes
    if len(data) < start:
        raise DataError("this IDX file ends within its header.")
    shape = struct.unpack(f">{axes}I", data[4:start])
    if len(data) - start != int(np.prod(shape, dtype=np.int64)):
        raise DataError(f"this IDX file promises values of shape {shape} but holds {len(data) - start} bytes.")
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


def load(data: Path | None, cache: Path | None = None, mirrors: Sequence[str] = MIRRORS) -> Mnist:
    """MNIST from `data`, a folder of IDX files or an .npz file; without it from the cache, else from a mirror.

    DataError, in one sentence, for what is missing, damaged or out of reach.
    """
    if data is None:
        return _from_cache(cache or default_cache(), mirrors)
    if data.is_file() and data.suffix == ".npz":
        return _from_npz(data)
    if not data.is_dir():
        raise DataError(f"{data} is neither a folder nor an .npz file.")
    return _mnist([_read(_find(data, name), name) for name in FILES])


def default_cache() -> Path:
    """Where downloaded files stay: under XDG_CACHE_HOME, else ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "continual-atari" / "mnist"


def _find(folder: Path, name: str) -> Path:
    """The file `name` in a folder, packed or not, also in the spelling train-images.idx3-ubyte."""
    for stem in (name, name.replace("-idx", ".idx")):
        for path in (folder / stem, folder / f"{stem}.gz"):
            if path.is_file():
                return path
    raise DataError(f"{folder} lacks MNIST's {name}[.gz]; leave --data out to have it downloaded.")


def _read(path: Path, name: str) -> np.ndarray:
    return parse_idx(_checked(path.read_bytes(), name, str(path)))


def _checked(data: bytes, name: str, source: str) -> bytes:
    """`data`, unpacked if need be; DataError unless it is MNIST's `name`."""
    if data[:2] == b"\x1f\x8b":
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"{source} is damaged: {error}.") from error
    found = hashlib.md5(data, usedforsecurity=False).hexdigest()
    if found != FILES[name]:
        raise DataError(f"{source} is not MNIST's {name} or is damaged: its MD5 sum is {found}, not {FILES[name]}.")
    return data


def _from_cache(cache: Path, mirrors: Sequence[str]) -> Mnist:
    return _mnist([_cached(cache / f"{name}.gz", name, mirrors) for name in FILES])


def _cached(path: Path, name: str, mirrors: Sequence[str]) -> np.ndarray:
    try:
        return _read(path, name)
    except (OSError, DataError):  # missing or damaged: fetch it (again)
        packed, content = _download(path, name, mirrors)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, lambda temporary: temporary.write_bytes(packed))
    return parse_idx(content)


def _download(path: Path, name: str, mirrors: Sequence[str]) -> tuple[bytes, bytes]:
    """The packed file and its checked content, from the first mirror that has it."""
    reasons = []
    for mirror in mirrors:
        try:
            with urllib.request.urlopen(f"{mirror}{name}.gz", timeout=_TIMEOUT) as answer:
                packed = answer.read()
            return packed, _checked(packed, name, f"{mirror}{name}.gz")
        except (OSError, DataError) as error:
            reasons.append(f"{mirror}: {getattr(error, 'reason', error)}".rstrip("."))
    raise DataError(
        f"MNIST's {name} is not in {path.parent} and could not be downloaded ({'; '.join(reasons)}); "
        "name a folder that holds the four files with --data."
    )


def _from_npz(path: Path) -> Mnist:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return _mnist([arrays[name] for name in ("x_train", "y_train", "x_test", "y_test")])
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path} does not hold digits as x_train, y_train, x_test and y_test: {error}.") from error


def _mnist(arrays: Sequence[np.ndarray]) -> Mnist:
    train_images, train_labels, test_images, test_labels = arrays
    return Mnist(Digits(train_images, train_labels), Digits(test_images, test_labels))


# -- tasks ----------------------------------------------------------------------------------------------------


def permutation(rng: np.random.Generator) -> np.ndarray:
    """int64 [784]: every pixel of a digit comes from another place, the same for all digits."""
    return rng.permutation(PIXELS)


def patch_permutation(side: int, rng: np.random.Generator) -> np.ndarray:
    """int64 [784]: only the pixels of the central `side` × `side` patch change places."""
    if not 0 <= side <= SIDE or side % 2:
        raise ValueError(f"a central patch has an even side of at most {SIDE}, not {side}")
    places = np.arange(PIXELS).reshape(SIDE, SIDE)
    edge = (SIDE - side) // 2
    patch = places[edge : SIDE - edge, edge : SIDE - edge]
    patch[...] = rng.permutation(patch.ravel()).reshape(patch.shape)
    return places.ravel()
