"""What has been tried in a search, and what is tried next: an Optuna study in the search's directory.

Every change is one line of its journal, `study.log`, so that nothing is half done whenever a driver dies. A sampler is
made anew for every trial, from the search's seed and the trial's number, and sees all trials before it: what it
proposes does not depend on how often the driver was stopped. Optuna's own tools can open the journal.

Steps are the numbers of a run's evaluations, from 1 on.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from configs.build import numpy_generator
from sweeps.runs import SweepError
from sweeps.search_plan import Search
from sweeps.span import Span

_NAME = "search"
_PRUNED = "pruned"  # a note on a trial that is to be stopped, which may take its run a while
_BEST = 0.25  # the share of trials whose settings are compared with all


def import_optuna() -> Any:
    """The package; SweepError if it is not installed."""
    try:
        import optuna
    except ImportError:
        raise SweepError("a search needs Optuna, which is not installed: make sweep installs it") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


class Study:
    """The trials of a search, kept in `folder`; for one driver at a time."""

    def __init__(self, folder: Path, search: Search, reading: bool = False) -> None:
        """Opens what is there; `reading`: nothing is mended or made, and another driver may be at work."""
        self.search = search
        self._optuna = optuna = import_optuna()
        self._spans = {name: _distribution(optuna, span) for name, span in search.ranges.items()}
        journal = folder / "study.log"
        if not reading:
            _mend(journal)
        parts = {
            "study_name": _NAME,
            "sampler": optuna.samplers.RandomSampler(seed=0),  # never asked
            "pruner": _pruner(optuna, search),
        }
        storage: Any = optuna.storages.InMemoryStorage()
        if journal.is_file() or not reading:
            backend = optuna.storages.journal.JournalFileBackend(str(journal))
            storage = optuna.storages.JournalStorage(backend)
        try:
            self._study = optuna.load_study(storage=storage, **parts)
        except KeyError:
            storage = optuna.storages.InMemoryStorage() if reading else storage
            self._study = optuna.create_study(storage=storage, direction="maximize", **parts)

    @property
    def trials(self) -> Sequence[Any]:
        """Optuna's FrozenTrial of every trial so far, by number."""
        return self._study.get_trials(deepcopy=False)

    def ask(self) -> int:
        """Begin a trial; returns its number, under which `trials` has its settings."""
        number = len(self.trials)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ahead = self._optuna.create_study(direction="maximize", sampler=self._sampler(number))
            ahead.add_trials(self.trials)
            point = ahead.ask(self._spans).params
        self._study.add_trial(
            self._optuna.trial.create_trial(
                state=self._optuna.trial.TrialState.RUNNING, params=point, distributions=self._spans
            )
        )
        return number

    def report(self, number: int, values: Sequence[float]) -> bool:
        """Hand in a trial's values at its evaluations 1, 2, ... so far, the run's last one not among them; whether it
        is to be stopped. What was handed in before is not looked at again."""
        frozen = self.trials[number]
        if _PRUNED in frozen.user_attrs:
            return True
        trial = self._optuna.trial.Trial(self._study, frozen._trial_id)
        known = len(frozen.intermediate_values)
        # The last known one is judged again: the driver may have died in between.
        for step in range(max(1, known), len(values) + 1):
            if step > known:
                trial.report(values[step - 1], step)
            if trial.should_prune():
                trial.set_user_attr(_PRUNED, step)
                return True
        return False

    def finish(self, number: int, value: float) -> None:
        """A trial has come to its end with this value."""
        self._study.tell(number, value)

    def prune(self, number: int) -> None:
        """A trial was stopped as `report` said; its value is that of its last evaluation."""
        self._study.tell(number, state=self._optuna.trial.TrialState.PRUNED)

    def fail(self, number: int) -> None:
        """A trial has failed; it has no value and is not tried again."""
        self._study.tell(number, state=self._optuna.trial.TrialState.FAIL)

    def steps(self, number: int) -> int | None:
        """After how many evaluations a trial was found to be one that is to be stopped; None if it was not."""
        return self.trials[number].user_attrs.get(_PRUNED)

    @property
    def running(self) -> list[int]:
        """The trials that were begun and have not ended, whether or not their runs are under way."""
        return [trial.number for trial in self.trials if trial.state.name == "RUNNING"]

    @property
    def best(self) -> Any:
        """The finished trial with the highest value, the first of those that are equal; None before there is one."""
        done = [trial for trial in self.trials if trial.state.name == "COMPLETE"]
        return max(done, key=lambda trial: (trial.value, -trial.number), default=None)

    def importances(self) -> dict[str, float]:
        """{setting: its share of what tells the best quarter of the finished trials from all} (PED-ANOVA, Watanabe et
        al. 2023); empty with fewer than four trials."""
        if sum(trial.state.name == "COMPLETE" for trial in self.trials) < 4:
            return {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that the quarter is small
            evaluator = self._optuna.importance.PedAnovaImportanceEvaluator(target_quantile=_BEST)
            return dict(self._optuna.importance.get_param_importances(self._study, evaluator=evaluator))

    def _sampler(self, number: int) -> Any:
        samplers, search = self._optuna.samplers, self.search
        if search.sampler == "grid":
            points = {name: list(span.points) for name, span in search.ranges.items()}
            return samplers.GridSampler(points, seed=search.seed)
        seed = int(numpy_generator(search.seed, f"trial {number}").integers(2**32))
        if search.sampler == "random":
            return samplers.RandomSampler(seed=seed)
        return samplers.TPESampler(seed=seed, n_startup_trials=search.startup_trials)


def _pruner(optuna: Any, search: Search) -> Any:
    first = search.warmup_evaluations
    if search.prune == "median":
        return optuna.pruners.MedianPruner(n_startup_trials=search.startup_trials, n_warmup_steps=first)
    if search.prune == "halving":
        return optuna.pruners.SuccessiveHalvingPruner(min_resource=first, reduction_factor=2)
    return optuna.pruners.NopPruner()


def _distribution(optuna: Any, span: Span) -> Any:
    if span.choices:
        return optuna.distributions.CategoricalDistribution(list(span.choices))
    if span.whole:
        return optuna.distributions.IntDistribution(span.low, span.high, log=span.log, step=span.step or 1)
    return optuna.distributions.FloatDistribution(span.low, span.high, log=span.log, step=span.step)


def _mend(journal: Path) -> None:
    """Take away what a driver that died has left: half a line at the end, and Optuna's lock."""
    journal.with_name(f"{journal.name}.lock").unlink(missing_ok=True)
    if journal.is_file():
        whole = journal.read_bytes().rpartition(b"\n")
        if whole[2]:
            with open(journal, "r+b") as file:
                file.truncate(len(whole[0]) + len(whole[1]))


def settings_of(trial: Any, search: Search) -> dict[str, Any]:
    """{setting: value} of one of `Study.trials`, in the order of the search's file."""
    return {name: trial.params[name] for name in search.ranges}
