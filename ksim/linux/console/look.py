"""What a log looks like on one machine: its release, CPU and names; and the pieces that all reports share.

Registers, addresses and code bytes are fixed, plausible texts: no rule looks at them. Follows lib/dump_stack.c,
arch/x86/kernel/dumpstack.c and arch/x86/kernel/process_64.c.
"""

from __future__ import annotations

from dataclasses import dataclass

from ksim.linux.rules import Strike
from ksim.linux.sysctl import parse_release
from ksim.linux.taint import Taint, tainted_names, tainted_text
from ksim.linux.vocabulary import Release

OOPS_PREFIX_SINCE: Release = (6, 10)
"""Since then every x86 header begins with ``Oops: ``, so that a page fault prints ``Oops: Oops:``."""
UBSAN_MARKERS_SINCE: Release = (6, 7)
"""Before, UBSAN framed its reports with lines of 80 equals signs: 6.6.43 still does, 6.8 has the markers."""
UID_SINCE: Release = (6, 11)
PREEMPT_IN_CPU_LINE_SINCE: Release = (6, 15)
WARNING_REORDERED_SINCE: Release = (6, 18)
CUT_HERE = "------------[ cut here ]------------"
END_TRACE = "---[ end trace 0000000000000000 ]---"


@dataclass(frozen=True, slots=True)
class Look:
    """One machine's console. ``release`` as uname -r prints it; ``preempt``: none, voluntary, full, lazy."""

    release: str = "6.12.0"
    cpu: int = 3
    cpus: int = 8
    hz: int = 250
    preempt: str = "voluntary"
    hardware: str = "QEMU Standard PC (Q35 + ICH9, 2009), BIOS 1.16.3 04/01/2014"
    function: str = "do_work+0x1f3/0x200"
    module: str = "test"
    file: str = "drivers/test/test.c:123"

    @property
    def since(self) -> Release:
        return parse_release(self.release)

    @property
    def site(self) -> str:
        """Function and module, as %pS prints them."""
        return f"{self.function} [{self.module}]" if self.module else self.function


def cpu_lines(strike: Strike, look: Look, taint: Taint) -> list[str]:
    """``CPU: ... Comm: ...``, the taint by name (6.12), and the hardware name."""
    since = look.since
    uid = " UID: 0" if since >= UID_SINCE else ""
    model = f" PREEMPT({look.preempt})" if since >= PREEMPT_IN_CPU_LINE_SINCE else ""
    task = f"PID: {strike.task.pid} Comm: {strike.task.comm}"
    lines = [f"CPU: {look.cpu}{uid} {task} {tainted_text(taint, since)} {look.release} #1{model}"]
    names = tainted_names(taint, since)
    return [*lines, *([names] if names else []), f"Hardware name: {look.hardware}"]


def flags(look: Look) -> str:
    """``PREEMPT SMP NOPTI`` behind an oops header; since 6.15 without the first word."""
    word = "PREEMPT " if look.since < PREEMPT_IN_CPU_LINE_SINCE else ""
    return f"{word}SMP NOPTI"


def registers(look: Look, code: str, cr2: str = "00007f5c3a2b1000") -> list[str]:
    """RIP to the control registers."""
    return [
        *summary(look, code),
        "FS:  00007f5c3a1c0740(0000) GS:ffff9b2e7dcc0000(0000) knlGS:0000000000000000",
        "CS:  0010 DS: 0000 ES: 0000 CR0: 0000000080050033",
        f"CR2: {cr2} CR3: 0000000104a3e000 CR4: 0000000000750ef0",
        "PKRU: 55555554",
    ]


def summary(look: Look, code: str) -> list[str]:
    """RIP, code and general registers: printed once in the body and once more at the end of an oops."""
    return [
        f"RIP: 0010:{look.site}",
        f"Code: 48 89 e5 53 48 89 fb e8 10 2f 1d 00 48 8b 43 18 {code}",
        "RSP: 0018:ffffb1c8c0bb7d58 EFLAGS: 00010246",
        "RAX: 0000000000000000 RBX: ffff9b2d04c21800 RCX: 0000000000000000",
        "RDX: 0000000000000001 RSI: ffff9b2d0a1f3c40 RDI: ffff9b2d04c21800",
        "RBP: ffffb1c8c0bb7d68 R08: 0000000000000000 R09: ffffb1c8c0bb7b10",
        "R10: 0000000000000003 R11: ffffffffb1adfc48 R12: ffff9b2d04c21800",
        "R13: ffff9b2d01a7c0c0 R14: 0000000000000000 R15: 0000000000000000",
    ]


def call_trace(look: Look, interrupt: str = "") -> list[str]:
    """The stack; ``interrupt`` is IRQ or NMI where one lies on top of the task."""
    top = [f" <{interrupt}>", f" {look.function}", f" </{interrupt}>"] if interrupt else []
    task = [" <TASK>", f" {look.function}", " process_one_work+0x177/0x330", " ret_from_fork+0x34/0x50", " </TASK>"]
    return ["Call Trace:", *top, *task]


def modules(look: Look) -> str:
    return (
        f"Modules linked in: {look.module} ext4 crc16 mbcache jbd2" if look.module else "Modules linked in: ext4 jbd2"
    )
