"""What the kernel prints, in the words of its release: ``report`` for one decision, ``prefixed`` for its clock.

``look``        the machine, and the lines that all reports share
``exceptions``  oopses and warnings
``reports``     hangs, memory, hardware, file systems
``devices``     disks, network cards, allocations: one function per line
``endings``     how a log ends: jump, countdown, end marker
``capture``     the capture kernel, and the reset line
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from ksim.errors import LinuxError
from ksim.linux.console import endings, exceptions, reports
from ksim.linux.console.look import END_TRACE, Look
from ksim.linux.escalation import Decision
from ksim.linux.rules import Strike
from ksim.linux.taint import Taint

__all__ = ["Look", "Style", "prefixed", "report"]

Style = Literal["none", "console", "caller", "raw", "journal", "kmsg"]


def report(decision: Decision, look: Look) -> tuple[str, ...]:
    """The kernel log of one event, without prefixes; empty where Linux prints nothing."""
    return (*_body(decision, look), *endings.panic(decision, look))


def _body(decision: Decision, look: Look) -> list[str]:
    strike = decision.strike
    family = strike.event.family
    if family == "oops" and (strike.event.name != "list_corruption" or strike.settings.bug_on_data_corruption):
        return _oops(decision, look)
    if strike.event.name == "user_taint":
        return []
    if family in ("warning", "oops"):
        return exceptions.warning(strike, look, is_cut=decision.rule in ("panic_on_warn", "warn_limit"))
    if family == "detector":
        return reports.hang(decision, look)
    if family in ("nmi", "machine_check"):
        return reports.hardware(decision, look)
    if family == "memory":
        return reports.memory(decision, look)
    if family == "file_system":
        return reports.file_system(decision, look)
    if family == "panic":
        return ["sysrq: Trigger a crash"] if strike.event.name == "sysrq_c" else []
    return _user(strike, look)


def _oops(decision: Decision, look: Look) -> list[str]:
    """The body; where the crash kernel does not cut it off, end trace, summary and the notes of a dying task."""
    strike = decision.strike
    body = exceptions.oops(strike, look)
    if decision.early_kdump:
        return body
    locks = [] if strike.taint & Taint.DIE else ["Disabling lock debugging due to kernel taint"]
    if decision.rule == "panic_on_taint":
        return body + locks
    return [*body, END_TRACE, *exceptions.oops_summary(strike, look), *decision.prints[1:]]


def _user(strike: Strike, look: Look) -> list[str]:
    if strike.event.name != "user_fault":
        return []
    comm, where = strike.task.comm, "ip 0000556b1c2d3e4f sp 00007ffd1a2b3c40 error 4"
    return [f"{comm}[{strike.task.pid}]: segfault at 8 {where} in {comm}[556b1c2d3000+1000]"]


def prefixed(
    lines: Iterable[str], style: Style = "console", start_s: float = 12.345678, *, task: int = 0, stamp: str = ""
) -> tuple[str, ...]:
    """The lines as one of the ways to read them shows them, 1 microsecond apart.

    ``console``: ``[   12.345678] text``; ``caller``: with CONFIG_PRINTK_CALLER, for thread ``task`` (0: CPU 0);
    ``raw``: with the syslog level; ``journal``: ``stamp host kernel: text``, for which ``stamp`` is needed;
    ``kmsg``: a record of /dev/kmsg.
    """
    if style == "journal" and not stamp:
        raise LinuxError("the journal's format needs a time stamp and a host, such as 'Jan 15 10:00:00 host'")
    return tuple(_prefix(style, start_s + at * 1e-6, at, task, stamp) + line for at, line in enumerate(lines))


def _prefix(style: Style, seconds: float, at: int, task: int, stamp: str) -> str:
    clock = f"[{seconds:12.6f}] "
    match style:
        case "console":
            return clock
        case "caller":
            return f"{clock[:-1]}[{f'T{task}' if task else 'C0':>6}] "
        case "raw":
            return f"<4>{clock}"
        case "journal":
            return f"{stamp} kernel: "
        case "kmsg":
            return f"4,{300 + at},{round(seconds * 1e6)},-;"
    return ""
