"""Which checkpoints there are, and the last file written into each: what the others must look like."""

import errno
import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tracking.files import write_text

FORMAT = 2
_COMPLETE = re.compile(r"\d{12}")
Files = dict[str, dict[str, Any]]  # file name -> {"size": bytes, "sha256": hex digest}


class CheckpointError(Exception):
    """What is wrong, in a sentence for the user."""


class DamageError(Exception):
    """Names the file that is not what the manifest says."""


def available(directory: Path) -> list[int]:
    """The frames of all checkpoints in a directory of them, intact or not, oldest first."""
    if not directory.is_dir():
        return []
    return sorted(int(path.name) for path in directory.iterdir() if _COMPLETE.fullmatch(path.name))


def write_manifest(directory: Path, frames: int, meta: Mapping[str, Any], files: Files) -> None:
    """Write manifest.json, durable: format, frames, meta (JSON), files, and a digest of these."""
    content = {"format": FORMAT, "frames": frames, "meta": meta, "files": files}
    content = json.loads(json.dumps(content))  # as it will be read: keys are strings
    write_text(directory / "manifest.json", json.dumps({**content, "digest": _digest(content)}, indent=1) + "\n")


def read_manifest(directory: Path) -> dict[str, Any]:
    """What was written, without the digest; DamageError if it is not, CheckpointError for another format."""
    try:
        content = json.loads((directory / "manifest.json").read_text())
        digest = content.pop("digest")
    except FileNotFoundError:
        raise DamageError("manifest.json is missing") from None
    except (ValueError, KeyError, AttributeError, TypeError):
        raise DamageError("manifest.json is altered") from None
    if digest != _digest(content):
        raise DamageError("manifest.json is altered")
    if content["format"] != FORMAT:
        raise CheckpointError(f"{directory} has format {content['format']}; this program reads format {FORMAT}")
    return content


def verify(directory: Path) -> dict[str, Any]:
    """The manifest, after every file has been found to agree with it; DamageError otherwise."""
    manifest = read_manifest(directory)
    if f"{manifest['frames']:012d}" != directory.name:
        raise DamageError("manifest.json belongs to another checkpoint")
    for name, entry in manifest["files"].items():
        try:
            size = (directory / name).stat().st_size
            if size != entry["size"]:
                raise DamageError(f"{name} has {size} bytes instead of {entry['size']}")
        except FileNotFoundError:
            raise DamageError(f"{name} is missing") from None
    for name, entry in manifest["files"].items():
        try:
            with open(directory / name, "rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            raise DamageError(f"{name} cannot be read") from None
        if digest != entry["sha256"]:
            raise DamageError(f"{name} is altered")
    return manifest


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
