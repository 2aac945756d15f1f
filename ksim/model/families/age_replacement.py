"""A host that wears out and may be restarted before it fails, at a fixed age.

Model    The time to failure is ``life``, counted from the last start. At age ``interval`` the host is restarted on
         purpose and is down for ``planned``; a failure before that takes ``crash``. Both make it new. Worth it only
         where the hazard rises with age and a planned restart is shorter than a crash.
Sources  Barlow, Proschan, "Mathematical Theory of Reliability", 1965, section 4.2.
Solved   yes.
"""

from __future__ import annotations

from pydantic import model_validator

from ksim.chance.distributions import Constant
from ksim.model.family import Family, FamilySettings
from ksim.model.fields import LawText, SecondsOrNone, param
from ksim.model.lifecycle import Branch, Budget, Clock, Lifecycle, Node, Service
from ksim.source import assumed

EXAMPLE = assumed("an example: a hazard that rises with age")


class Settings(FamilySettings):
    """Keys of ``[lifecycle]`` for this family."""

    life: LawText = param(
        "weibull(shape=2, mean=4380 h)", "s", "10 h", "10 y", EXAMPLE, "time to failure since a start"
    )
    crash: LawText = param("15 min", "s", "1 min", "1 d", EXAMPLE, "downtime of a failure")
    planned: LawText = param("60 s", "s", "1 s", "1 h", EXAMPLE, "downtime of a planned restart")
    interval: SecondsOrNone = param("none", "s", "1 h", "10 y", EXAMPLE, "age of a planned restart; none: never")

    @model_validator(mode="after")
    def _possible(self) -> Settings:
        if self.interval is not None and self.interval <= 0.0:
            raise ValueError("interval: expected a duration longer than zero, or 'none'")
        return self


def build(own: Settings) -> Lifecycle:
    ends = [Clock("failure", own.life, "crashed", "failure")]
    nodes = [Node("crashed", "crash", Service.DOWN, (Branch("up", own.crash),))]
    if own.interval is not None:
        ends.append(Clock("age", Constant(own.interval), "restarting", "restart"))
        nodes.append(Node("restarting", "restart", Service.DOWN, (Branch("up", own.planned),)))
    up = Node("up", "up", Service.UP, clocks=tuple(ends))
    return Lifecycle("up", (up, *nodes), {"failure": Budget.SOFTWARE, "restart": Budget.PLANNED})


FAMILY = Family(
    name="age_replacement",
    summary="a host that wears out, restarted on purpose at a fixed age",
    settings=Settings,
    build=build,
)
