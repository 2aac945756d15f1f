"""kdump, then a kexec from the capture kernel into the production kernel: a dump, and no firmware.

Model    As kdump, but the final action is a kexec. It is no default of any distribution: kdump's own final_action
         always goes through the firmware. A failed capture or a failed kexec still does.
Sources  Linux kernel/kexec_core.c; success and failure of the jump are assumptions (see Kexec in schema.py).
"""

from ksim.model import stages
from ksim.model.capture import capture
from ksim.model.plan import Plan
from ksim.model.strategies import kdump
from ksim.model.strategy import Crash, Strategy


def build(plan: Plan, crash: Crash) -> str:
    if not crash.has_crash_kernel(plan):
        return kdump.without_crash_kernel(plan, crash)
    return capture(plan, crash, stages.kexec(plan))


STRATEGY = Strategy("kdump_kexec", "kdump whose final step is a kexec into the production kernel", build)
