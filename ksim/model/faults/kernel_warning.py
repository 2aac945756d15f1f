"""A WARN(): the kernel prints a report and goes on, unless a setting makes it panic. Off unless a rate is given.

Model    ``ksim.linux.escalation`` says whether this warning, the n-th of this boot, panics (kernel.panic_on_warn,
         kernel.warn_limit, panic_on_taint=). A survived warning taints the kernel (W) and costs nothing.
Sources  Linux kernel/panic.c, check_panic_on_warn().
Assumes  at most 15 warnings are told apart: with kernel.warn_limit above 16 the limit is never reached.
Solved   yes.
"""

from __future__ import annotations

from ksim.model.fault import FaultSource, Struck
from ksim.model.lifecycle import Branch, Budget, Service
from ksim.model.plan import Plan
from ksim.model.schema import FaultSettings
from ksim.model.stages import NOW


class Settings(FaultSettings):
    """Keys of ``[faults.kernel_warning]``."""


def strike(plan: Plan, settings: Settings, struck: Struck) -> str:
    if plan.decide("warn", warns=struck.state.warns).panics:
        branch = Branch(plan.junction("panic"), NOW, cause=struck.fault)
    else:
        branch = Branch(plan.alive(struck.state._replace(warns=struck.state.warns + 1)), NOW)
    return plan.choice(struck.node, "warning", branch, service=Service.UP)


FAULT = FaultSource(
    name="kernel_warning",
    summary="WARN(): harmless, or a panic by panic_on_warn, warn_limit, panic_on_taint",
    budget=Budget.SOFTWARE,
    settings=Settings,
    strike=strike,
)
