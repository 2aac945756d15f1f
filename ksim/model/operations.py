"""Faults that strike operations: a probability per command or packet, times operations per second, is a hazard."""

from __future__ import annotations

from pydantic import model_validator

from ksim.model.fields import Number, Probability
from ksim.model.schema import FaultSettings

MAX_PER_S = 1e12
"""No device does more."""


class Operations(FaultSettings):
    """Keys of such a fault; ``rate`` is for faults that were counted per year, and comes on top."""

    p: Probability
    per_s: Number

    @model_validator(mode="after")
    def _possible(self) -> Operations:
        if not 0.0 <= self.per_s <= MAX_PER_S:
            raise ValueError(f"per_s: expected 0 to {MAX_PER_S:g} operations a second, got {self.per_s}")
        return self


def per_operation(settings: Operations) -> float:
    """Strikes per second up: of a Poisson stream of operations, each a strike with probability ``p``."""
    return settings.rate + settings.p * settings.per_s
