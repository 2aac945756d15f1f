"""kdump as distributions ship it: capture kernel, dump, then a full reboot through the firmware.

Model    The panic jumps into the capture kernel, makedumpfile writes the vmcore, final_action follows. kernel.panic
         is never reached. Without a loaded crash kernel (no crashkernel=, or kexec_load_disabled) the panic goes
         on as if kdump were not there.
Sources  Linux kernel/panic.c, kernel/crash_core.c; rhkdump/kdump-utils kdump.sh.
"""

from ksim.model import stages
from ksim.model.capture import capture
from ksim.model.plan import Plan
from ksim.model.strategies import full_reboot, hang_until_operator
from ksim.model.strategy import Crash, Strategy


def without_crash_kernel(plan: Plan, crash: Crash) -> str:
    """What a panic does when nothing is loaded."""
    if crash.armed:
        why = plan.reservation.why if plan.linux.crash_kernel_loadable else "kexec is disabled by sysctl"
        plan.note(f"no crash kernel can be loaded ({why}): a panic ends as kernel.panic says")
    fallback = full_reboot.STRATEGY if plan.linux.panic != 0 else hang_until_operator.STRATEGY
    return fallback.build(plan, crash)


def build(plan: Plan, crash: Crash) -> str:
    if not crash.has_crash_kernel(plan):
        return without_crash_kernel(plan, crash)
    return capture(plan, crash, stages.act(plan, plan.scenario.kdump.final_action))


STRATEGY = Strategy("kdump", "crashkernel= and kdump.service: dump, then a reset through the firmware", build)
