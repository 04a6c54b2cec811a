"""Opens a run directory for a new or a resumed run, and settles its configuration."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from jsonargparse import Namespace

from configs.build import build_agent, build_memory, build_schedule
from configs.checks import ConfigError
from configs.parse import dump, load
from configs.schema import Config
from configs.settings import MAY_CHANGE, ON_CPU, used_settings
from tracking.checkpoints import CheckpointError
from tracking.files import write_text
from tracking.run_directory import RunDirectory, run_of
from tracking.snapshots import read_snapshot
from training.machine import resolve
from training.resume import Beginning, check

# Settings that no result depends on, and lists of visits, which are too long to show.
_NOT_LEARNED_FROM = (
    "device",
    "deterministic",
    "learner.cuda_graphs",
    "replay.compress",
    "replay.device_gib",
    "stream.visits",
)


def hyper_parameters(config: Config) -> dict[str, bool | float | str]:
    """The settings of a resolved configuration that decide what is learned, by dotted name: all that a resume keeps but
    choices of the machine that change no result; the games as one text."""
    used = {**used_settings(config), "stream.games": ", ".join(build_schedule(config).games)}
    hidden = (*MAY_CHANGE, *_NOT_LEARNED_FROM, "threads", "learner.optimizer_code")
    return {name: value for name, value in used.items() if not name.startswith(hidden)}


def check_snapshot(path: Path, config: Config) -> None:
    """Raise `ConfigError` unless `path` is a snapshot that a run of `config` can begin with."""
    try:
        kept = read_snapshot(path)["agent"]
        build_agent(config, build_memory(config), label=lambda: "").load_snapshot(kept)
    except CheckpointError as error:
        raise ConfigError(f"--init_from: {error}") from None
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError):
        raise ConfigError(
            f"--init_from: {path} is not a snapshot of a run with {_kind(config)}{_other(path)}"
        ) from None


def _kind(config: Config) -> str:
    gates = f" with gates ({config.learner.gated:g})" if config.learner.gated else ""
    without = " without backgrounds" if config.learner.subtract_background else ""
    return f"network {config.learner.network}{gates}{without} and tasks {config.task_source}"


def _other(path: Path) -> str:
    """What a snapshot is of instead, as far as the run around it tells."""
    try:
        return f", but of one with {_kind(load(run_of(path) / 'config.yaml', ON_CPU))}"
    except ConfigError:
        return ""


def open_run(options: Namespace, config: Config) -> tuple[RunDirectory, Config, Beginning]:
    """The locked run directory, the resolved configuration, which it now holds, and what the run begins with."""
    if options.resume is not None:
        run = RunDirectory(options.resume)
        run.resume()
    else:
        layers = "-".join(Path(str(file)).stem for file in options.config or ["run"])
        run = RunDirectory(options.run_dir or f"runs/{layers}-seed{config.seed}")
        run.create()
    try:
        if options.resume is not None:
            beginning = check(run, config)
        else:
            beginning = Beginning(Path(options.init_from) if options.init_from else None, [])
            run.begin_with(beginning.init_from)  # before there is a configuration to resume with
            config = resolve(config)
        write_text(run.config, dump(config))
        told = run.append_versions()
    except BaseException:
        run.close()
        raise
    return run, config, replace(beginning, notes=[*beginning.notes, *([told] if told else [])])
