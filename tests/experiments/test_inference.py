"""The report's command on the toys, which need no ROM."""

import json

import pytest

from envs.game_sets import game_set, games_of
from experiments.inference import main
from tests.commands import code_of

TOYS = ["--games", "toy_catch,toy_mirror,toy_avoid", "--visits", "2", "--vector_steps", "60", "--emulators", "4"]


def report(capsys, tmp_path, *arguments):
    assert main([*TOYS, "--json", "--figure", str(tmp_path / "figure.png"), *arguments]) == 0
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_the_last_line_is_json_with_the_promised_keys(capsys, tmp_path):
    found = report(capsys, tmp_path)
    assert set(found) >= {
        *("purity", "coverage", "ari", "contexts", "games", "delay_median", "delay_max"),
        *("false_switches", "us_per_step", "bytes_per_context"),
    }
    assert (found["games"], found["contexts"]) == (3, 3)
    # Three steps of delay at each of five switches, out of 6 visits of 60 steps.
    assert found["delay_median"] == found["delay_max"] == 3
    assert found["purity"] == pytest.approx(1 - 15 / 360) and found["false_switches"] == 0
    assert (tmp_path / "figure.png").stat().st_size > 10_000


def test_the_seed_decides_everything_but_the_clock(capsys, tmp_path):
    one, same, other = (report(capsys, tmp_path, "--seed", seed, "--source", "paper") for seed in ("1", "1", "2"))
    for found in (one, same, other):
        del found["us_per_step"]
    assert one == same != other


def test_a_setting_can_be_changed(capsys, tmp_path):
    assert report(capsys, tmp_path, "--set", "max_contexts=2")["contexts"] == 2
    assert report(capsys, tmp_path, "--set", "levels=4")["bytes_per_context"] == 42 * 42 * 4 * 8 + 8


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--games", "krul"], "krull"),
        (["--visits", "0"], "--visits"),
        (["--set", "level=4"], "--set: there is no 'level'; choose from levels"),
        (["--set", "levels=1"], "--set levels: must lie between 2 and 256, is 1"),
        (["--set", "levels=many"], "--set levels: 'many' is no value of it, which is 16"),
        (["--policy", "runs/nowhere"], "runs/nowhere"),
        (["--figure", "a.png"], "--figure: a.png is a folder; name a file"),
    ],
)
def test_mistakes_are_one_sentence(arguments, told, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.png").mkdir()
    assert code_of(main, [*TOYS, *arguments]) == 2
    complaint = capsys.readouterr().err.strip()
    assert told in complaint and "\n" not in complaint


def test_groups_are_games_named_once():
    assert [len(game_set(name)) for name in ("figure3", "pool", "thirty", "all")] == [10, 19, 30, 57]
    assert not set(game_set("thirty")) & set(game_set("pool"))
    assert games_of("black, breakout,krull") == (*game_set("black"), "krull")
