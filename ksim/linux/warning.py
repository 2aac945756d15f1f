"""Warnings: a report, and the kernel goes on, unless a setting makes it panic.

Follows kernel/panic.c (__warn, check_panic_on_warn), kernel/sched/core.c, lib/ubsan.c, mm/kasan/report.c and
kernel/sysctl.c (proc_taint). The panics come before the taint bit is set.
"""

from __future__ import annotations

from ksim.linux.rules import NO_TAINT, End, Row, Strike, always
from ksim.linux.taint import Taint
from ksim.source import Source

_CHECK = Source("Linux", "kernel/panic.c, check_panic_on_warn()")
ORIGINS = {"scheduling_while_atomic": "scheduling while atomic", "ubsan": "UBSAN", "kasan": "KASAN"}
"""The word in front of the message; ``kernel`` for all others. These do not go through __warn(): no end trace."""
_TAINTS = {"ubsan": NO_TAINT, "kasan": Taint.BAD_PAGE}


def _origin(s: Strike) -> str:
    return ORIGINS.get(s.event.name, "kernel")


WARNING_ROWS: tuple[Row, ...] = (
    Row(
        "panic_on_warn",
        "is kernel.panic_on_warn set?",
        lambda s: s.settings.panic_on_warn != 0,
        "panic",
        _CHECK,
        End.PANIC,
        lambda s: f"{_origin(s)}: panic_on_warn set ...",
    ),
    Row(
        "warn_limit",
        "is this the kernel.warn_limit-th warning of this boot?",
        lambda s: s.settings.warn_limit != 0 and s.warns + 1 >= s.settings.warn_limit,
        "panic",
        _CHECK,
        End.PANIC,
        lambda s: f"{_origin(s)}: system warned too often (kernel.warn_limit is {s.settings.warn_limit})",
        counts="warn",
    ),
    Row(
        "taint_warn",
        "is the kernel still here?",
        always,
        "taint, end trace; execution goes on and nobody dies",
        Source("Linux", "kernel/panic.c, __warn()"),
        End.GOES_ON,
        prints=lambda s: "" if s.event.name in ORIGINS else "---[ end trace 0000000000000000 ]---",
        taints=lambda s: _TAINTS.get(s.event.name, Taint.WARN),
    ),
)
USER_TAINT_ROWS: tuple[Row, ...] = (
    Row(
        "nousertaint",
        "does panic_on_taint=...,nousertaint forbid these bits to user space?",
        lambda s: bool(s.settings.panic_on_taint_nousertaint and s.writes & s.settings.panic_on_taint),
        "the write fails: Invalid argument",
        Source("Linux", "kernel/sysctl.c, proc_taint()"),
        End.GOES_ON,
    ),
    Row(
        "tainted_by_user",
        "is the kernel still here?",
        always,
        "the bits are set",
        Source("Linux", "kernel/sysctl.c, proc_taint()"),
        End.GOES_ON,
        taints=lambda s: s.writes,
    ),
)
