"""A packet that hangs the transmit queue of the network card. Off unless a probability or a rate is given.

Model    Each of ``per_s`` packets sent a second hangs the queue with probability ``p``; the service is down from then
         on. The TX watchdog sees it after the driver's timeout and the driver resets the card: the link is up again
         after ``reset``. A driver that only reports leaves the service stuck until someone outside acts. The report is
         a warning in older releases, and ``ksim.linux.escalation`` says whether that one panics.
Sources  Linux net/sched/sch_generic.c, dev_watchdog(), and the drivers, by ``ksim.linux.netdev``.
Assumes  the one warning that a boot prints (WARN_ONCE) does not count for kernel.warn_limit.
Solved   yes.
"""

from __future__ import annotations

from pydantic import model_validator

from ksim.chance.distributions import Constant
from ksim.errors import LinuxError
from ksim.linux import netdev
from ksim.model.fault import FaultSource, Struck
from ksim.model.fields import LawText, Number, Probability, field_of, param
from ksim.model.impact import ImpactTable
from ksim.model.lifecycle import Branch, Budget, Service
from ksim.model.operations import Operations, per_operation
from ksim.model.plan import Plan
from ksim.model.schema_micro import MicroNic, shared
from ksim.model.stages import NOW
from ksim.source import assumed


class Settings(Operations):
    """Keys of ``[faults.packet]``; those of the card are the same as in ``[micro.nic]``."""

    p: Probability = param(
        0.0, "1", "0", "1e-6", assumed("off unless a probability is given; nobody counted"),
        "P(a packet that is sent hangs the TX queue)",
    )  # fmt: skip
    per_s: Number = param(
        1000.0, "1/s", "0.1", "1000000", assumed("a server of small answers"), "packets sent per second"
    )
    driver: str = field_of(shared(MicroNic, "driver"))
    reset: LawText = field_of(shared(MicroNic, "reset"))

    @model_validator(mode="after")
    def _known(self) -> Settings:
        try:
            netdev.driver(self.driver)
        except LinuxError as error:
            raise ValueError(f"driver: {error}") from None
        return self


def strike(plan: Plan, settings: Settings, struck: Struck) -> str:
    rules = netdev.driver(settings.driver)
    warns = netdev.watchdog_warns(plan.release) and plan.decide("warn", warns=struck.state.warns).panics
    if warns:
        to = plan.junction("panic")
    elif rules.resets:
        to = plan.choice(
            f"{struck.node} link down",
            "link reset",
            Branch(struck.alive, settings.reset),
            stream=f"{struck.fault} reset",
        )
    else:
        to = plan.junction("wedged")
    silent = plan.stage(f"{struck.node} silent", Constant(rules.watchdog_timeo_s), to, phase="TX watchdog")
    return plan.choice(
        struck.node, "TX watchdog", Branch(silent, NOW, cause=struck.fault), service=Service.UP, stream=struck.fault
    )


def measured(table: ImpactTable) -> dict[str, float]:
    return {"per_s": table.mean("sent_per_s")}


FAULT = FaultSource(
    name="packet",
    summary="a packet hangs the network card: TX watchdog, reset, and the service away meanwhile",
    budget=Budget.HARDWARE,
    settings=Settings,
    strike=strike,
    rate=per_operation,
    measured=measured,
)
