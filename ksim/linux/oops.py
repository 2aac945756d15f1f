"""The heart of the matter: does this oops kill one task or the machine?

The order of the rows is the order in which x86-64 Linux asks: oops_end() (arch/x86/kernel/dumpstack.c), then
make_task_dead() and do_exit() (kernel/exit.c). make_task_dead() also has a panic of its own for interrupts
("Aiee, killing interrupt handler!"), which oops_end() always forestalls on x86.
"""

from __future__ import annotations

from ksim.linux.rules import End, Row, Strike, always
from ksim.linux.taint import Taint
from ksim.linux.vocabulary import TaskKind
from ksim.source import Source

_OOPS_END = Source("Linux", "arch/x86/kernel/dumpstack.c, oops_end()")
_MAKE_TASK_DEAD = Source("Linux", "kernel/exit.c, make_task_dead()")
_DO_EXIT = Source("Linux", "kernel/exit.c, do_exit()")


def _jumps_early(s: Strike) -> bool:
    """kexec_should_crash(): pid 0 and any thread of init count, whoever else the oops would spare."""
    special = s.in_interrupt or s.task.kind in (TaskKind.IDLE, TaskKind.INIT)
    wanted = special or s.settings.panic_on_oops != 0
    return s.crash_kernel_loaded and not s.settings.crash_kexec_post_notifiers and wanted


def _is_over_limit(s: Strike) -> bool:
    limit = s.settings.oops_limit
    return limit != 0 and s.oopses + 1 >= limit


def _note(s: Strike, text: str) -> str:
    return f"note: {s.task.comm}[{s.task.pid}] exited with {text}"


def _victim(s: Strike) -> str:
    kind, name = s.task.kind, f"{s.task.comm}[{s.task.pid}]"
    if kind is TaskKind.KWORKER:
        return f"the worker {name}: its work item never completes, whoever flushes it hangs"
    if kind is TaskKind.KTHREAD:
        return f"the kernel thread {name}: its service is gone until the next boot"
    if s.task.threads > 1:
        return f"one thread of {name}: the process lives on with {s.task.threads - 1} of {s.task.threads} threads"
    return f"the process {name}, with signal {s.event.signal}"


OOPS_ROWS: tuple[Row, ...] = (
    Row(
        "early_crash_kexec",
        "is a crash kernel loaded, and is this in interrupt, idle, init, or under panic_on_oops?",
        _jumps_early,
        "jump into the crash kernel now: no end trace, no 'Kernel panic' line, no taint D, nothing in pstore",
        Source("Linux", "kernel/crash_core.c, kexec_should_crash()"),
        End.JUMP,
    ),
    Row(
        "taint_die",
        "is the kernel still here?",
        always,
        "taint D; the hung-task detector is blind from now on",
        _OOPS_END,
        taints=lambda s: Taint.DIE,
    ),
    Row(
        "oops_exit",
        "is the kernel still here?",
        always,
        "end trace, a record in pstore",
        Source("Linux", "kernel/panic.c, oops_exit()"),
        prints="---[ end trace 0000000000000000 ]---",
        writes_pstore=True,
    ),
    Row(
        "consumed",
        "did a die notifier (kprobes, kgdb) take the exception?",
        lambda s: s.is_handled,
        "execution goes on, nobody dies",
        _OOPS_END,
        End.GOES_ON,
    ),
    Row(
        "in_interrupt",
        "in_interrupt(): NMI, hardirq, softirq, or bottom halves disabled?",
        lambda s: s.in_interrupt,
        "panic",
        _OOPS_END,
        End.PANIC,
        "Fatal exception in interrupt",
    ),
    Row(
        "panic_on_oops",
        "is kernel.panic_on_oops set?",
        lambda s: s.settings.panic_on_oops != 0,
        "panic",
        _OOPS_END,
        End.PANIC,
        "Fatal exception",
    ),
    Row(
        "idle_task",
        "is this pid 0?",
        lambda s: s.task.kind is TaskKind.IDLE,
        "panic",
        _MAKE_TASK_DEAD,
        End.PANIC,
        "Attempted to kill the idle task!",
    ),
    Row(
        "irqs_off",
        "were interrupts off?",
        lambda s: s.has_irqs_off,
        "a note; interrupts are enabled again",
        _MAKE_TASK_DEAD,
        prints=lambda s: _note(s, "irqs disabled"),
    ),
    Row(
        "preempt_count",
        "was preemption disabled (a spinlock held)?",
        lambda s: s.total_preempt_count > 0,
        "a note; the count is put right, the spinlock stays locked",
        _MAKE_TASK_DEAD,
        prints=lambda s: _note(s, f"preempt_count {s.total_preempt_count}"),
    ),
    Row(
        "oops_limit",
        "is this the kernel.oops_limit-th oops of this boot?",
        _is_over_limit,
        "panic",
        _MAKE_TASK_DEAD,
        End.PANIC,
        lambda s: f"Oopsed too often (kernel.oops_limit is {s.settings.oops_limit})",
        counts="oops",
    ),
    Row(
        "recursive_fault",
        "was the task already exiting?",
        lambda s: s.task.is_exiting,
        "the task is parked, dead for ever and never reaped",
        _MAKE_TASK_DEAD,
        End.PARKED,
        prints="Fixing recursive fault but reboot is needed!",
        kills=lambda s: f"{s.task.comm}[{s.task.pid}], never reaped",
    ),
    Row(
        "init",
        "is this the last thread of init?",
        lambda s: s.is_init and s.task.threads == 1,
        "panic",
        _DO_EXIT,
        End.PANIC,
        lambda s: f"Attempted to kill init! exitcode=0x{s.event.signal:08x}",
    ),
    Row(
        "task_killed",
        "is the kernel still here?",
        always,
        "the thread exits: its files and memory are released, what it held in the kernel is not",
        _DO_EXIT,
        End.KILLED,
        kills=_victim,
    ),
)
