"""A hardware failure that needs repair: a dead board, power supply or disk. No recovery strategy helps.

Model    The host is down for ``repair``, which lasts until it serves again: in the LANL data an outage ends when the
         node is back in service, so its boot is part of it.
Sources  Vishwanath, Nagappan, SoCC 2010 (8 % of servers a year); LANL data (lognormal repair, median 69 min).
Solved   yes.
"""

from __future__ import annotations

from ksim.model.fault import FaultSource, Struck
from ksim.model.fields import LawText, PerSecond, param
from ksim.model.lifecycle import Branch, Budget
from ksim.model.plan import Plan
from ksim.model.schema import LANL, FaultSettings
from ksim.source import Source


class Settings(FaultSettings):
    """Keys of ``[faults.hardware_repair]``."""

    rate: PerSecond = param(
        "0.08 /y", "1/y", "0.02 /y", "0.3 /y",
        Source("Vishwanath, Nagappan, SoCC 2010", "about 8 % of servers have a hardware incident a year"),
        "incidents per year up",
    )  # fmt: skip
    repair: LawText = param(
        "lognormal(mean=6 h, sigma=1.25)", "s", "1 h", "24 h", LANL, "until the host is back in service"
    )


def strike(plan: Plan, settings: Settings, struck: Struck) -> str:
    lost = plan.scenario.workload.at_risk
    return plan.choice(struck.fault, "repair", Branch("running", settings.repair), work_lost_s=lost)


FAULT = FaultSource(
    name="hardware_repair",
    summary="hardware that must be replaced: hours, whatever the settings",
    budget=Budget.HARDWARE,
    settings=Settings,
    strike=strike,
)
