"""Non-maskable interrupts that nobody claims, and those of a PCI bus in trouble. Off unless a rate is given.

Model    ``kind`` of NMI; ``ksim.linux.escalation`` says whether kernel.unknown_nmi_panic, panic_on_unrecovered_nmi or
         panic_on_io_nmi make it a panic. By default Linux only logs it.
Sources  Linux arch/x86/kernel/nmi.c.
Solved   yes.
"""

from __future__ import annotations

from ksim.model.fault import FaultSource, Struck
from ksim.model.fields import Probability, Shares, param
from ksim.model.lifecycle import Branch, Budget, Service
from ksim.model.plan import Plan
from ksim.model.schema import FaultSettings
from ksim.model.stages import NOW
from ksim.source import assumed


class Reasons(Shares):
    """Why the NMI came: the events of ``ksim.linux.events`` by their names."""

    unknown_nmi: Probability = 0.0
    serr_nmi: Probability = 0.0
    iock_nmi: Probability = 0.0


class Settings(FaultSettings):
    """Keys of ``[faults.nmi]``."""

    reasons: Reasons = param(
        {"unknown_nmi": 0.8, "serr_nmi": 0.15, "iock_nmi": 0.05}, "1", "unknown_nmi 0", "unknown_nmi 1",
        assumed("no counts were ever published"), "shares of NMIs by reason",
    )  # fmt: skip


def strike(plan: Plan, settings: Settings, struck: Struck) -> str:
    branches = []
    for event, share in settings.reasons.values().items():
        panics = plan.decide(event).panics
        to = plan.junction("panic") if panics else struck.alive
        branches.append(Branch(to, NOW, share, cause=struck.fault if panics else ""))
    return plan.choice(struck.node, "nmi", *branches, service=Service.UP, stream=struck.fault)


FAULT = FaultSource(
    name="nmi",
    summary="an NMI: logged, or a panic by unknown_nmi_panic and its kin",
    budget=Budget.HARDWARE,
    settings=Settings,
    strike=strike,
)
