"""Words that the rules of the kernel are written in."""

from __future__ import annotations

import enum


class Context(enum.Enum):
    """What the CPU was doing when the exception struck (include/linux/preempt.h, kernel/crash_core.c).

    ``PROCESS`` is a task or a kernel thread with nothing special about it. ``BH_DISABLED`` is process context
    inside a spin_lock_bh() section: the task looks ordinary, yet the kernel counts it as "in interrupt".
    ``IDLE`` is pid 0 and ``INIT`` is the last thread of pid 1, both outside of interrupts.
    """

    PROCESS = "process"
    BH_DISABLED = "bh_disabled"
    SOFTIRQ = "softirq"
    HARDIRQ = "hardirq"
    NMI = "nmi"
    IDLE = "idle"
    INIT = "init"

    @property
    def in_interrupt(self) -> bool:
        """The kernel's in_interrupt(): wider than hard interrupts, which surprises many readers."""
        return self in _IN_INTERRUPT


_IN_INTERRUPT = frozenset({Context.BH_DISABLED, Context.SOFTIRQ, Context.HARDIRQ, Context.NMI})
