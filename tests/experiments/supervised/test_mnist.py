"""MNIST's files, their checks, and the permutations."""

import gzip
import hashlib
import struct

import numpy as np
import pytest

from experiments.supervised import mnist
from experiments.supervised.mnist import (
    PIXELS,
    SAMPLE,
    SIDE,
    DataError,
    load,
    parse_idx,
    patch_permutation,
    permutation,
)


def idx(array):
    return b"\0\0\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


@pytest.fixture
def files(monkeypatch):
    """Four small IDX files by name, whose checksums are the expected ones."""
    rng = np.random.default_rng(0)
    contents = {}
    for name in mnist.FILES:
        count = 5 if name.startswith("train") else 3
        shape = (count, SIDE, SIDE) if "images" in name else (count,)
        contents[name] = idx(rng.integers(10, size=shape, dtype=np.uint8))
        monkeypatch.setitem(mnist.FILES, name, hashlib.md5(contents[name]).hexdigest())
    return contents


def put(folder, files, packed=True):
    folder.mkdir()
    for name, content in files.items():
        if packed:
            (folder / f"{name}.gz").write_bytes(gzip.compress(content))
        else:
            (folder / name).write_bytes(content)
    return folder


def complaint(*arguments, **options):
    with pytest.raises(DataError) as raised:
        load(*arguments, **options)
    text = str(raised.value)
    assert text.endswith(".") and "\n" not in text
    return text


def test_an_idx_file_is_its_header_and_its_bytes():
    data = bytes([0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 3, 4, 5, 255])
    assert parse_idx(data).tolist() == [[1, 2, 3], [4, 5, 255]]
    assert parse_idx(bytes([0, 0, 8, 1, 0, 0, 0, 0])).shape == (0,)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0\0\x08",
        bytes([0, 0, 13, 1, 0, 0, 0, 1, 7]),  # floats
        bytes([1, 0, 8, 1, 0, 0, 0, 1, 7]),
        bytes([0, 0, 8, 2, 0, 0, 0, 1]),  # ends within the header
        bytes([0, 0, 8, 1, 0, 0, 0, 2, 7]),  # a value too few
        bytes([0, 0, 8, 1, 0, 0, 0, 1, 7, 7]),  # and too many
        bytes([0, 0, 8, 4, *[255] * 16, 7]),
    ],
)
def test_what_is_no_idx_file_is_refused(data):
    with pytest.raises(DataError, match="IDX"):
        parse_idx(data)


@pytest.mark.parametrize("packed", [True, False])
def test_a_folder_of_packed_or_plain_files(files, tmp_path, packed):
    found = load(put(tmp_path / "data", files, packed))
    assert found.train.images.shape == (5, SIDE, SIDE) and found.test.labels.shape == (3,)
    assert found.test.images.tobytes() == files["t10k-images-idx3-ubyte"][-3 * PIXELS :]


def test_damage_is_told_in_a_sentence(files, tmp_path):
    folder = put(tmp_path / "data", files)
    path = folder / "t10k-labels-idx1-ubyte.gz"
    whole = path.read_bytes()
    other = bytearray(files["t10k-labels-idx1-ubyte"])
    other[-1] ^= 1
    for damaged in (gzip.compress(bytes(other)), whole[:-9], whole[:12] + b"??" + whole[14:], b"", b"<html>"):
        path.write_bytes(damaged)
        assert str(path) in complaint(folder)
    path.unlink()
    assert "lacks" in complaint(folder) and "t10k-labels" in complaint(folder)
    assert "neither" in complaint(tmp_path / "nowhere")


def test_a_mirror_fills_the_cache_once(files, tmp_path):
    mirror, cache = put(tmp_path / "mirror", files), tmp_path / "cache"
    away, here = (tmp_path / "gone").as_uri() + "/", mirror.as_uri() + "/"
    fetched = load(None, cache, [away, here])
    assert fetched.train.labels.tobytes() == files["train-labels-idx1-ubyte"][-5:]
    assert sorted(path.name for path in cache.iterdir()) == sorted(f"{name}.gz" for name in files)
    again = load(None, cache, [])
    assert np.array_equal(again.train.images, fetched.train.images)
    damaged = cache / "train-labels-idx1-ubyte.gz"
    damaged.write_bytes(b"cut off")
    load(None, cache, [here])
    assert damaged.read_bytes() == (mirror / damaged.name).read_bytes()


def test_a_mirror_is_not_trusted_and_its_absence_is_one_sentence(files, tmp_path):
    mirror = put(tmp_path / "mirror", files)
    (mirror / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(b"something else"))
    mirrors = [mirror.as_uri() + "/", (tmp_path / "gone").as_uri() + "/"]
    told = complaint(None, tmp_path / "cache", mirrors)
    assert "MD5" in told and "--data" in told and all(each in told for each in mirrors)
    assert not (tmp_path / "cache").exists()


def test_the_sample_is_small_and_holds_every_digit():
    sample = load(SAMPLE)
    assert SAMPLE.stat().st_size < 150_000
    for digits in (sample.train, sample.test):
        assert digits.images.shape == (len(digits.labels), SIDE, SIDE) and digits.images.dtype == np.uint8
        assert set(digits.labels) == set(range(10))


def test_an_npz_file_of_something_else_is_refused(tmp_path):
    np.savez(tmp_path / "other.npz", x_train=np.zeros(3))
    (tmp_path / "broken.npz").write_bytes(b"PK no archive")
    (tmp_path / "torn.npz").write_bytes((tmp_path / "other.npz").read_bytes()[:-60])
    for name in ("other.npz", "broken.npz", "torn.npz"):
        assert name in complaint(tmp_path / name)


def test_holding_out_leaves_the_test_digits_unseen():
    sample = load(SAMPLE)
    split = sample.held_out(50)
    assert np.array_equal(np.concatenate([split.train.images, split.test.images]), sample.train.images)
    assert np.array_equal(split.test.labels, sample.train.labels[-50:])
    with pytest.raises(ValueError, match="held out"):
        sample.held_out(len(sample.train.labels))


def test_a_quick_trial_takes_the_first_digits():
    sample = load(SAMPLE)
    few = sample.first(100)
    assert np.array_equal(few.train.images, sample.train.images[:100]) and len(few.train.labels) == 100
    assert np.array_equal(few.test.labels, sample.test.labels[:25]) and len(few.test.images) == 25
    with pytest.raises(ValueError, match="401"):
        sample.first(401)


def test_permutations_are_permutations():
    first, second = (permutation(np.random.default_rng(seed)) for seed in (0, 1))
    assert sorted(first) == sorted(second) == list(range(PIXELS))
    assert np.mean(first == np.arange(PIXELS)) < 0.02 and not np.array_equal(first, second)
    assert np.array_equal(first, permutation(np.random.default_rng(0)))


@pytest.mark.parametrize("side", [0, 8, 26, 28])
def test_patches_permute_the_centre_only(side):
    places = patch_permutation(side, np.random.default_rng(0))
    assert sorted(places) == list(range(PIXELS))
    moved = (places != np.arange(PIXELS)).reshape(SIDE, SIDE)
    edge = (SIDE - side) // 2
    centre = np.zeros((SIDE, SIDE), bool)
    centre[edge : SIDE - edge, edge : SIDE - edge] = True
    assert not moved[~centre].any()
    assert moved[centre].mean() > 0.9 if side else not moved.any()


@pytest.mark.parametrize("side", [-2, 7, 30])
def test_a_patch_has_a_centre_and_fits(side):
    with pytest.raises(ValueError, match="patch"):
        patch_permutation(side, np.random.default_rng(0))
