"""An outage as a chain of stages that always follow each other: firmware, kernel, service, each by its own law.

Model    Up for ``up``, then each of ``stages`` in their order; the outage is their sum.
Sources  the recovery path of any host; sums of independent stages are textbook (Cox, "Renewal Theory", 1962).
Solved   yes.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from ksim.chance.distributions import Law
from ksim.model.family import Family, FamilySettings
from ksim.model.fields import LawText, Name, param
from ksim.model.lifecycle import Branch, Budget, Clock, Lifecycle, Node, Service
from ksim.source import assumed

EXAMPLE = assumed("an example: the way back of a rack server")
STAGES = {
    "firmware": "300 s",
    "kernel": "lognormal(median=45 s, sigma=0.25)",
    "service": "exponential(mean=30 s)",
}
MOST_STAGES = 60


class Settings(FamilySettings):
    """Keys of ``[lifecycle]`` for this family."""

    up: LawText = param("exponential(mean=4380 h)", "s", "1 h", "100 y", EXAMPLE, "time to failure")
    stages: Annotated[dict[Name, LawText], Field(min_length=1, max_length=MOST_STAGES)] = param(
        STAGES, "", "", "", EXAMPLE, "the stages of an outage, by name"
    )

    @model_validator(mode="after")
    def _possible(self) -> Settings:
        if not self.up.mean > 0.0:
            raise ValueError("up: expected a mean longer than zero")
        if "up" in self.stages:
            raise ValueError("stages: 'up' is the state between outages and no stage")
        return self


def build(own: Settings) -> Lifecycle:
    names = [*own.stages, "up"]
    stages: list[tuple[str, Law]] = list(own.stages.items())
    up = Node("up", "up", Service.UP, clocks=(Clock("failure", own.up, names[0], "failure"),))
    nodes = [
        Node(name, name, Service.DOWN, (Branch(after, law),))
        for (name, law), after in zip(stages, names[1:], strict=True)
    ]
    return Lifecycle("up", (up, *nodes), {"failure": Budget.SOFTWARE})


FAMILY = Family(
    name="sum_of_stages",
    summary="an outage as a chain of stages, each by its own law",
    settings=Settings,
    build=build,
)
