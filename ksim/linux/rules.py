"""How the kernel's decisions are written down here: rows that are asked from the top, in the kernel's order.

A *strike* is one event and the state in which it meets the kernel. Each row asks one question of it; a row
that holds may print, taint, count, and may end the walk. The walk is kept step by step: it is the reason of
the decision.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from ksim.errors import LinuxError
from ksim.linux.events import Event
from ksim.linux.sysctl import Settings
from ksim.linux.taint import Taint
from ksim.linux.vocabulary import IN_INTERRUPT, Context, Lock, Task, TaskKind
from ksim.source import Source

NO_TAINT = Taint.none()
UPSTREAM = Settings()
SOME_TASK = Task()


@dataclass(frozen=True, slots=True)
class Strike:
    """One event and everything that the rules ask for. Counts are those of this boot, before the event.

    ``preempt_count``: disabled preemption beyond the spinlocks in ``locks``. ``stalls``: RCU or workqueue
    stalls reported so far; ``hung_reports``: of the hung-task detector; ``hung_tasks``: found in one scan.
    ``lasts_s``: how long a hang lasts if nobody ends it. ``is_handled``: a die or NMI notifier (kprobes,
    kgdb, perf) takes the exception. ``writes``: bits written to kernel.tainted. ``exit_code``: of pid 1.
    ``fs_errors``: the mount option errors= of ext4.
    """

    event: Event
    settings: Settings = UPSTREAM
    context: Context = Context.PROCESS
    task: Task = SOME_TASK
    locks: tuple[Lock, ...] = ()
    irqs_off: bool = False
    preempt_count: int = 0
    taint: Taint = NO_TAINT
    oopses: int = 0
    warns: int = 0
    stalls: int = 0
    hung_reports: int = 0
    hung_tasks: int = 1
    lasts_s: float = math.inf
    crash_kernel_loaded: bool = False
    is_handled: bool = False
    writes: Taint = NO_TAINT
    exit_code: int = 1
    fs_errors: Literal["continue", "remount-ro", "panic"] = "continue"

    def __post_init__(self) -> None:
        for name in ("preempt_count", "oopses", "warns", "stalls", "hung_reports", "lasts_s"):
            if not getattr(self, name) >= 0:
                raise LinuxError(f"{name} cannot be negative: {getattr(self, name)}")
        if self.hung_tasks < 1:
            raise LinuxError(f"hung_tasks is at least 1, not {self.hung_tasks}")
        if not 0 <= self.exit_code <= 255:
            raise LinuxError(f"exit_code is 0 to 255, not {self.exit_code}")

    @property
    def where(self) -> Context:
        """The context that counts: some events bring their own."""
        return self.event.context or self.context

    @property
    def in_interrupt(self) -> bool:
        return self.where in IN_INTERRUPT or Lock.SPINLOCK_BH in self.locks

    @property
    def has_irqs_off(self) -> bool:
        return self.irqs_off or Lock.SPINLOCK_IRQ in self.locks

    @property
    def total_preempt_count(self) -> int:
        return self.preempt_count + sum(lock.spins for lock in self.locks)

    @property
    def is_init(self) -> bool:
        return self.task.kind is TaskKind.INIT


class End(enum.Enum):
    """Where a walk stops."""

    JUMP = "jump"
    """into the crash kernel, from within the oops"""
    PANIC = "panic"
    KILLED = "killed"
    """the current task, or the victim that a rule names"""
    PARKED = "parked"
    """a task that is dead and never reaped"""
    FROZEN = "frozen"
    """the kernel lives on without a working init"""
    STUCK = "stuck"
    """a hang that goes on"""
    FILE_SYSTEM = "file_system"
    """a file system that takes no more writes"""
    GOES_ON = "goes_on"


Text = str | Callable[[Strike], str]


def text_of(text: Text, strike: Strike) -> str:
    return text if isinstance(text, str) else text(strike)


@dataclass(frozen=True, slots=True)
class Row:
    """One question of the kernel and what follows if the answer is yes.

    ``message`` is the panic's text, behind "Kernel panic - not syncing: "; ``prints`` is a line of the
    console, which comes before ``taints``; ``kills`` says who dies.
    """

    name: str
    asks: str
    holds: Callable[[Strike], bool]
    says: Text
    source: Source
    ends: End | None = None
    message: Text = ""
    prints: Text = ""
    kills: Text = ""
    taints: Callable[[Strike], Taint] | None = None
    counts: Literal["", "oops", "warn"] = ""
    writes_pstore: bool = False


def always(_: Strike) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Step:
    """One row as it was asked: ``held`` is the answer, ``says`` what followed from it (or would have)."""

    rule: str
    asks: str
    held: bool
    says: str
    source: Source


@dataclass(frozen=True, slots=True)
class Walk:
    """The rows asked, the row that ended it, and what had happened by then."""

    steps: tuple[Step, ...]
    row: Row
    end: End
    message: str
    prints: tuple[str, ...]
    kills: str
    taint: Taint
    oopses: int
    warns: int
    writes_pstore: bool


_ADD_TAINT = Source("Linux", "kernel/panic.c, add_taint()")
_ON_TAINT = Row(
    "panic_on_taint",
    "does panic_on_taint= name one of these bits?",
    always,
    "panic",
    _ADD_TAINT,
    End.PANIC,
    "panic_on_taint set ...",
)


def walk(rows: Sequence[Row], strike: Strike) -> Walk:
    """Asks the rows from the top until one of them ends it; the last row of a table always does."""
    steps: list[Step] = []
    prints: list[str] = []
    kills = ""
    taint, counts, pstore = strike.taint, {"oops": strike.oopses, "warn": strike.warns}, False
    for row in rows:
        held = row.holds(strike)
        steps.append(Step(row.name, row.asks, held, text_of(row.says, strike), row.source))
        if not held and not row.counts:
            continue
        if row.counts:  # the kernel counts first and compares then
            counts[row.counts] += 1
        if not held:
            continue
        if line := text_of(row.prints, strike):
            prints.append(line)
        kills = text_of(row.kills, strike) or kills
        pstore = pstore or row.writes_pstore
        end, ended_by = row.ends, row
        if row.taints is not None:
            added = row.taints(strike)
            taint |= added
            if added and taint & strike.settings.panic_on_taint:  # add_taint() compares the whole mask
                steps.append(Step(_ON_TAINT.name, _ON_TAINT.asks, True, "panic", _ADD_TAINT))
                end, ended_by = End.PANIC, _ON_TAINT
        if end is not None:
            message = text_of(ended_by.message, strike)
            return Walk(
                tuple(steps),
                ended_by,
                end,
                message,
                tuple(prints),
                kills,
                taint,
                counts["oops"],
                counts["warn"],
                pstore,
            )
    raise AssertionError(f"the table of {strike.event.name} has no last row")
