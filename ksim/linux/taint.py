"""Taint: what the kernel remembers about itself until the next boot (a kexec boots a new, clean kernel).

Follows kernel/panic.c (taint_flags, print_tainted) and Documentation/admin-guide/tainted-kernels.rst. Hard
lockups, RCU stalls, hung tasks and OOM kills set no bit.
"""

from __future__ import annotations

import enum

from ksim.errors import LinuxError
from ksim.linux.vocabulary import Release
from ksim.source import Source

SOURCE = Source("Linux", "kernel/panic.c, taint_flags[]")
VERBOSE_SINCE: Release = (6, 12)
"""Since then a second part spells the bits out: ``Tainted: [D]=DIE, [W]=WARN``."""
FWCTL_SINCE: Release = (6, 15)


class Taint(enum.IntFlag):
    """The bits of /proc/sys/kernel/tainted."""

    PROPRIETARY_MODULE = 1 << 0
    FORCED_MODULE = 1 << 1
    CPU_OUT_OF_SPEC = 1 << 2
    FORCED_RMMOD = 1 << 3
    MACHINE_CHECK = 1 << 4
    BAD_PAGE = 1 << 5
    USER = 1 << 6
    DIE = 1 << 7
    OVERRIDDEN_ACPI_TABLE = 1 << 8
    WARN = 1 << 9
    CRAP = 1 << 10
    FIRMWARE_WORKAROUND = 1 << 11
    OOT_MODULE = 1 << 12
    UNSIGNED_MODULE = 1 << 13
    SOFTLOCKUP = 1 << 14
    LIVEPATCH = 1 << 15
    AUX = 1 << 16
    RANDSTRUCT = 1 << 17
    TEST = 1 << 18
    FWCTL = 1 << 19

    @classmethod
    def none(cls) -> Taint:
        return cls(0)


LETTERS = "PFSRMBUDAWCIOEL" + "KXTNJ"
"""One letter a bit, from bit 0; a clear bit 0 prints as G."""
ALL = (1 << len(LETTERS)) - 1


def letters(taint: Taint) -> str:
    """The letters of the bits that are set: "DW"."""
    return "".join(letter for bit, letter in enumerate(LETTERS) if taint >> bit & 1)


def tainted_text(taint: Taint, release: Release) -> str:
    """What stands behind the name of the task in a report: ``Not tainted``, or one column for each bit."""
    if not taint:
        return "Not tainted"
    known = LETTERS if release >= FWCTL_SINCE else LETTERS[:-1]
    first = "P" if taint & Taint.PROPRIETARY_MODULE else "G"
    columns = [letter if taint >> bit & 1 else " " for bit, letter in enumerate(known)][1:]
    return f"Tainted: {first}{''.join(columns)}"


def tainted_names(taint: Taint, release: Release) -> str | None:
    """The line ``Tainted: [D]=DIE, [W]=WARN`` of 6.12 and later; None where there is none."""
    if not taint or release < VERBOSE_SINCE:
        return None
    names = [f"[{letter}]={_name(bit)}" for bit, letter in enumerate(LETTERS) if taint >> bit & 1]
    return f"Tainted: {', '.join(names)}"


def _name(bit: int) -> str:
    return Taint(1 << bit).name or ""


def parse_taint(text: str) -> Taint:
    """Letters such as "DW", or the number that /proc/sys/kernel/tainted shows. Raises LinuxError."""
    if text.isascii() and text.isdigit() and int(text) <= ALL:
        return Taint(int(text))
    if text and all(letter in LETTERS for letter in text):
        return Taint(sum(1 << LETTERS.index(letter) for letter in set(text)))
    raise LinuxError(f"not a taint: '{text[:40]}' (letters of {LETTERS}, such as DW, or a number from 0 to {ALL})")
