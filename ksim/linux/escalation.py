"""Does this oops become a panic, and what follows a panic: the decision tables of the kernel.

Nothing else in ksim decides this. Both tables are walked from the top and the first row that holds decides,
so the order of the rows is the order in which x86-64 Linux asks. Pure functions, seconds, no randomness.

Not modelled: crash_kexec_post_notifiers (which would switch the early jump off), panic_on_warn and
warn_limit, die notifiers, recursive faults, an init with several threads.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from ksim.linux.sysctl import Settings
from ksim.linux.vocabulary import Context
from ksim.source import Source

# mca_cfg.panic_timeout in arch/x86/kernel/cpu/mce/core.c, used where kernel.panic is 0
MACHINE_CHECK_PANIC_S = 30


@dataclass(frozen=True, slots=True)
class Oops:
    """One oops and the state in which it strikes: everything that the rules ask for."""

    settings: Settings
    context: Context
    oops_count: int
    crash_kernel_loaded: bool
    signal: int


@dataclass(frozen=True, slots=True)
class Rule:
    """One row: ``holds`` for an oops or not; ``message`` of the panic, or None where the kernel prints
    none."""

    name: str
    holds: Callable[[Oops], bool]
    panics: bool
    early_kdump: bool
    message: Callable[[Oops], str] | None
    source: Source


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of an oops. ``panics``: this boot is over; ``early_kdump``: by a jump into the crash
    kernel from within the oops, which prints no ``Kernel panic`` line. ``message`` follows "Kernel panic -
    not syncing: ". ``rule`` is the stable name of the deciding row."""

    panics: bool
    early_kdump: bool
    message: str | None
    rule: str
    source: Source


def _kexec_should_crash(oops: Oops) -> bool:
    is_special = oops.context.in_interrupt or oops.context in (Context.IDLE, Context.INIT)
    return is_special or oops.settings.panic_on_oops != 0


def _is_over_limit(oops: Oops) -> bool:
    limit = oops.settings.oops_limit
    return limit != 0 and oops.oops_count + 1 >= limit


_OOPS_END = Source("Linux", "arch/x86/kernel/dumpstack.c, oops_end()")
_MAKE_TASK_DEAD = Source("Linux", "kernel/exit.c, make_task_dead()")

OOPS_RULES: tuple[Rule, ...] = (
    Rule(
        "early_crash_kexec",
        lambda oops: oops.crash_kernel_loaded and _kexec_should_crash(oops),
        panics=True,
        early_kdump=True,
        message=None,
        source=Source("Linux", "kernel/crash_core.c, kexec_should_crash(), called by oops_end()"),
    ),
    Rule(
        "in_interrupt",
        lambda oops: oops.context.in_interrupt,
        panics=True,
        early_kdump=False,
        message=lambda oops: "Fatal exception in interrupt",
        source=_OOPS_END,
    ),
    Rule(
        "panic_on_oops",
        lambda oops: oops.settings.panic_on_oops != 0,
        panics=True,
        early_kdump=False,
        message=lambda oops: "Fatal exception",
        source=_OOPS_END,
    ),
    Rule(
        "idle_task",
        lambda oops: oops.context is Context.IDLE,
        panics=True,
        early_kdump=False,
        message=lambda oops: "Attempted to kill the idle task!",
        source=_MAKE_TASK_DEAD,
    ),
    Rule(
        "oops_limit",
        _is_over_limit,
        panics=True,
        early_kdump=False,
        message=lambda oops: f"Oopsed too often (kernel.oops_limit is {oops.settings.oops_limit})",
        source=_MAKE_TASK_DEAD,
    ),
    Rule(
        "init",
        lambda oops: oops.context is Context.INIT,
        panics=True,
        early_kdump=False,
        message=lambda oops: f"Attempted to kill init! exitcode=0x{oops.signal:08x}",
        source=Source("Linux", "kernel/exit.c, do_exit()"),
    ),
    Rule(
        "task_killed",
        lambda oops: True,
        panics=False,
        early_kdump=False,
        message=None,
        source=_MAKE_TASK_DEAD,
    ),
)


def escalate(
    settings: Settings,
    context: Context,
    *,
    oops_count: int = 0,
    crash_kernel_loaded: bool = False,
    signal: int = 11,
) -> Decision:
    """What becomes of one oops (a BUG() is one too) after ``oops_count`` survived oopses in this boot.

    ``signal`` is the one that the kernel kills the task with: 11 for BUG() and general protection faults, 9
    for page faults; it shows in the message of a dying init.
    """
    oops = Oops(settings, context, oops_count, crash_kernel_loaded, signal)
    rule = next(rule for rule in OOPS_RULES if rule.holds(oops))
    message = rule.message(oops) if rule.message else None
    return Decision(rule.panics, rule.early_kdump, message, rule.name, rule.source)


Action = Literal["capture", "reboot", "hang"]


@dataclass(frozen=True, slots=True)
class Panic:
    """A panic and the state that decides what follows it."""

    settings: Settings
    crash_kernel_loaded: bool
    machine_check: bool


@dataclass(frozen=True, slots=True)
class AfterPanicRule:
    """One row: what happens after the panic if it ``holds``, and how many seconds Linux waits before."""

    name: str
    holds: Callable[[Panic], bool]
    action: Action
    wait_s: Callable[[Panic], float]
    source: Source


@dataclass(frozen=True, slots=True)
class Aftermath:
    """What follows a panic: the crash kernel starts, the machine reboots after ``wait_s`` seconds, or it
    stays there for ever (``wait_s`` is infinite), until a hardware watchdog, a BMC or a human resets it."""

    action: Action
    wait_s: float
    rule: str
    source: Source


_PANIC = Source("Linux", "kernel/panic.c, panic()")

PANIC_RULES: tuple[AfterPanicRule, ...] = (
    AfterPanicRule("crash_kexec", lambda panic: panic.crash_kernel_loaded, "capture", lambda panic: 0.0, _PANIC),
    AfterPanicRule(
        "machine_check_timeout",
        lambda panic: panic.machine_check and panic.settings.panic == 0,
        "reboot",
        lambda panic: float(MACHINE_CHECK_PANIC_S),
        Source("Linux", "arch/x86/kernel/cpu/mce/core.c, mce_panic()"),
    ),
    AfterPanicRule(
        "panic_timeout",
        lambda panic: panic.settings.panic > 0,
        "reboot",
        lambda panic: float(panic.settings.panic),
        _PANIC,
    ),
    AfterPanicRule("panic_at_once", lambda panic: panic.settings.panic < 0, "reboot", lambda panic: 0.0, _PANIC),
    AfterPanicRule("endless_loop", lambda panic: True, "hang", lambda panic: math.inf, _PANIC),
)


def after_panic(settings: Settings, *, crash_kernel_loaded: bool, machine_check: bool = False) -> Aftermath:
    """What the machine does after a panic with these settings; ``machine_check`` if the hardware caused
    it."""
    panic = Panic(settings, crash_kernel_loaded, machine_check)
    rule = next(rule for rule in PANIC_RULES if rule.holds(panic))
    return Aftermath(rule.action, rule.wait_s(panic), rule.name, rule.source)
