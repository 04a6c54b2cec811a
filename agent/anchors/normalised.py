"""Fishers of unit mean, so that one strength serves games of different reward scale (as in Schwarz et al. 2018)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from agent.fisher import normalised
from agent.gaussian import DiagonalGaussian
from agent.roles import AnchorStore, Weights


class NormalisedFishers:
    """Any other store, which is given every Fisher divided by its mean over all weights."""

    def __init__(self, store: AnchorStore) -> None:
        self.store = store

    def leave(self, task: int, weights: Weights, fisher: Weights, active_units: Weights | None) -> None:
        """Keeps the Fisher divided by its mean (see `AnchorStore.leave`)."""
        self.store.leave(task, weights, normalised(fisher), active_units)

    def factors(self, active: int) -> Iterable[DiagonalGaussian]:
        """Those of the store."""
        return self.store.factors(active)

    @property
    def anchors(self) -> Mapping[int, DiagonalGaussian]:
        """Those of the store."""
        return self.store.anchors

    @property
    def fishers(self) -> Mapping[int, Weights]:
        """Those of the store."""
        return self.store.fishers

    def state_dict(self) -> dict[str, Any]:
        """That of the store."""
        return self.store.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.store.load_state_dict(state)
