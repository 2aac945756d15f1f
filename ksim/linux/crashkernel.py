"""``crashkernel=``: what it asks for, and how much memory the running kernel really sets aside.

Linux never refuses to boot over a bad ``crashkernel=``: it prints one line and goes on without kdump. So
nothing here raises for a malformed value; the reason stands in ``why``. Sizes are bytes.

Follows kernel/crash_reserve.c (parse_crashkernel, reserve_crashkernel_generic) of Linux 6.9 and later,
kernel/crash_core.c and arch/x86/kernel/setup.c before, on x86-64.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from ksim.linux.cmdline import memparse
from ksim.linux.vocabulary import Release
from ksim.source import Param, assumed
from ksim.units import size_bytes

MIB = 1 << 20
GIB = 1 << 30
_INFINITE = (1 << 64) - 1
_ROUND_UP = 128 * MIB  # firmware hides some memory, so the total is rounded up before ranges are looked at
ROUNDS_UP_SINCE: Release = (6, 6)
GENERIC_SINCE: Release = (6, 9)
"""Since then the code is shared by all architectures, and prints other messages."""
CMA_SINCE: Release = (6, 17)
LOW_DEFAULT = 256 * MIB  # DEFAULT_CRASH_KERNEL_LOW_SIZE on x86, unless swiotlb is made larger than 248 MiB
_ALIGN = 16 * MIB  # CRASH_ALIGN

BELOW_4GIB = Param(
    "3 GiB",
    "B",
    "2 GiB",
    "3.5 GiB",
    assumed("memory below the 4 GiB line of an x86-64 machine; the rest of the line is the PCI window"),
    "decides whether a reservation fits below 4 GiB or needs memory above it",
)

Auto = Callable[[int], str]
"""What a distribution's kernel makes of ``crashkernel=auto`` with this much RAM (bytes): a value as below."""


@dataclass(frozen=True, slots=True)
class Request:
    """What the text asks for, before memory is looked at: sizes and offset in bytes.

    ``size`` is 0 if nothing is to be reserved. ``is_malformed`` is true if the parser gave up (-EINVAL with a
    message); ``why`` is one sentence, for malformed texts with the message of the kernel. ``cma``: asked for in
    addition, in memory that user space may use until the crash.
    """

    size: int
    offset: int
    high: bool
    low: int
    text: str
    why: str
    is_malformed: bool = False
    cma: int = 0


@dataclass(frozen=True, slots=True)
class Reservation:
    """What the running kernel has set aside: ``bytes`` for the capture kernel, ``low_bytes`` more below 4 GiB,
    ``cma_bytes`` more that user space may use.

    ``base`` is the address (on a machine with nothing else in the way), ``text`` the deciding ``crashkernel=``
    value (empty if there is none), ``why`` one sentence for people, ``message`` what the kernel prints at boot.
    """

    bytes: int
    low_bytes: int
    text: str
    why: str
    base: int = 0
    cma_bytes: int = 0
    message: str = ""

    @property
    def given_up_bytes(self) -> int:
        """What the running system can never use."""
        return self.bytes + self.low_bytes


def crashkernel(cmdline: str, ram_bytes: int, release: Release = (6, 12), auto: Auto | None = None) -> Reservation:
    """How much memory a kernel with this command line on a machine with ``ram_bytes`` keeps for the capture
    kernel.

    Grammar: ``SIZE[@OFFSET]``, ``START-[END]:SIZE[,...][@OFFSET]``, ``SIZE,high`` with ``SIZE,low``, and
    ``SIZE,cma`` in addition (6.17). The last one of each kind counts and a plain one beats ``,high``. Placement:
    a plain size goes below 4 GiB, else above it with 256 MiB more below; ``,high`` the other way round;
    ``@OFFSET`` exactly there or not at all. Memory below 4 GiB is ``BELOW_4GIB``; what the kernel itself
    occupies is not subtracted, and the 16 MiB alignment that Linux 6.9 wants of an OFFSET is not checked.
    ``auto``: only kernels of RHEL 7 and 8 know that word.
    """
    return _place(crashkernel_request(cmdline, ram_bytes, release, auto), ram_bytes, release)


def crashkernel_request(cmdline: str, ram_bytes: int, release: Release = (6, 12), auto: Auto | None = None) -> Request:
    """parse_crashkernel(): what the text asks for on a machine with ``ram_bytes``, wherever that may lie.

    The kernel searches the raw line for the substring ``crashkernel=`` and ends values at a blank, quotes or
    not. Kernels before 6.17 do not know ``,cma``: to them such a value is a plain one with an odd character.
    """
    plain, high, low, cma = _last_of_each_kind(
        cmdline, ("high", "low", "cma") if release >= CMA_SINCE else ("high", "low")
    )
    nothing = Request(0, 0, False, 0, "", "")
    if plain is not None:
        text = auto(ram_bytes) if plain == "auto" and auto is not None else plain
        asked = _parse_ranges(text, ram_bytes, release) if ":" in text else _parse_simple(text)
    elif high is not None:
        asked = _parse_suffix(high, ",high")
        if asked.size and low is not None:
            low_part = _parse_suffix(low, ",low")
            asked = low_part if low_part.is_malformed else replace(asked, high=True, low=low_part.size)
        elif asked.size:
            asked = replace(asked, high=True, low=LOW_DEFAULT)
    elif low is not None:
        return replace(nothing, text=low, why=f"crashkernel={low} is ignored without a crashkernel=SIZE,high")
    elif cma is not None:
        return replace(nothing, text=cma, why=f"crashkernel={cma} only adds to another crashkernel=SIZE")
    else:
        return replace(nothing, why="no crashkernel= on the command line")
    if asked.is_malformed:
        return replace(asked, size=0, high=False, low=0)
    if asked.size >= ram_bytes:
        why = asked.why if not asked.size else f"{_mib(asked.size)} is not less than all memory"
        return replace(nothing, text=asked.text, why=why)
    if cma is not None and asked.size:
        asked = replace(asked, cma=_parse_suffix(cma, ",cma").size)
    return asked


def _last_of_each_kind(
    cmdline: str, suffixes: tuple[str, ...]
) -> tuple[str | None, str | None, str | None, str | None]:
    """get_last_crashkernel() for plain, ,high, ,low and ,cma."""
    last: dict[str, str] = {}
    for match in re.finditer(r"(?=crashkernel=([^ ]*))", cmdline.rstrip("\n")):
        kinds = [kind for kind in suffixes if match[1].endswith("," + kind)]
        last[kinds[0] if kinds else "plain"] = match[1]
    return last.get("plain"), last.get("high"), last.get("low"), last.get("cma")


def _malformed(text: str, reason: str) -> Request:
    if text == "auto":
        reason = "auto is a RHEL 7/8 kernel patch, not upstream"
    return Request(0, 0, False, 0, text, f"crashkernel={text}: {reason}", is_malformed=True)


def _parse_simple(text: str) -> Request:
    size, at = memparse(text)
    if at == 0:
        return _malformed(text, "memory value expected")
    offset = 0
    if text[at : at + 1] == "@":
        offset, _ = memparse(text, at + 1)
    elif at < len(text):
        return _malformed(text, f"unrecognized char: {text[at]}")
    return Request(size, offset, False, 0, text, f"crashkernel={text} asks for {_mib(size)}")


def _parse_suffix(text: str, suffix: str) -> Request:
    size, at = memparse(text)
    if at == 0:
        return _malformed(text, "memory value expected")
    if text[at:] != suffix:
        return _malformed(text, f"unrecognized char: {text[at]}")
    return Request(size, 0, False, 0, text, f"crashkernel={text} asks for {_mib(size)}")


def _parse_ranges(text: str, ram_bytes: int, release: Release) -> Request:
    """parse_crashkernel_mem(): entries are checked up to the first match; what follows it is never read."""
    ram = -(-ram_bytes // _ROUND_UP) * _ROUND_UP if release >= ROUNDS_UP_SINCE else ram_bytes
    at = 0
    while True:
        start, after = memparse(text, at)
        if after == at:
            return _malformed(text, "Memory value expected")
        at = after
        if text[at : at + 1] != "-":
            return _malformed(text, "'-' expected")
        at += 1
        end = _INFINITE
        if text[at : at + 1] != ":":
            end, after = memparse(text, at)
            if after == at:
                return _malformed(text, "Memory value expected")
            at = after
            if end <= start:
                return _malformed(text, "end <= start")
        if text[at : at + 1] != ":":
            return _malformed(text, "':' expected")
        at += 1
        size, after = memparse(text, at)
        if after == at:
            return _malformed(text, "Memory value expected")
        at = after
        if size >= ram:
            return _malformed(text, "invalid size")
        if start <= ram < end:
            break
        if text[at : at + 1] != ",":
            return Request(0, 0, False, 0, text, f"crashkernel={text}: no range holds {_mib(ram)} of memory")
        at += 1
    offset = 0
    mark = text.find("@", at)
    if size and mark >= 0:
        offset, after = memparse(text, mark + 1)
        if after == mark + 1:
            return _malformed(text, "Memory value expected after '@'")
    return Request(size, offset, False, 0, text, f"crashkernel={text} asks for {_mib(size)} at {_mib(ram)} of memory")


def _place(asked: Request, ram_bytes: int, release: Release) -> Reservation:
    """reserve_crashkernel_generic(), on a machine whose memory is free but for its size."""
    if not asked.size:
        said = f"crashkernel: {asked.why.partition(': ')[2]}" if asked.is_malformed and asked.text != "auto" else ""
        return Reservation(0, 0, asked.text, asked.why, message=said)
    below = min(ram_bytes, size_bytes(BELOW_4GIB.value))
    above = ram_bytes - below
    if asked.offset:
        end = asked.offset + asked.size
        if end <= below or (asked.offset >= 4 * GIB and end <= 4 * GIB + above):
            why = f"{asked.why}, at {_mib(asked.offset)}"
            return _done(asked, asked.offset, 0, why, ram_bytes, release)
        why = f"crashkernel={asked.text}: there is no memory at {_mib(asked.offset)}"
        return Reservation(0, 0, asked.text, why, message="crashkernel reservation failed - memory is in use.")
    low_part = asked.low if asked.high else LOW_DEFAULT
    fits_above = asked.size <= above and low_part <= below
    if (asked.high and asked.size <= above) or asked.size > below:
        if fits_above:
            base = (4 * GIB + above - asked.size) // _ALIGN * _ALIGN
            return _done(asked, base, low_part, f"{asked.why}, above 4 GiB", ram_bytes, release)
    else:
        base = (below - asked.size) // _ALIGN * _ALIGN
        return _done(asked, base, 0, f"{asked.why}, below 4 GiB", ram_bytes, release)
    why = f"crashkernel={asked.text}: cannot allocate {_mib(asked.size)}"
    if release >= GENERIC_SINCE:
        return Reservation(0, 0, asked.text, why, message=f"cannot allocate crashkernel (size:0x{asked.size:x})")
    return Reservation(0, 0, asked.text, why, message="crashkernel reservation failed - No suitable area found.")


def _done(asked: Request, base: int, low: int, why: str, ram_bytes: int, release: Release) -> Reservation:
    if asked.cma:
        why = f"{why}, and {_mib(asked.cma)} in CMA"
    if release >= GENERIC_SINCE:
        said = f"crashkernel reserved: 0x{base:016x} - 0x{base + asked.size:016x} ({asked.size // MIB} MB)"
    else:
        said = (
            f"Reserving {asked.size // MIB}MB of memory at {base // MIB}MB for crashkernel "
            f"(System RAM: {ram_bytes // MIB}MB)"
        )
    return Reservation(asked.size, low, asked.text, why, base, asked.cma, said)


def _mib(size: int) -> str:
    return f"{size / MIB:g} MiB"
