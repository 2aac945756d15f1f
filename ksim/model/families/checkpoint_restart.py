"""A long computation that saves its state now and then and starts again from there after a failure.

Model    ``interval`` of work, then a checkpoint of ``checkpoint``. A failure (exponential, at any time of the two)
         throws away what was done since the last checkpoint and costs ``restart``; nothing fails during the restart.
         Each entry of "saved" is the event "checkpoint": ``interval`` times their rate is the share of time that was
         of use. Degraded: at work, but not on the computation.
Sources  Young, "A first order approximation to the optimum checkpoint interval", CACM 17(9), 1974; Daly, Future
         Generation Computer Systems 22, 2006.
Solved   yes.
"""

from __future__ import annotations

from pydantic import model_validator

from ksim.chance.distributions import Constant, Exponential
from ksim.model.family import Family, FamilySettings
from ksim.model.fields import LawText, MeanTime, Seconds, param
from ksim.model.lifecycle import Branch, Budget, Clock, Lifecycle, Node, Service
from ksim.source import assumed

EXAMPLE = assumed("an example: two failures a year, a checkpoint of a minute")


class Settings(FamilySettings):
    """Keys of ``[lifecycle]`` for this family."""

    interval: Seconds = param("12 h", "s", "1 min", "1 y", EXAMPLE, "work between two checkpoints")
    checkpoint: Seconds = param("1 min", "s", "1 s", "1 h", EXAMPLE, "time of a checkpoint")
    fails: MeanTime = param("4380 h", "s", "1 h", "10 y", EXAMPLE, "mean time between failures")
    restart: LawText = param("10 min", "s", "0 s", "1 d", EXAMPLE, "from a failure to work again")

    @model_validator(mode="after")
    def _possible(self) -> Settings:
        for key in ("interval", "checkpoint"):
            if getattr(self, key) <= 0.0:
                raise ValueError(f"{key}: expected a duration longer than zero")
        return self


def build(own: Settings) -> Lifecycle:
    fails = Clock("failure", Exponential(own.fails), "restart", "failure")
    nodes = (
        Node("work", "work", Service.UP, clocks=(fails, Clock("interval", Constant(own.interval), "checkpoint"))),
        Node(
            "checkpoint", "checkpoint", Service.DEGRADED,
            clocks=(fails, Clock("checkpoint", Constant(own.checkpoint), "saved")),
        ),
        Node("saved", "work", Service.UP, (Branch("work", Constant(0.0)),), event="checkpoint"),
        Node("restart", "restart", Service.DOWN, (Branch("work", own.restart),)),
    )  # fmt: skip
    return Lifecycle("work", nodes, {"failure": Budget.SOFTWARE})


FAMILY = Family(
    name="checkpoint_restart",
    summary="work with checkpoints, failures that throw away what was done since the last one",
    settings=Settings,
    build=build,
)
