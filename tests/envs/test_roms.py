import shutil

import numpy as np
import pytest

from envs import roms
from envs.atari import AtariBatch, AtariSettings
from envs.games import all_games
from envs.roms import find_rom, rom_folders


def test_every_atari_game_has_a_rom():
    for each in all_games().values():
        if not each.is_toy:
            assert find_rom(each.name).name == f"{each.name}.bin"


def test_the_wheel_comes_before_autorom_and_the_named_folder(tmp_path):
    folders = rom_folders(tmp_path)
    assert folders[0].parent.name == "ale_py" and folders[-1] == tmp_path


def test_a_named_folder_serves_where_the_packages_have_none(tmp_path, monkeypatch):
    shutil.copy(find_rom("pong"), tmp_path)
    shutil.copy(find_rom("breakout"), tmp_path / "boxing.bin")
    monkeypatch.setattr(roms, "_package_folder", lambda package: None)
    assert find_rom("pong", tmp_path) == tmp_path / "pong.bin"
    batch = AtariBatch("pong", 1, 0, AtariSettings(), rom_dir=tmp_path)
    assert batch.reset().observation.any()
    assert not batch.step(np.array([0])).first[0]
    batch.close()
    with pytest.raises(ValueError, match="recognises as 'boxing'"):  # there, but another game
        find_rom("boxing", tmp_path)
    with pytest.raises(ValueError, match="AutoROM --accept-license"):
        find_rom("alien", tmp_path)
    with pytest.raises(ValueError, match="no folder at all"):
        find_rom("pong")


def test_a_folder_that_is_none_is_refused(tmp_path):
    with pytest.raises(ValueError, match="is not a folder"):
        find_rom("pong", tmp_path / "missing")
