"""kernel.panic=0 and no crash kernel: the host stays dead until something outside the kernel resets it.

Model    After the panic the kernel loops for ever. A hardware watchdog is no longer fed and resets the box; so
         does the BMC's monitoring, or at last a human. A machine check is the exception: with kernel.panic=0
         the machine-check code sets a timeout of 30 s, so that host reboots.
Sources  Linux kernel/panic.c; arch/x86/kernel/cpu/mce/core.c; LANL data for the human.
"""

from dataclasses import replace

from ksim.chance.distributions import Constant
from ksim.linux.panic import after_panic
from ksim.model.plan import Plan
from ksim.model.strategy import Crash, Strategy


def build(plan: Plan, crash: Crash) -> str:
    silent = replace(plan.linux, panic=0)
    aftermath = after_panic(silent, crash_kernel_loaded=False, cause=crash.cause)
    reboots = aftermath.action == "reboot"
    wait, to = (aftermath.wait_s, "reset") if reboots else (0.0, "hung")
    return plan.stage(
        crash.node, Constant(wait), plan.junction(to), phase="panic", event="panic", work_lost_s=crash.work_lost_s
    )


STRATEGY = Strategy(
    "hang_until_operator",
    "no crash kernel, kernel.panic = 0: dead until watchdog, BMC or a human acts",
    build,
)
