"""An uncorrectable hardware error that stops the machine: fatal machine check, or a reset by the platform.

Model    A fatal machine check always panics, whatever the settings; with kernel.panic=0 and no crash kernel the
         machine-check code reboots after 30 s. With probability ``resets`` the platform resets itself first, and no
         kernel code runs.
Sources  Linux arch/x86/kernel/cpu/mce/core.c; Schroeder, Pinheiro, Weber, SIGMETRICS 2009 (1.3 % of machines see an
         uncorrectable memory error a year); Nightingale, Douceur, Orgovan, EuroSys 2011 (CPU crashes).
Assumes  errors are independent: the recurrence seen within a month of a first CPU error is not modelled.
Solved   yes.
"""

from __future__ import annotations

from ksim.model.fault import FaultSource, Struck
from ksim.model.fields import PerSecond, Probability, param
from ksim.model.lifecycle import Branch, Budget, Service
from ksim.model.plan import Plan
from ksim.model.schema import FaultSettings
from ksim.model.stages import NOW
from ksim.source import Source, assumed


class Settings(FaultSettings):
    """Keys of ``[faults.machine_check]``."""

    rate: PerSecond = param(
        "0.018 /y", "1/y", "0.006 /y", "0.06 /y",
        Source("Schroeder et al., SIGMETRICS 2009 (0.013); Nightingale et al., EuroSys 2011 (0.005)"),
        "fatal memory and CPU errors per year up",
    )  # fmt: skip
    resets: Probability = param(
        0.3, "1", "0", "1", assumed("catastrophic errors that the platform answers with a reset of its own"),
        "P(the platform resets before the kernel can panic)",
    )  # fmt: skip


def strike(plan: Plan, settings: Settings, struck: Struck) -> str:
    reset = plan.stage(
        "platform_reset", NOW, plan.junction("reset"), phase="firmware", work_lost_s=plan.scenario.workload.at_risk
    )
    return plan.choice(
        struck.fault,
        "machine check",
        Branch(reset, NOW, settings.resets, cause=struck.fault),
        Branch(plan.junction("panic machine_check"), NOW, 1.0 - settings.resets, cause=struck.fault),
        service=Service.UP,
    )


FAULT = FaultSource(
    name="machine_check",
    summary="fatal machine check: always a panic, or a reset by the platform itself",
    budget=Budget.HARDWARE,
    settings=Settings,
    strike=strike,
)
