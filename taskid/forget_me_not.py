"""Which task is this? Online clustering of what is on screen (PAPER, section on inference; Milan et al. 2016).

The task is the hidden state of a Markov chain over the contexts met so far and a hold-out, a context that has
seen nothing. What is seen is explained by pixel models (`taskid.pixels`), one per context. Time is cut into
windows. Within a window every context updates as it reads; at its end the most probable one keeps the update
and all others revert; if it is the hold-out, it becomes a new context and a new hold-out takes its place.

Two sets of settings (`taskid.forget_me_not_settings`), one model:

`PAPER`    as published: windows follow one another without end, of four observations four steps apart, and the
           task may change at any of them. Every new scene asks the question anew, so that a game with several
           scenes falls apart into several contexts, or else games with much black are taken for one. Since the
           chain moves at every observation, no lead outweighs log(1 / alpha) for long and the last observation of
           a window decides, by which time the hold-out has learned the window's other images: the more
           emulators, the more contexts.
`DEFAULT`  a game can only be replaced where all emulators begin an episode at once: in between, the chain's
           transition matrix is the identity. So there is a window at each such moment and nowhere else, and the
           contexts are models of how a game opens, the same few images each time, whatever level a trained
           agent reaches later. A new context is weighed against the base measure of all screens met so far,
           without which it would lose to any other game that is as black; a small concentration makes a
           context sure of what it has seen once; and a bounded memory lets no context grow so sure that a
           flash on screen refutes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from envs.timestep import TimeStep
from taskid.forget_me_not_settings import ForgetMeNotSettings
from taskid.pixels import PixelModels, Window, images
from taskid.source import Inference


def predict(log_posterior: NDArray[np.float64], alpha: float) -> NDArray[np.float64]:
    """One step of the chain, in logs [K + 1]: stay with probability 1 - alpha, else any other state alike."""
    others = len(log_posterior) - 1
    if others == 0 or alpha == 0:
        return log_posterior
    stay, leave = 1 - alpha, alpha / others  # p' = (1 - alpha) p + leave (1 - p) = (stay - leave) p + leave
    posterior = np.exp(log_posterior)
    return np.log(stay * posterior + leave * np.maximum(0.0, posterior.sum() - posterior))


def update(log_prior: NDArray[np.float64], log_likelihood: NDArray[np.float64]) -> NDArray[np.float64]:
    """Bayes' rule in logs [K + 1], normalised."""
    joint = log_prior + log_likelihood
    return joint - np.logaddexp.reduce(joint)


class Filter:
    """The chain's posterior, and the window that is open, if any.

    `log_posterior` is float64 [K + 1], the hold-out's last.
    """

    def __init__(self, settings: ForgetMeNotSettings) -> None:
        self.settings = settings
        self.log_posterior = np.zeros(1)
        self.window = Window(settings.levels)
        self.open = not settings.episode_start_only
        self.time = 0  # vector steps since the window's first observation, or for ever where windows never end
        self.observations = 0  # in this window
        self.observed = 0  # ever

    def begins(self, now: TimeStep) -> bool:
        """Whether a window begins here whatever was open before."""
        return self.settings.episode_start_only and bool(now.first.all())

    def step(self, now: TimeStep, models: PixelModels) -> bool:
        """Look at one time step; whether a window ends with it."""
        s = self.settings
        begins = self.begins(now)
        if begins:
            self.close()
            self.open, self.time = True, 0
        if not self.open:
            return False
        if self.time % s.period == 0:
            self.observed += 1
            if begins or not s.episode_start_only:
                self.log_posterior = predict(self.log_posterior, s.switch_probability or 1 / self.observed)
            likelihood = models.read(self.window, images(now.observation, s.levels))
            if 0 < s.max_contexts <= models.count:
                likelihood[-1] = -np.inf
            self.log_posterior = update(self.log_posterior, likelihood)
            self.observations += 1
        self.time += 1
        return self.observations >= s.window and self.window.images >= s.window_images

    def close(self) -> None:
        """Forget what was seen in the window, decided or not."""
        self.window.clear()
        self.observations = 0
        self.open = not self.settings.episode_start_only

    def state_dict(self) -> dict[str, Any]:
        """The posterior and the window."""
        return {
            "log_posterior": torch.from_numpy(self.log_posterior.copy()),
            "window": self.window.state_dict(),
            "open": self.open,
            "time": self.time,
            "observations": self.observations,
            "observed": self.observed,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.log_posterior = state["log_posterior"].numpy().copy()
        self.window.load_state_dict(state["window"])
        self.open, self.time = state["open"], state["time"]
        self.observations, self.observed = state["observations"], state["observed"]


class ForgetMeNot:
    """The source of tasks that is told nothing.

    The task stays what it was until a window has been decided; the steps of the window are assigned then.
    Before the very first decision the task is 0.
    """

    def __init__(self, settings: ForgetMeNotSettings) -> None:
        self.settings = settings
        s = settings
        self.models = PixelModels(s.levels, s.concentration, s.base, s.max_effective_count)
        self.filter = Filter(settings)
        self.task = 0
        self.waiting = 0

    @property
    def num_tasks(self) -> int:
        """How many contexts have been met; the first exists from the start."""
        return max(1, self.models.count)

    @property
    def posterior(self) -> float:
        """The probability of the current task, given all that was seen."""
        return float(np.exp(self.filter.log_posterior[self.task]))

    @property
    def nbytes(self) -> int:
        """Bytes of all contexts."""
        return self.models.nbytes

    def infer(self, now: TimeStep) -> Inference:
        """The task to act in at `now`, and the tasks of all steps that are assigned with it."""
        assigned: tuple[int, ...] = ()
        if self.waiting and self.filter.begins(now):  # cut short by yet another beginning
            assigned = self._decide()
        self.waiting += 1
        if self.filter.step(now, self.models) or not self.filter.open:
            assigned += self._decide() if self.filter.observations else self._assign()
        return Inference(self.task, assigned if self.settings.defer_storage else (self.task,))

    def restart(self) -> None:
        """Keep the contexts for another stream; an undecided window is dropped with all that spoke for it."""
        observed, self.filter = self.filter.observed, Filter(self.settings)
        self.filter.observed = observed
        if self.models.count:
            self.filter.log_posterior = np.full(self.models.count + 1, -np.inf)
            self.filter.log_posterior[self.task] = 0.0
        self.waiting = 0

    def recogniser(self, label: str) -> ContextRecogniser:
        """Recognises contexts from the screen, whatever the label."""
        return ContextRecogniser(self.settings, self.models, self.filter.observed)

    def _decide(self) -> tuple[int, ...]:
        """The most probable context keeps what the window saw."""
        best = int(self.filter.log_posterior.argmax())
        if best == self.models.count:
            self.filter.log_posterior = np.append(self.filter.log_posterior, -np.inf)
        self.models.keep(best, self.filter.window)
        self.filter.close()
        self.task = best
        return self._assign()

    def _assign(self) -> tuple[int, ...]:
        assigned, self.waiting = (self.task,) * self.waiting, 0
        return assigned

    def state_dict(self) -> dict[str, Any]:
        """Contexts, posterior, and the open window."""
        return {
            "models": self.models.state_dict(),
            "filter": self.filter.state_dict(),
            "task": self.task,
            "waiting": self.waiting,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.models.load_state_dict(state["models"])
        self.filter.load_state_dict(state["filter"])
        self.task, self.waiting = state["task"], state["waiting"]


class ContextRecogniser:
    """Recognises contexts without learning anything, for an evaluation.

    Every context and the hold-out are equally probable beforehand. The answer is the most probable so far, from
    the very first time step on, and `None` while that is the hold-out: a game that was never met (not said where
    `max_contexts` has been reached, as there is no hold-out then). To be used before the source learns again.
    """

    def __init__(self, settings: ForgetMeNotSettings, models: PixelModels, observed: int) -> None:
        """observed: how many observations the source has made, for alpha = 1/t."""
        self.models = models
        self.filter = Filter(settings)
        self.filter.observed = observed
        states = models.count + 1
        self.filter.log_posterior = np.full(states, -np.log(states))

    @property
    def posterior(self) -> float:
        """The probability of the latest answer."""
        return float(np.exp(self.filter.log_posterior.max()))

    def identify(self, now: TimeStep) -> int | None:
        """The most probable context so far; None: none of them."""
        if self.filter.step(now, self.models):
            self.filter.close()
        best = int(self.filter.log_posterior.argmax())
        return best if best < self.models.count else None
