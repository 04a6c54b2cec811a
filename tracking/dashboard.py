"""The pages of TensorBoard's Custom Scalars tab, which tell a run's story.

A chart shows the scalars whose names one of its patterns matches (`re.match`, as TensorBoard does it), at most `MOST`.
Pages are the same in every run but for the charts of each game, so that runs shown side by side share them; a chart
stays empty as long as there is nothing to tell, such as of anchors before the first was left.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from tensorboard.compat.proto.summary_pb2 import Summary  # type: ignore[import-untyped]
from tensorboard.compat.proto.tensor_pb2 import TensorProto  # type: ignore[import-untyped]
from tensorboard.compat.proto.types_pb2 import DT_STRING  # type: ignore[import-untyped]
from tensorboard.plugins.custom_scalar import layout_pb2, metadata  # type: ignore[import-untyped]

Charts = Mapping[str, Sequence[str]]  # patterns by title

MOST = 4
"""Lines of a chart: TensorBoard gives every line of a run the same colour."""

# Shown by no page. The Scalars tab has them all, a chart each.
LEFT_OUT = (
    "learning/updates$",  # grows with the frames and says no more than they do
    "task/number$",  # as the picture charts/tasks
    r"(exploration|replay|consolidation|learning)/\w+_task\d+",  # a line for every task, or pair of tasks
    r"consolidation/ratio_layer([4-9]|\d\d)",
    "score/[^/]+/(human_normalised|episode_frames|reward_per_step)$",
    "evaluation/[^/]+/human_normalised$",  # as the picture charts/scores
    "evaluation/(clipped_total|kept_mean)$",  # as charts/ of the same
    "time/frames_per_second$",
)

_KEPT = ("charts/kept_fraction$",)
_OVERVIEW: Charts = {
    "Human-normalised total of all games, each clipped at 1": ("charts/all_games_total$",),
    "Kept fraction, mean over the games that were left": _KEPT,
    "Human-normalised return of the game on screen": ("charts/score_on_screen$",),
    "Frames per second": ("charts/speed_frames_per_second$",),
    "Hours left": ("charts/time_left_hours$",),
}
_ACTIONS: dict[str, Sequence[str]] = {
    "Greedy actions as when a task was left: mean and least of the tasks": ("learning/agreement_(mean|least)$",),
}
_LEARNING: Charts = {
    "Loss and TD error": ("learning/loss$", "learning/td_error$"),
    "Q of replayed actions, and the largest": ("learning/q$", "learning/q_max$"),
    "Norm of the gradient": ("learning/gradient_norm$",),
    "Epsilon of the task on screen": ("exploration/epsilon$",),
    "Share of dormant units per layer": (r"consolidation/dormant_layer[0-3]$",),
    "Share of hidden units that the task that was left goes on using": ("learning/active_fraction$",),
}
_ANCHORS: Charts = {
    "Penalty": ("consolidation/penalty$",),
    "Penalty's gradient over the loss's": ("consolidation/ratio$",),
    "Penalty's gradient over the loss's, in each of the first layers": ("consolidation/ratio_layer[0-3]$",),
    "Share of the loss's gradient that the penalty cancels": ("consolidation/cancelled$",),
    "Stiffness of the weights, log10, quantiles": ("consolidation/log10_stiffness_q",),
    "Shares of weights that are held, and stiffer than the loss is curved": (
        "consolidation/held_share$",
        "consolidation/stiff_share$",
    ),
    "Mean Fisher information of the task that was left": ("learning/fisher_mean$",),
}
_TASKS: Charts = {
    "Tasks met": ("task/count$",),
    "Visits of a learned task that were too short for an anchor": ("task/short_visits$",),
    "Probability of the task": ("task/posterior$",),
    "Agreement of tasks with games": ("inference/purity$", "inference/coverage$", "inference/ari$"),
    "Delay of the inference at a switch [vector steps]": ("inference/delay_",),
    "False switches per million frames": ("inference/false_switches$",),
    "Longest stretch in a wrong task [vector steps]": ("inference/longest_false$",),
}
_SPEED: Charts = {
    "Duration of a phase [ms]": (r"time/\w+_ms$",),
    "Memory of the replay [GiB]": ("replay/gib$",),
}


def pages(games: Iterable[str], anchors: bool = True, states: bool = True) -> dict[str, Charts]:
    """Charts by page. `anchors`: the run leaves anchors, of which there is something to show; `states`: it keeps some
    of every task, on which agreement is measured. A single game is never left, so that there is nothing to be kept of
    it."""
    names = list(games)
    several = len(names) > 1
    kept = (_ACTIONS if states else {}) | {f"{game}: kept fraction": (f"evaluation/kept/{game}$",) for game in names}
    return {
        "Overview": {title: tags for title, tags in _OVERVIEW.items() if several or tags != _KEPT},
        "Games": {game: (f"score/{game}/return$", f"evaluation/{game}/score$") for game in names},
        **({"Memory": kept} if several else {}),
        "Learning": _LEARNING,
        **({"Anchors": _ANCHORS} if anchors else {}),
        "Tasks": _TASKS,
        "Speed": _SPEED,
    }


def shown(patterns: Iterable[str], tags: Iterable[str]) -> list[str]:
    """The `tags` that one of the patterns matches."""
    known = [re.compile(pattern) for pattern in patterns]
    return [tag for tag in tags if any(pattern.match(tag) for pattern in known)]


def layout(content: Mapping[str, Charts]) -> Summary:
    """`pages` as the summary that the Custom Scalars tab reads."""
    categories = [
        layout_pb2.Category(title=page, chart=[_chart(title, patterns) for title, patterns in charts.items()])
        for page, charts in content.items()
    ]
    text = layout_pb2.Layout(category=categories).SerializeToString()
    value = Summary.Value(
        tag=metadata.CONFIG_SUMMARY_TAG,
        metadata=metadata.create_summary_metadata(),
        tensor=TensorProto(dtype=DT_STRING, string_val=[text]),  # of no dimension
    )
    return Summary(value=[value])


def _chart(title: str, patterns: Sequence[str]) -> layout_pb2.Chart:
    return layout_pb2.Chart(title=title, multiline=layout_pb2.MultilineChartContent(tag=patterns))
