"""What these settings really do: the crash kernel if one is loaded, else what kernel.panic says.

Model    A loaded crash kernel is jumped into; without one kernel.panic decides between a reset and silence.
Sources  Linux kernel/panic.c, by ``ksim.linux.panic.after_panic``.
"""

from ksim.linux.panic import after_panic
from ksim.model.plan import Plan
from ksim.model.strategies import full_reboot, hang_until_operator, kdump
from ksim.model.strategy import Crash, Strategy

OF_ACTION = {
    "capture": kdump.STRATEGY,
    "reboot": full_reboot.STRATEGY,
    "hang": hang_until_operator.STRATEGY,
}


def build(plan: Plan, crash: Crash) -> str:
    aftermath = after_panic(plan.linux, crash_kernel_loaded=crash.has_crash_kernel(plan), cause=crash.cause)
    return OF_ACTION[aftermath.action].build(plan, crash)


STRATEGY = Strategy("auto", "whatever the settings of the scenario lead to", build)
