"""Up and down in turn, each by any law: the renewal process behind every availability formula.

Model    Up for ``up``, down for ``down``, independent of each other. With both exponential it is the two-state host;
         with ``down = "0 s"`` the failures form an ordinary renewal process.
Sources  Cox, "Renewal Theory", 1962; Takacs, Acta Math. Acad. Sci. Hung. 8, 1957.
Solved   yes.
"""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from ksim.model.family import Family, FamilySettings
from ksim.model.fields import LawText, param
from ksim.model.lifecycle import Branch, Budget, Clock, Lifecycle, Node, Service
from ksim.source import assumed

EXAMPLE = assumed("an example: two failures a year, ten minutes each")


class Settings(FamilySettings):
    """Keys of ``[lifecycle]`` for this family."""

    up: LawText = param("exponential(mean=4380 h)", "s", "1 h", "100 y", EXAMPLE, "time to failure")
    down: LawText = param("exponential(mean=10 min)", "s", "0 s", "30 d", EXAMPLE, "time to repair")
    budget: Literal["software", "hardware", "planned"] = param("hardware", "", "", "", EXAMPLE, "whose downtime it is")

    @model_validator(mode="after")
    def _possible(self) -> Settings:
        if not self.up.mean > 0.0:
            raise ValueError("up: expected a mean longer than zero")
        return self


def build(own: Settings) -> Lifecycle:
    up = Node("up", "up", Service.UP, clocks=(Clock("failure", own.up, "down", "failure"),))
    down = Node("down", "repair", Service.DOWN, (Branch("up", own.down),))
    return Lifecycle("up", (up, down), {"failure": Budget(own.budget)})


FAMILY = Family(
    name="alternating_renewal",
    summary="up and down in turn, by any two laws",
    settings=Settings,
    build=build,
)
