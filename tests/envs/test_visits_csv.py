"""Lists of visits as spreadsheets and people write them: read, or refused in one sentence."""

import pytest

from envs.schedule import Visit
from envs.visits_csv import load_schedule_csv

BOTH = (Visit("pong", 4000), Visit("ms_pacman", 2_000_000))


@pytest.mark.parametrize(
    "content",
    [
        "game,frames\npong,4000\nms_pacman,2000000\n",
        "\ufeffgame,frames\r\npong,4000\r\nms_pacman,2000000\r\n",  # Excel's CSV UTF-8
        "Game;Frames\npong;4000\nms_pacman;2000000",
        "game\tframes\npong\t4_000\nms_pacman\t2,000,000",
        'game,frames,\npong,"4,000",\nms_pacman,"2,000,000",\n',
        "FRAMES , GAME\n4000.0 , Pong-v5\n2000000.00 , Ms. Pacman\n\n,\n",
        "game,frames,note\npong,4000,first\nms_pacman,2000000,then\n",
        "game;frames\npong;4 000\nms_pacman;2\u202f000\u202f000\n",
        '"game","frames"\n"pong","4000"\n"ms_pacman","2\'000\'000"\n',
    ],
)
def test_what_people_write_is_read(content, tmp_path):
    path = tmp_path / "visits.csv"
    path.write_text(content, encoding="utf-8")
    assert load_schedule_csv(path).visits == BOTH


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"game,frames\npong,4000\npnog,5\n", ", line 3: 'pnog' is not one of .* did you mean pong"),
        (b"game,frames\npong,many\n", ", line 2: frames must be a whole number such as 4000000, is 'many'"),
        (b"game,frames\npong,4.000\n", ", line 2: frames must be a whole number such as 4000000, is '4.000'"),
        (b"game;frames\npong;4,5\n", ", line 2: frames must be a whole number .* is '4,5'"),
        (b"game,frames\npong,-4\n", ", line 2: frames must be a whole number"),
        (b"game,frames\npong,0\n", ", line 2: a visit must last at least 1"),
        (b"game,frames\npong,4,000\n", ", line 2: 3 cells where the first line has 2; .* such as krull,4000000"),
        (b"game,frames\npong\n", ", line 2: 1 cells where"),
        (b"game,frames\n" + b"pong,4000\n" * 3 + b"pong,9" * 30_000 + b"\n", ", line 5: "),
        (b"game,frames\n" + b"p" * 140_000 + b",4\n", ", line 2: no CSV: field larger"),
        (b'game,frames\n"pong,4\n', ", line 2: no CSV"),
        (b"game,frames\n" + b"pong,4\n" * 100_001, ", line 100002: at most 100,000 visits"),
        (b"name,frames\npong,5\n", "the columns game and frames in its first line, not 'name,frames'"),
        (b"pong,4000\n", "the columns game and frames"),
        (b"game,frames\n", "has no visits"),
        (b"", "has no visits"),
        ("game,frames\npong,4\n".encode("utf-16"), "is not UTF-8 text; save it as CSV"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_no_list_of_visits_is_refused_with_its_line(content, told, tmp_path):
    path = tmp_path / "visits.csv"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=told) as caught:
        load_schedule_csv(path)
    said = str(caught.value)
    assert said.startswith(str(path)) and "\n" not in said and len(said) < 400
