"""A program that ages, fails, and may be restarted in time.

Model    Robust for ``ageing``, then fragile: it fails after ``fails`` or, if that comes first, is restarted on purpose
         after ``timer`` (counted from the start of fragility). ``repair`` and ``restart`` both make it robust again. A
         constant timer makes it semi-Markov. ``cost`` adds up what an hour of each kind of downtime costs.
Sources  Huang, Kintala, Kolettis, Fulton, "Software rejuvenation: analysis, module and applications", FTCS 1995;
         constant timer after Dohi, Goseva-Popstojanova, Trivedi, PRDC 2000.
Solved   yes.
"""

from __future__ import annotations

from pydantic import model_validator

from ksim.model.family import Family, FamilySettings
from ksim.model.fields import LawOrNone, LawText, Number, param
from ksim.model.lifecycle import Branch, Budget, Clock, Lifecycle, Node, Service
from ksim.source import Source
from ksim.units import HOUR_S

HUANG = Source("Huang, Kintala, Kolettis, Fulton, FTCS 1995", "example A")


class Settings(FamilySettings):
    """Keys of ``[lifecycle]`` for this family."""

    ageing: LawText = param("exponential(mean=168 h)", "s", "1 h", "1 y", HUANG, "from a fresh start to fragility")
    fails: LawText = param("exponential(mean=8640 h)", "s", "10 h", "10 y", HUANG, "from fragility to failure")
    timer: LawOrNone = param("none", "s", "1 h", "10 y", HUANG, "from fragility to the restart in time; none: never")
    repair: LawText = param("exponential(mean=30 min)", "s", "1 min", "1 d", HUANG, "downtime of a failure")
    restart: LawText = param("exponential(mean=20 min)", "s", "10 s", "1 d", HUANG, "downtime of a restart in time")
    failure_cost: Number = param(1000.0, "1", "0", "100000", HUANG, "cost of an hour down after a failure")
    restart_cost: Number = param(40.0, "1", "0", "100000", HUANG, "cost of an hour down for a restart in time")

    @model_validator(mode="after")
    def _possible(self) -> Settings:
        for key in ("failure_cost", "restart_cost"):
            if not 0.0 <= getattr(self, key) <= 1e12:
                raise ValueError(f"{key}: expected 0 to 1e12, got {getattr(self, key):g}")
        return self


def build(own: Settings) -> Lifecycle:
    ends = [Clock("failure", own.fails, "failed", "ageing")]
    if own.timer is not None:
        ends.append(Clock("timer", own.timer, "restarting", "rejuvenation"))
    nodes = [
        Node("robust", "robust", Service.UP, (Branch("fragile", own.ageing),)),
        Node("fragile", "fragile", Service.UP, clocks=tuple(ends)),
        Node("failed", "repair", Service.DOWN, (Branch("robust", own.repair),)),
    ]
    if own.timer is not None:
        nodes.append(Node("restarting", "restart", Service.DOWN, (Branch("robust", own.restart),)))
    per_hour = {"failed": own.failure_cost, "restarting": own.restart_cost}
    cost = tuple(per_hour.get(node.name, 0.0) / HOUR_S for node in nodes)
    budgets = {"ageing": Budget.SOFTWARE, "rejuvenation": Budget.PLANNED}
    return Lifecycle("robust", tuple(nodes), budgets, rewards={"cost": (cost, "1/s")})


FAMILY = Family(
    name="rejuvenation",
    summary="a program that ages and fails, with restarts in time by an exponential or constant timer",
    settings=Settings,
    build=build,
)
