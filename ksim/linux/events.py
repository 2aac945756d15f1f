"""What can go wrong, by name: every event that the decision tables of ``ksim.linux.escalation`` know.

``family`` names the table that decides. ``signal`` is the one that an oops kills its task with: 9 for page
faults, 11 for everything that goes through die() (a BUG() is one of those).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from ksim.errors import LinuxError, nearest
from ksim.linux.vocabulary import Context
from ksim.source import Source

Family = Literal["oops", "warning", "panic", "detector", "nmi", "machine_check", "memory", "file_system", "user"]


@dataclass(frozen=True, slots=True)
class Event:
    """One kind of failure. ``message`` is the panic's text for events that always panic.

    ``context`` is the one that the event itself forces, whatever the CPU was doing before.
    """

    name: str
    family: Family
    what: str
    source: Source
    signal: int = 0
    message: str = ""
    context: Context | None = None


def _linux(file: str) -> Source:
    return Source("Linux", file)


_FAULT, _TRAPS = _linux("arch/x86/mm/fault.c, page_fault_oops()"), _linux("arch/x86/kernel/traps.c")
_BUG, _WARN = _linux("lib/bug.c, report_bug()"), _linux("kernel/panic.c, __warn()")
_MCE, _NMI = _linux("arch/x86/kernel/cpu/mce/core.c"), _linux("arch/x86/kernel/nmi.c")
_LIST, _SCHED = _linux("lib/list_debug.c"), _linux("kernel/sched/core.c, __schedule_bug()")
_IN_NMI = Context.NMI
_POISON, _OOM = _linux("mm/memory-failure.c"), _linux("mm/oom_kill.c, out_of_memory()")
_EVENTS = (
    # ---- exceptions in kernel mode: an oops each
    Event("null_deref", "oops", "NULL pointer dereference in the kernel", _FAULT, 9),
    Event("page_fault", "oops", "access to an unmapped or forbidden kernel address", _FAULT, 9),
    Event("gpf", "oops", "general protection fault, often a non-canonical address", _TRAPS, 11),
    Event("divide_error", "oops", "division by zero in the kernel", _TRAPS, 11),
    Event("bug", "oops", "BUG() or BUG_ON(): a deliberate ud2 trap, and then an ordinary oops", _BUG, 11),
    Event("list_corruption", "oops", "corrupted list; a BUG or a WARN by the kernel's build", _LIST, 11),
    Event("stack_guard", "oops", "kernel stack overflow that the page-fault handler catches", _TRAPS, 11),
    Event("double_fault", "oops", "double fault, the usual end of a stack overflow", _TRAPS, 11, context=_IN_NMI),
    # ---- warnings: a report, and the kernel goes on
    Event("warn", "warning", "WARN() or WARN_ON()", _WARN),
    Event("scheduling_while_atomic", "warning", "schedule() with preemption off", _SCHED),
    Event("ubsan", "warning", "undefined behaviour found by UBSAN", _linux("lib/ubsan.c")),
    Event("kasan", "warning", "bad memory access found by KASAN", _linux("mm/kasan/report.c")),
    Event("user_taint", "warning", "user space writes to kernel.tainted", _linux("kernel/sysctl.c, proc_taint()")),
    # ---- direct panics: no setting saves the machine
    Event("stack_protector", "panic", "overwritten stack canary", _linux("kernel/panic.c, __stack_chk_fail()"),
          message="stack-protector: Kernel stack is corrupted in: {function}"),
    Event("stack_end", "panic", "overwritten end of the stack (SCHED_STACK_END_CHECK)",
          _linux("kernel/sched/core.c, schedule_debug()"), message="corrupted stack end detected inside scheduler"),
    Event("sysrq_c", "panic", "echo c > /proc/sysrq-trigger", _linux("drivers/tty/sysrq.c, sysrq_handle_crash()"),
          message="sysrq triggered crash"),
    # ---- hangs: see ksim.linux.detectors
    Event("soft_lockup", "detector", "a CPU loops in the kernel, interrupts on", _linux("kernel/watchdog.c")),
    Event("hard_lockup", "detector", "a CPU loops in the kernel, interrupts off", _linux("kernel/watchdog.c")),
    Event("hung_task", "detector", "a task sleeps in state D for ever", _linux("kernel/hung_task.c")),
    Event("rcu_stall", "detector", "a grace period that does not end", _linux("kernel/rcu/tree_stall.h")),
    Event("workqueue_lockup", "detector", "a worker pool without progress", _linux("kernel/workqueue.c")),
    Event("all_cpus_hang", "detector", "every CPU stands still, interrupts off", _linux("kernel/watchdog.c")),
    Event("silent_hang", "detector", "a service that waits for a lost wake-up: nothing looks at it",
          _linux("no detector covers interruptible sleep")),
    # ---- NMIs
    Event("unknown_nmi", "nmi", "an NMI that nobody claims, such as the NMI button of a BMC", _NMI, context=_IN_NMI),
    Event("serr_nmi", "nmi", "PCI SERR NMI", _NMI, context=_IN_NMI),
    Event("iock_nmi", "nmi", "I/O check NMI", _NMI, context=_IN_NMI),
    # ---- machine checks and poisoned memory
    Event("mce_corrected", "machine_check", "corrected hardware error", _MCE),
    Event("mce_user", "machine_check", "uncorrected error consumed by user space, recoverable (SRAR)", _MCE),
    Event("mce_copy", "machine_check", "uncorrected error in a kernel copy with a fixup (copy_from_user)", _MCE),
    Event("mce_fatal", "machine_check", "machine check that is fatal or hits the kernel without fixup", _MCE,
          message="Fatal machine check", context=_IN_NMI),
    Event("mce_timeout", "machine_check", "not all CPUs answer a broadcast machine check", _MCE,
          message="Timeout: Not all CPUs entered broadcast exception handler", context=_IN_NMI),
    Event("ghes_fatal", "machine_check", "fatal error reported by the firmware (APEI)",
          _linux("drivers/acpi/apei/ghes.c, __ghes_panic()"), message="Fatal hardware error!", context=_IN_NMI),
    Event("poison_clean", "machine_check", "poison in a clean page-cache page", _POISON),
    Event("poison_user", "machine_check", "poison in a dirty or anonymous page", _POISON),
    Event("poison_kernel", "machine_check", "poison in a page that the kernel owns", _POISON),
    # ---- memory exhaustion
    Event("oom", "memory", "the whole machine is out of memory", _OOM),
    Event("oom_cpuset", "memory", "a cpuset or memory policy is out of memory", _OOM),
    Event("oom_memcg", "memory", "a memory cgroup is at its limit", _OOM),
    Event("oom_no_victim", "memory", "out of memory, and nothing is left that may be killed", _OOM),
    # ---- file systems
    Event("ext4_error", "file_system", "inconsistent metadata of ext4", _linux("fs/ext4/super.c")),
    Event("ext4_abort", "file_system", "a journal of ext4 that could not be written",
          _linux("fs/ext4/ext4_jbd2.c, ext4_journal_check_start()")),
    Event("xfs_shutdown", "file_system", "failed log or corrupted metadata of XFS", _linux("fs/xfs/xfs_fsops.c")),
    Event("xfs_metadata_write", "file_system", "failed write of an XFS metadata buffer (EIO, ENOSPC)",
          _linux("fs/xfs/xfs_sysfs.c")),
    # ---- what is no kernel failure at all
    Event("user_fault", "user", "a fault in user mode: a signal, never an oops", _TRAPS, 11),
    Event("copy_fault", "user", "a kernel copy from a bad user address: fixed up, -EFAULT", _FAULT),
    Event("init_exit", "user", "pid 1 returns", _linux("kernel/exit.c, do_exit()")),
)  # fmt: skip
EVENTS: Mapping[str, Event] = {event.name: event for event in _EVENTS}


def event_named(name: str) -> Event:
    """The event of that name, ``-`` and ``_`` alike. Raises LinuxError."""
    key = name.replace("-", "_")
    if key not in EVENTS:
        raise LinuxError(f"unknown event '{name[:60]}'{nearest(key, EVENTS)} (known: {', '.join(EVENTS)})")
    return EVENTS[key]
