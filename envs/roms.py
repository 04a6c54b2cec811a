"""Where the ROMs are.

ale-py has carried its ROMs in its wheel since 0.9.0. Two other places serve an installation without them: the
folder into which AutoROM installs, and one that the user names. Nothing is downloaded here.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from ale_py import ALEInterface


def find_rom(game: str, rom_dir: str | Path | None = None) -> Path:
    """The ROM file of a snake_case game: from ale-py's wheel, else AutoROM's folder, else `rom_dir`.

    Only a file that ALE recognises (by its MD5 sum) as this very game counts, since ALE would end the process
    on any other. ValueError if there is none, saying where it was looked for and how to get it.
    """
    folders = rom_folders(rom_dir)
    for folder in folders:
        path = folder / f"{game}.bin"
        if path.is_file() and ALEInterface.isSupportedROM(path) == game:
            return path
    searched = ", ".join(str(folder) for folder in folders) or "no folder at all"
    raise ValueError(
        f"no ROM that ALE recognises as {game!r} in {searched}; reinstall ale-py, whose wheel carries the "
        f"ROMs, or run AutoROM --accept-license, or set rom_dir to a folder that holds {game}.bin."
    )


def rom_folders(rom_dir: str | Path | None = None) -> list[Path]:
    """The existing folders to look in, best first. ValueError if `rom_dir` is given but is not a folder."""
    if rom_dir is not None and not Path(rom_dir).is_dir():
        raise ValueError(f"rom_dir {str(rom_dir)!r} is not a folder; name one that holds ROMs as <game>.bin.")
    named = None if rom_dir is None else Path(rom_dir)
    folders = (_package_folder("ale_py"), _package_folder("AutoROM"), named)
    return [folder for folder in folders if folder is not None]


def _package_folder(package: str) -> Path | None:
    """`roms` inside an installed package, or None; the package is found, not imported."""
    spec = find_spec(package)
    for location in (spec.submodule_search_locations or []) if spec else []:
        if (folder := Path(location) / "roms").is_dir():
            return folder
    return None
