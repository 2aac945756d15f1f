"""What a panic does, in its own order: from ``Kernel panic - not syncing`` to the crash kernel, a reset, or
nothing ever again.

Follows kernel/panic.c, kernel/crash_core.c and the machine-check code of x86-64.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from ksim.linux.rules import Step
from ksim.linux.sysctl import Settings
from ksim.linux.vocabulary import Release
from ksim.source import Source

MACHINE_CHECK_PANIC_S = 30
"""mca_cfg.panic_timeout in arch/x86/kernel/cpu/mce/core.c, used where kernel.panic is 0."""
GHES_HONOURS_PANIC_SINCE: Release = (6, 1)
"""Later GHES code leaves kernel.panic=0 alone (also in the 6.1 long-term release); older set 30 s."""
CMA_WAIT_S = 10.0
"""crashkernel=,cma: fixed wait for stray DMA before the jump (kernel/crash_core.c, Linux 6.17)."""

Action = Literal["capture", "reboot", "hang"]
Cause = Literal["", "machine_check", "ghes"]


@dataclass(frozen=True, slots=True)
class Panic:
    """A panic and the state that decides what follows it."""

    settings: Settings
    crash_kernel_loaded: bool
    cause: Cause
    has_cma: bool

    @property
    def jumps_late(self) -> bool:
        return self.settings.crash_kexec_post_notifiers != 0

    @property
    def overrides_timeout(self) -> bool:
        ghes = self.cause == "ghes" and self.settings.release < GHES_HONOURS_PANIC_SINCE
        return self.settings.panic == 0 and (self.cause == "machine_check" or ghes)

    @property
    def timeout_s(self) -> int:
        return MACHINE_CHECK_PANIC_S if self.overrides_timeout else self.settings.panic


@dataclass(frozen=True, slots=True)
class PanicRow:
    """One step of panic(): it may end the machine's life by an ``action`` after ``wait_s``."""

    name: str
    asks: str
    holds: Callable[[Panic], bool]
    says: Callable[[Panic], str]
    source: Source
    action: Action | None = None
    wait_s: Callable[[Panic], float] = lambda _: 0.0
    writes_pstore: bool = False
    runs_notifiers: bool = False


_PANIC = Source("Linux", "kernel/panic.c, panic()")
_JUMP = Source("Linux", "kernel/crash_core.c, __crash_kexec()")
_PRINTED = ("tasks", "memory", "timers", "locks", "ftrace", "the log again", "backtraces of all CPUs", "blocked tasks")


def _jump_text(panic: Panic) -> str:
    return "the other CPUs are stopped and the kernel jumps" + (", after 10 s for stray DMA" if panic.has_cma else "")


def _jump_s(panic: Panic) -> float:
    return CMA_WAIT_S if panic.has_cma else 0.0


def _printed(panic: Panic) -> str:
    bits = [name for bit, name in enumerate(_PRINTED) if panic.settings.panic_print >> bit & 1]
    return f"prints {', '.join(bits)}" if bits else "nothing more is printed"


PANIC_ROWS: tuple[PanicRow, ...] = (
    PanicRow(
        "crash_kexec",
        "is a crash kernel loaded, and does nothing have to run before it?",
        lambda p: p.crash_kernel_loaded and not p.jumps_late,
        _jump_text,
        _JUMP,
        "capture",
        _jump_s,
    ),
    PanicRow(
        "notifiers",
        "is the kernel still here?",
        lambda p: True,
        lambda p: "panic notifiers run: Kernel Offset is printed, an IPMI watchdog is set to 255 s",
        _PANIC,
        runs_notifiers=True,
    ),
    PanicRow(
        "panic_print",
        "does kernel.panic_print ask for more?",
        lambda p: p.settings.panic_print != 0,
        _printed,
        Source("Linux", "kernel/panic.c, panic_print_sys_info()"),
    ),
    PanicRow(
        "kmsg_dump",
        "is the kernel still here?",
        lambda p: True,
        lambda p: "the end of the log goes to pstore, if there is a backend",
        Source("Linux", "kernel/printk/printk.c, kmsg_dump()"),
        writes_pstore=True,
    ),
    PanicRow(
        "crash_kexec_late",
        "is a crash kernel loaded, with crash_kexec_post_notifiers?",
        lambda p: p.crash_kernel_loaded and p.jumps_late,
        _jump_text,
        _JUMP,
        "capture",
        _jump_s,
    ),
    PanicRow(
        "machine_check_timeout",
        "did the hardware cause it while kernel.panic is 0?",
        lambda p: p.overrides_timeout,
        lambda p: f"the machine-check code sets a timeout of {MACHINE_CHECK_PANIC_S} s: wait, then reset",
        Source("Linux", "arch/x86/kernel/cpu/mce/core.c, mce_panic()"),
        "reboot",
        lambda p: float(MACHINE_CHECK_PANIC_S),
    ),
    PanicRow(
        "panic_timeout",
        "is kernel.panic above 0?",
        lambda p: p.settings.panic > 0,
        lambda p: f"Rebooting in {p.settings.panic} seconds: a busy wait, then an emergency restart",
        _PANIC,
        "reboot",
        lambda p: float(p.settings.panic),
    ),
    PanicRow(
        "panic_at_once",
        "is kernel.panic below 0?",
        lambda p: p.settings.panic < 0,
        lambda p: "emergency restart at once",
        _PANIC,
        "reboot",
    ),
    PanicRow(
        "endless_loop",
        "is the kernel still here?",
        lambda p: True,
        lambda p: "it loops for ever; only a hardware watchdog, a BMC or a human resets it",
        _PANIC,
        "hang",
        lambda p: math.inf,
    ),
)


@dataclass(frozen=True, slots=True)
class Aftermath:
    """What follows a panic: the crash kernel starts, the machine reboots after ``wait_s`` seconds, or it
    stays there for ever (``wait_s`` is infinite), until a hardware watchdog, a BMC or a human resets it."""

    action: Action
    wait_s: float
    rule: str
    source: Source
    steps: tuple[Step, ...]
    writes_pstore: bool
    runs_notifiers: bool


def after_panic(
    settings: Settings, *, crash_kernel_loaded: bool, cause: Cause = "", has_cma: bool = False
) -> Aftermath:
    """What the machine does after a panic with these settings.

    ``cause``: the hardware errors that may override kernel.panic=0. ``has_cma``: part of the crash kernel's
    memory lies in CMA (``crashkernel=,cma``).
    """
    panic = Panic(settings, crash_kernel_loaded, cause, has_cma)
    steps: list[Step] = []
    pstore = notifiers = False
    for row in PANIC_ROWS:
        held = row.holds(panic)
        steps.append(Step(row.name, row.asks, held, row.says(panic), row.source))
        if held:
            pstore, notifiers = pstore or row.writes_pstore, notifiers or row.runs_notifiers
            if row.action is not None:
                return Aftermath(row.action, row.wait_s(panic), row.name, row.source, tuple(steps), pstore, notifiers)
    raise AssertionError("the last row always holds")
