"""kernel.panic=0 and no crash kernel: the host stays dead until something outside the kernel resets it.

Model    After the panic the kernel loops for ever. A hardware watchdog is no longer fed and resets the box; so
         does the BMC's monitoring, or at last a human. A machine check is the exception: with kernel.panic=0
         the machine-check code sets a timeout of 30 s, so that host reboots.
Sources  Linux kernel/panic.c; arch/x86/kernel/cpu/mce/core.c; LANL data for the human.
"""

from dataclasses import replace

from ksim.chance.distributions import Constant
from ksim.linux.escalation import after_panic
from ksim.model.plan import Plan
from ksim.model.strategy import Crash, Strategy


def build(plan: Plan, crash: Crash) -> str:
    silent = replace(plan.linux, panic=0)
    aftermath = after_panic(silent, crash_kernel_loaded=False, machine_check=crash.is_machine_check)
    if aftermath.action == "reboot":
        return plan.stage(crash.node, Constant(aftermath.wait_s), plan.junction("reset"), phase="panic", event="panic")
    return plan.stage(crash.node, Constant(0.0), plan.junction("hung"), phase="panic", event="panic")


STRATEGY = Strategy(
    "hang_until_operator",
    "no crash kernel, kernel.panic = 0: dead until watchdog, BMC or a human acts",
    build,
)
