"""What came of the runs, one sentence per agent: from the rows of `numbers.agent_rows`, with their intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from experiments.report.figures import by
from experiments.report.numbers import Row
from experiments.report.page import number, with_interval
from experiments.report.tables import count


def sentences(rows: Sequence[Row], games: int) -> list[tuple[str, str]]:
    """(agent, sentence that goes on after its name), in the order of the rows. An agent without a number of *retained*,
    for want of single-game runs, is judged by its total score."""
    agents = {name: {row["measure"]: row for row in its} for name, its in by(rows, "agent").items()}
    first = next(iter(agents))
    return [(name, _sentence(its, first, games)) for name, its in agents.items()]


def _sentence(its: Mapping[str, Row], first: str, games: int) -> str:
    seeds = count(its["total_clipped"]["seeds"], "seed")
    if _known(its["retained"]):
        said = f"retained {with_interval(its['retained'])} of what agents for one game alone score"
        said += _beside(its, "retained", first)
        if _known(its["learned_last"]):
            said += f", and learned {with_interval(its['learned_last'])} of the game played last"
        return f"{said} ({seeds})."
    if _known(its["total_clipped"]):
        said = f"ended with a total score of {with_interval(its['total_clipped'])} out of {games}"
        return f"{said}{_beside(its, 'final_score_mean', first, ' per game')} ({seeds})."
    return f"has no total score yet ({seeds})."


def _beside(its: Mapping[str, Row], measure: str, first: str, what: str = "") -> str:
    """How far this agent is from the first one, with both intervals; nothing for the first itself."""
    row = its.get(f"{measure}_first_minus_this")
    if row is None or not _known(row):
        return ""
    sign = "less" if row["mean"] >= 0 else "more"
    turned = [_less(its[f"{measure}_first_minus_this{end}"], row["mean"] < 0) for end in ("", "_welch")]
    text = f", {number(turned[0]['mean'])}{what} {sign} than {first}"
    if math.isnan(turned[0]["low"]):
        return text
    boot, student = (f"{number(each['low'])} to {number(each['high'])}" for each in turned)
    return f"{text} (bootstrap {boot}, Student's {student})"


def _less(row: Row, turn: bool) -> Row:
    """The difference, or its negative."""
    return {**row, "mean": -row["mean"], "low": -row["high"], "high": -row["low"]} if turn else row


def _known(row: Row) -> bool:
    return not math.isnan(row["mean"])
