"""Learning permuted MNIST's tasks one after the other, by EWC and by what it is compared with.

A task is MNIST with its pixels rearranged; one network with one head learns the tasks one after the other and is
never told which it sees.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from agent.anchors.anchored import AnchoredConsolidator
from agent.anchors.normalised import NormalisedFishers
from agent.anchors.online import OnlineEWC
from agent.consolidators.ewc import EWC
from agent.consolidators.l2 import L2
from agent.consolidators.none import NoConsolidation
from agent.roles import AnchorStore, Consolidator
from configs.build import numpy_generator, torch_generator
from experiments.supervised.classifier import (
    Classifier,
    Descent,
    Estimator,
    Mixture,
    Samples,
    SteadyProximalStep,
    learn,
    subset,
)
from experiments.supervised.mnist import Mnist, permutation
from tracking.files import write_atomically

Rows = list[list[float]]


@dataclass(frozen=True)
class Settings:
    """Everything that is free. The strengths are quoted at the scale of a loss summed over the minibatch."""

    layers: int  # hidden layers
    width: int  # units in each
    epochs: int  # per task
    batch: int
    rate: float  # of the summed loss
    strength: float  # lambda of EWC
    l2: float  # lambda of the L2 penalty
    estimator: Estimator  # of the Fisher information
    fisher_samples: int  # training digits it is measured on
    drop_inputs: float = 0.0  # dropout of pixels
    drop_hidden: float = 0.0  # of hidden units
    shared_drop: bool = False  # the same hidden units are dropped for a whole minibatch, and not computed
    last_rate: float = 1.0  # share of the rate that a task's last epoch has
    warm_up: float = 0.0  # epochs in which the rate rises from 0
    averaged: int = 0  # last epochs whose weights are averaged when a task is left
    damping: float = 0.0  # share of a layer's mean Fisher information added to all its weights
    normalise: bool = False  # every Fisher divided by its mean over all weights
    last_width: int = 0  # units in the last hidden layer, if another number
    pixel_mean: float = 0.0  # subtracted from every grey level

    def of(self, method: str) -> Settings:
        """Those of a method of figure b: SGD's dropout is the paper's, and L2's strength is nobody else's."""
        if method == "l2":
            return self
        alone = replace(self, l2=0.0)
        return replace(alone, drop_inputs=0.2, drop_hidden=0.5, shared_drop=False) if method == "sgd_dropout" else alone


DEFAULTS = {
    "a": Settings(2, 400, 20, 64, 1 / 3000, 30_000.0, 10.0, "exact", 2000),
    "b": Settings(2, 1000, 6, 64, 6e-3, 4_000.0, 0.1, "exact", 10_000, last_width=100, averaged=2),
    "c": Settings(6, 100, 100, 64, 1 / 3000, 30_000.0, 10.0, "exact", 10_000),
}


@dataclass(frozen=True)
class Experiment:
    """A figure's tasks in order (`places`: where each takes its pixels from), settings and seed. `tell` is given a
    line after every task."""

    mnist: Mnist
    places: Sequence[np.ndarray]
    settings: Settings
    seed: int
    tell: Callable[[str], None]

    @property
    def tasks(self) -> range:
        """0, 1, …"""
        return range(len(self.places))

    def network(self) -> Classifier:
        """A network that has learned nothing."""
        s = self.settings
        hidden = [s.width] * s.layers
        if s.last_width:
            hidden[-1] = s.last_width
        return Classifier.fresh(hidden, torch_generator(self.seed, "network"))

    def train(self, task: int) -> Samples:
        """What the task is learned from."""
        return Samples.of(self.mnist.train, self.places[task], self.settings.pixel_mean)

    def fisher(self, network: Classifier, task: int, again: bool = False) -> list[Tensor]:
        """The task's Fisher information at the network's weights; `again`: from other digits and draws."""
        generator = torch_generator(self.seed, f"Fisher {task}{' again' if again else ''}")
        samples = subset(self.train(task), self.settings.fisher_samples, generator)
        return network.fisher(samples, self.settings.estimator, generator)

    def learn(
        self, method: str, network: Classifier, tasks: range, every_epoch: bool = False, kept: Path | None = None
    ) -> Rows:
        """Lead the network through `tasks` as the method does ("ewc", "online_ewc", "l2" or, without a penalty, any
        other name); it has learned those before.

        Returns its accuracies on all tasks so far, a row at the end of every task or of every epoch. After every task
        all of it goes to the file `kept`, which a later call goes on from.
        """
        s = self.settings
        how = Descent(
            s.epochs, s.batch, s.rate, s.drop_inputs, s.drop_hidden, s.last_rate, s.shared_drop, s.warm_up, s.averaged
        )
        consolidator = self.consolidator(method, network.weights)
        tests = [Samples.of(self.mnist.test, places, s.pixel_mean) for places in self.places]
        rows: Rows = []
        first = tasks.start

        def judge(task: int) -> None:
            rows.append([network.accuracy(test) for test in tests[: task + 1]])

        if kept and kept.exists():
            state = torch.load(kept, weights_only=True)
            rows, tasks = state["rows"], tasks[state["done"] :]
            consolidator.load_state_dict(state["consolidator"])
            for w, stored in zip(network.weights, state["weights"], strict=True):
                w.copy_(stored)
        for task in tasks:
            begin = time.perf_counter()
            if task > 0:
                measured = partial(self.fisher, network, task - 1)
                spread = partial(evenly, network.weights)
                consolidator.leave(task - 1, network.weights, spread if method == "l2" else measured)
            consolidator.enter(task)
            generator = torch_generator(self.seed, f"batches {task}")
            after_epoch = partial(judge, task) if every_epoch else lambda: None
            learn(network, self.train(task), how, consolidator, generator, after_epoch)
            if not every_epoch:
                judge(task)
            marks = " ".join(f"{each:.3f}" for each in rows[-1])
            self.tell(f"{method}, seed {self.seed}, task {task + 1}: {marks} ({time.perf_counter() - begin:.0f} s)")
            if kept:
                state = {"weights": network.weights, "consolidator": consolidator.state_dict(), "rows": rows}
                kept.parent.mkdir(parents=True, exist_ok=True)
                write_atomically(kept, partial(torch.save, state | {"done": task + 1 - first}))
        return rows

    def learn_jointly(self) -> Rows:
        """All tasks at once, for as many passes over all their digits: what learning them in turn could reach."""
        s, network = self.settings, self.network()
        mixed = Mixture.of(self.mnist.train, self.places, s.pixel_mean)
        how = Descent(
            s.epochs, s.batch, s.rate, s.drop_inputs, s.drop_hidden, s.last_rate, s.shared_drop, s.warm_up, s.averaged
        )
        learn(network, mixed, how, NoConsolidation(), torch_generator(self.seed, "batches of all tasks"))
        tests = (Samples.of(self.mnist.test, places, s.pixel_mean) for places in self.places)
        return [[network.accuracy(test) for test in tests]]

    def consolidator(self, method: str, weights: Sequence[Tensor]) -> Consolidator:
        """What the method does about earlier tasks: nothing, or anchors that are stiff by Fisher or evenly."""
        s = self.settings
        if method == "l2":
            return AnchoredConsolidator(L2(), SteadyProximalStep(), weights, s.l2)
        if method not in ("ewc", "online_ewc"):
            return NoConsolidation()
        store: AnchorStore = EWC(s.damping) if method == "ewc" else OnlineEWC(1.0, s.damping)
        store = NormalisedFishers(store) if s.normalise else store
        return AnchoredConsolidator(store, SteadyProximalStep(), weights, s.strength)


def evenly(weights: Sequence[Tensor]) -> list[Tensor]:
    """One for every weight: what L2 holds them with."""
    return [torch.ones_like(w) for w in weights]


def random_places(tasks: int, seed: int) -> list[np.ndarray]:
    """A permutation of all pixels per task."""
    return [permutation(numpy_generator(seed, f"permutation {task}")) for task in range(tasks)]
