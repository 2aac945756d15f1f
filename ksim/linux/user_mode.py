"""What user space does to itself: a signal, never an oops; only the death of pid 1 panics.

Follows arch/x86/kernel/traps.c, kernel/exit.c and systemd-system.conf(5).
"""

from __future__ import annotations

from collections.abc import Mapping

from ksim.linux.rules import End, Row, always
from ksim.source import Source

_EXIT = Source("Linux", "kernel/exit.c, do_exit()")

USER_ROWS: Mapping[str, tuple[Row, ...]] = {
    "user_fault": (
        Row(
            "systemd_freezes",
            "is this pid 1, and is it systemd?",
            lambda s: s.is_init and s.task.init == "systemd",
            "its crash handler logs and freezes (CrashAction=freeze): the kernel lives without a working init",
            Source("systemd", "systemd-system.conf(5), CrashAction="),
            End.FROZEN,
        ),
        Row(
            "init_dies",
            "is this pid 1?",
            lambda s: s.is_init,
            "panic",
            _EXIT,
            End.PANIC,
            lambda s: f"Attempted to kill init! exitcode=0x{s.event.signal:08x}",
        ),
        Row(
            "signal",
            "is the kernel still here?",
            always,
            "the process gets SIGSEGV; no oops, no taint",
            Source("Linux", "arch/x86/kernel/traps.c"),
            End.KILLED,
            kills=lambda s: f"the process {s.task.comm}[{s.task.pid}], with signal {s.event.signal}",
        ),
    ),
    "copy_fault": (
        Row(
            "fixup",
            "does the exception table have a fixup?",
            always,
            "the system call returns -EFAULT; no oops",
            Source("Linux", "arch/x86/mm/extable.c, fixup_exception()"),
            End.GOES_ON,
        ),
    ),
    "init_exit": (
        Row(
            "init_returns",
            "is the kernel still here?",
            always,
            "panic",
            _EXIT,
            End.PANIC,
            lambda s: f"Attempted to kill init! exitcode=0x{s.exit_code << 8:08x}",
        ),
    ),
}
