"""Words that the rules of the kernel are written in: where a CPU was, who ran on it, what it held."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Literal

from ksim.errors import LinuxError

Release = tuple[int, int]
"""Major and minor number of a kernel: (6, 12)."""


class Context(enum.Enum):
    """What the CPU was doing when the exception struck (include/linux/preempt.h).

    ``BH_DISABLED`` is process context inside a local_bh_disable() or spin_lock_bh() section: the task looks
    ordinary, yet the kernel counts it as "in interrupt".
    """

    PROCESS = "process"
    BH_DISABLED = "bh_disabled"
    SOFTIRQ = "softirq"
    HARDIRQ = "hardirq"
    NMI = "nmi"


IN_INTERRUPT = frozenset({Context.BH_DISABLED, Context.SOFTIRQ, Context.HARDIRQ, Context.NMI})
"""The kernel's in_interrupt(): wider than hard interrupts, which surprises many readers."""


class TaskKind(enum.Enum):
    """Whose time slice it was. ``IDLE`` is pid 0 (swapper), ``INIT`` the process with pid 1."""

    USER = "user"
    KTHREAD = "kthread"
    KWORKER = "kworker"
    IDLE = "idle"
    INIT = "init"


@dataclass(frozen=True, slots=True)
class Task:
    """The current task. ``threads``: living threads of its process, itself included.

    ``is_exiting``: already inside do_exit() (PF_EXITING). ``init``: which program pid 1 is; systemd catches
    its own fatal signals and freezes instead of dying.
    """

    kind: TaskKind = TaskKind.USER
    threads: int = 1
    is_exiting: bool = False
    init: Literal["systemd", "other"] = "systemd"
    comm: str = ""
    pid: int = 0

    def __post_init__(self) -> None:
        if self.threads < 1:
            raise LinuxError(f"a task has at least 1 thread, not {self.threads}")
        if self.threads > 1 and self.kind not in (TaskKind.USER, TaskKind.INIT):
            raise LinuxError(f"a {self.kind.value} task has one thread: only user processes and init can have more")
        if not self.comm:
            object.__setattr__(self, "comm", _COMMS[self.kind][0])
        if not self.pid:
            object.__setattr__(self, "pid", _COMMS[self.kind][1])


# Names and numbers to print where the caller gives none.
_COMMS = {
    TaskKind.USER: ("worker", 1234),
    TaskKind.KTHREAD: ("kthread", 211),
    TaskKind.KWORKER: ("kworker/3:1", 187),
    TaskKind.IDLE: ("swapper/3", 0),
    TaskKind.INIT: ("systemd", 1),
}


class Lock(enum.Enum):
    """A lock that the kernel path holds: how waiters wait for it and what holding it switches off.

    ``MUTEX`` and ``RWSEM`` are sleeping locks; ``SPINLOCK_BH`` is spin_lock_bh(), ``SPINLOCK_IRQ``
    spin_lock_irq() or spin_lock_irqsave().
    """

    MUTEX = "mutex"
    RWSEM = "rwsem"
    SPINLOCK = "spinlock"
    SPINLOCK_BH = "spinlock_bh"
    SPINLOCK_IRQ = "spinlock_irq"

    @property
    def spins(self) -> bool:
        """Whether waiters burn a CPU instead of sleeping."""
        return self not in (Lock.MUTEX, Lock.RWSEM)


@dataclass(frozen=True, slots=True)
class Leak:
    """A lock that a dead task took along, and how those who want it next show themselves."""

    lock: Lock
    followers: str
    shows_as: str


def leak(lock: Lock) -> Leak:
    """What becomes of later takers of a lock that nobody will release (exit.c: nothing rolls back)."""
    if not lock.spins:
        text = "later takers sleep in state D for ever, unkillable; the load average grows"
        return Leak(lock, text, "hung_task")
    if lock is Lock.SPINLOCK_IRQ:
        return Leak(lock, "the next taker spins with interrupts off: hard lockup of its CPU", "hard_lockup")
    return Leak(lock, "the next taker spins with interrupts on: soft lockup of its CPU", "soft_lockup")
