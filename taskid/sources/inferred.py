"""Inferred from what is on screen, by forget-me-not (see `taskid.forget_me_not`)."""

# Without postponed annotations: to resolve them, jsonargparse would import what is for type checking only.
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from taskid.forget_me_not_settings import DEFAULT, PAPER, ForgetMeNotSettings
from variants.settings import number

if TYPE_CHECKING:
    from taskid.forget_me_not import ForgetMeNot

_MODELS = {"default": DEFAULT, "paper": PAPER}


@dataclass(frozen=True)
class Settings:
    """Task inference by forget-me-not."""

    model: Literal["default", "paper"] = "default"
    """default: how episodes open, told apart where an episode begins; paper: as published (PAPER)."""
    max_contexts: int = number(100, 0, 1000)
    """At most so many contexts; then a new game is given to the one that explains it best. 0: no bound."""
    defer_storage: bool = True
    """What is seen in an undecided window waits for the decision before it enters a replay buffer."""

    @property
    def of_model(self) -> ForgetMeNotSettings:
        """The model's constants with these settings."""
        return replace(_MODELS[self.model], max_contexts=self.max_contexts, defer_storage=self.defer_storage)


def make(settings: Settings) -> "ForgetMeNot":
    """A source that has met nothing."""
    from taskid.forget_me_not import ForgetMeNot

    return ForgetMeNot(settings.of_model)
