"""The hypervisor stops a guest for a moment: live migration or an update of the host. Off unless a rate is given.

Model    The guest is frozen for ``pause`` and goes on where it was: same kernel, same taint, same memory.
Sources  Ruprecht et al., VEE 2018 (50 ms median blackout); Azure "Maintenance and updates" (below 10 s).
Solved   yes.
"""

from __future__ import annotations

from ksim.model.fault import FaultSource, Struck
from ksim.model.fields import LawText, param
from ksim.model.lifecycle import Branch, Budget
from ksim.model.plan import Plan
from ksim.model.schema import FaultSettings
from ksim.source import Source


class Settings(FaultSettings):
    """Keys of ``[faults.host_pause]``."""

    pause: LawText = param(
        "50 ms", "s", "10 ms", "30 s", Source("Ruprecht et al., VEE 2018", "median blackout 50 ms, p99 300 ms"),
        "how long the guest stands still",
    )  # fmt: skip


def strike(plan: Plan, settings: Settings, struck: Struck) -> str:
    return plan.choice(struck.node, "pause", Branch(struck.alive, settings.pause), stream=struck.fault)


FAULT = FaultSource(
    name="host_pause",
    summary="a virtual machine is frozen for migration or host maintenance, and goes on",
    budget=Budget.PLANNED,
    settings=Settings,
    strike=strike,
)
