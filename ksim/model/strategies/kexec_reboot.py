"""A direct kexec restart: the crash slot holds the production kernel (kexec -p), so a panic boots it at once.

Model    Panic, jump, kernel, initrd, userspace: no dump and no firmware. Needs a reservation large enough to load
         a kernel, as kdump does; without one the panic ends as kernel.panic says. (``kexec -e`` is something else:
         a planned restart of the other slot, which no panic can start.)
Sources  Linux kernel/kexec_core.c, kernel/panic.c; kexec(8).
"""

from ksim.chance.distributions import Constant
from ksim.linux.panic import after_panic
from ksim.model import stages
from ksim.model.plan import Plan
from ksim.model.strategies import kdump
from ksim.model.strategy import Crash, Strategy


def build(plan: Plan, crash: Crash) -> str:
    if not crash.has_crash_kernel(plan):
        return kdump.without_crash_kernel(plan, crash)
    after = after_panic(plan.linux, crash_kernel_loaded=True, has_cma=plan.reservation.cma_bytes > 0)
    jump = Constant(after.wait_s)
    return plan.stage(crash.node, jump, stages.kexec(plan), phase="panic", event="panic", work_lost_s=crash.work_lost_s)


STRATEGY = Strategy("kexec_reboot", "a production kernel in the crash slot: panic, then straight into it", build)
