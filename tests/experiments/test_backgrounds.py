"""The picture of what is left of games without their backgrounds."""

import numpy as np
import pytest
from PIL import Image

from experiments.backgrounds import main


def test_the_ball_is_left_and_the_rest_is_grey(tmp_path, capsys):
    out = tmp_path / "new" / "picture.png"
    assert main(["--games", "toy_catch", "--out", str(out)]) == 0
    assert str(out) in capsys.readouterr().out
    frame, background, left = np.split(np.asarray(Image.open(out))[::2, ::2].astype(int), 3, axis=1)
    assert frame.shape == (84, 84)
    assert (left - 128 == frame // 2 - background // 2).all()
    nothing = left == 128
    assert nothing.mean() > 0.9 and not nothing.all()


def test_a_game_that_there_is_not_is_one_line(tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--games", "xyzzy", "--out", str(tmp_path / "a.png")])
    assert stopped.value.code == 2 and "xyzzy" in capsys.readouterr().err
