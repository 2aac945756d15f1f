"""How a log ends: in the middle of an oops, behind a panic, with a countdown, or with the end marker.

Follows kernel/panic.c and arch/x86/kernel/setup.c (dump_kernel_offset).
"""

from __future__ import annotations

from dataclasses import replace

from ksim.linux.console.exceptions import interrupt_of
from ksim.linux.console.look import Look, call_trace, cpu_lines
from ksim.linux.escalation import Decision
from ksim.linux.taint import Taint
from ksim.linux.vocabulary import Task, TaskKind

KHUNGTASKD = Task(TaskKind.KTHREAD, comm="khungtaskd", pid=71)
KERNEL_OFFSET = (
    "Kernel Offset: 0x2f400000 from 0xffffffff81000000 (relocation range: 0xffffffff80000000-0xffffffffbfffffff)"
)


def panic(decision: Decision, look: Look) -> list[str]:
    """Everything from ``Kernel panic`` on; nothing for a kernel that lives or that jumps from within the oops."""
    after = decision.aftermath
    if after is None or decision.early_kdump:
        return []
    lines = [f"Kernel panic - not syncing: {decision.message}"]
    if not decision.taint & Taint.DIE:  # after an oops the stack is on the screen already
        strike = decision.strike
        if decision.rule == "hung_task_panic":  # it is not the hung task that finds it
            strike = replace(strike, task=KHUNGTASKD)
        lines += [*cpu_lines(strike, look, decision.taint), *call_trace(look, interrupt_of(strike))]
    if after.runs_notifiers:
        lines.append(KERNEL_OFFSET)
    if after.action == "reboot" and after.wait_s > 0.0:
        lines.append(f"Rebooting in {after.wait_s:.0f} seconds..")
    if after.action == "hang":
        lines.append(f"---[ end Kernel panic - not syncing: {decision.message} ]---")
    return lines
