"""A plain reboot through the firmware: no dump, nothing to analyse later.

Model    The kernel waits kernel.panic seconds (a negative value: not at all) and resets the machine. After a
         machine check with kernel.panic=0 the kernel itself sets 30 s. The strategy stands for a host that does
         reboot: where its kernel.panic is 0, it is taken as "at once" (0 itself is ``hang_until_operator``).
Sources  Linux kernel/panic.c; arch/x86/kernel/cpu/mce/core.c.
"""

from ksim.chance.distributions import Constant
from ksim.linux.panic import after_panic
from ksim.model.plan import Plan
from ksim.model.strategy import Crash, Strategy


def build(plan: Plan, crash: Crash) -> str:
    aftermath = after_panic(plan.linux, crash_kernel_loaded=False, cause=crash.cause)
    wait = Constant(aftermath.wait_s if aftermath.action == "reboot" else 0.0)
    reset = plan.junction("reset")
    return plan.stage(crash.node, wait, reset, phase="panic", event="panic", work_lost_s=crash.work_lost_s)


STRATEGY = Strategy("full_reboot", "no crash kernel, kernel.panic > 0: panic, then a reset through the firmware", build)
