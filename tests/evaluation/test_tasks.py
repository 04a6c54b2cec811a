"""How tasks and games are drawn."""

from matplotlib.figure import Figure

from envs.games import PAPER_POOL
from evaluation.tasks import bars, looks


def test_no_two_of_the_papers_games_look_alike() -> None:
    found = looks(PAPER_POOL)
    assert len(set(found.values())) == len(PAPER_POOL) == 19
    axes = Figure().subplots()
    for row, look in enumerate(found.values()):
        bars(axes, row, 2.0, 3.0, look)
    drawn = axes.patches
    assert [(bar.get_x(), bar.get_width()) for bar in drawn] == [(2.0, 3.0)] * 19
    assert len({(bar.get_facecolor(), bar.get_hatch()) for bar in drawn}) == 19
