"""What TensorBoard's HParams tab shows of a run: its hyper-parameters and its results, a row per run.

No moment is told, as events have their own: a resumed run's summaries are those of the uninterrupted one.
"""

from __future__ import annotations

from collections.abc import Mapping

from tensorboard.compat.proto.summary_pb2 import Summary  # type: ignore[import-untyped]
from tensorboard.plugins.hparams import api_pb2, metadata, summary_v2  # type: ignore[import-untyped]
from tensorboard.plugins.hparams.plugin_data_pb2 import (  # type: ignore[import-untyped]
    HParamsPluginData,
    SessionEndInfo,
)

# The results by the names of their scalars, of which the tab shows the latest: at the end, that of the last evaluation.
RESULTS = {
    "evaluation/clipped_total": "human-normalised total, each game clipped at 1",
    "evaluation/kept_mean": "mean kept fraction",
}

Values = Mapping[str, bool | float | str]


def start(values: Values, results: Mapping[str, str] = RESULTS) -> list[Summary]:
    """The summaries at a run's start: the columns (hyper-parameters, and results by scalar with their titles) and the
    hyper-parameters' values. All runs should have the same columns: TensorBoard takes those of one for all."""
    parameters = [api_pb2.HParamInfo(name=name, type=_type(value)) for name, value in values.items()]
    metrics = [
        api_pb2.MetricInfo(name=api_pb2.MetricName(tag=tag), display_name=title) for tag, title in results.items()
    ]
    columns = api_pb2.Experiment(hparam_infos=parameters, metric_infos=metrics)
    # No name of a group: every run is a row of its own, also beside one with the same settings.
    session = summary_v2.hparams_pb(values, trial_id="", start_time_secs=0.0)
    plugin = session.value[0].metadata.plugin_data  # holds a map, whose order in bytes may differ between processes
    plugin.content = HParamsPluginData.FromString(plugin.content).SerializeToString(deterministic=True)
    return [_summary(metadata.EXPERIMENT_TAG, HParamsPluginData(experiment=columns)), session]


def end() -> Summary:
    """The summary at a run's end, which says that it came to it."""
    content = HParamsPluginData(session_end_info=SessionEndInfo(status=api_pb2.STATUS_SUCCESS))
    return _summary(metadata.SESSION_END_INFO_TAG, content)


def _summary(tag: str, content: HParamsPluginData) -> Summary:
    described = metadata.create_summary_metadata(content)
    return Summary(value=[Summary.Value(tag=tag, metadata=described, tensor=metadata.NULL_TENSOR)])


def _type(value: bool | float | str) -> int:
    if isinstance(value, bool):
        return int(api_pb2.DATA_TYPE_BOOL)
    return int(api_pb2.DATA_TYPE_STRING if isinstance(value, str) else api_pb2.DATA_TYPE_FLOAT64)
