"""``crashkernel=``: what the text asks for, before memory is looked at. Sizes are bytes.

Linux never refuses to boot over a bad ``crashkernel=``: it prints one line and goes on without kdump. So nothing
here raises for a malformed value; the reason stands in ``why``.

Follows parse_crashkernel of kernel/crash_reserve.c (until 6.8 in kernel/crash_core.c), and before 6.7
reserve_crashkernel of arch/x86/kernel/setup.c, on x86-64.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from ksim.linux.cmdline import memparse
from ksim.linux.vocabulary import Release

MIB = 1 << 20
GIB = 1 << 30
_INFINITE = (1 << 64) - 1
_ROUND_UP = 128 * MIB  # firmware hides some memory, so the total is rounded up before ranges are looked at
ROUNDS_UP_SINCE: Release = (6, 0)
"""Patch of June 2022 ("round up the total memory size to 128M"); kernels of RHEL had it long before."""
GENERIC_SINCE: Release = (6, 7)
"""Since then the code is shared by all architectures: a malformed plain value no longer gives way to ``,high``, a
malformed ``,low`` spoils the whole request, ``,low`` means nothing to a plain value, and other lines are printed."""
CHECKS_SIZE_SINCE: Release = (6, 12)
"""Since then a size of all memory or more is refused without a word, before any search for room."""
CMA_SINCE: Release = (6, 17)
LOW_DEFAULT = 256 * MIB  # DEFAULT_CRASH_KERNEL_LOW_SIZE on x86, unless swiotlb is made larger than 248 MiB

Auto = Callable[[int], str]
"""What a distribution's kernel makes of ``crashkernel=auto`` with this much RAM (bytes): a value as below."""


@dataclass(frozen=True, slots=True)
class Request:
    """What the text asks for, before memory is looked at: sizes and offset in bytes.

    ``size`` is 0 if nothing is to be reserved. ``is_malformed`` is true if the parser gave up (-EINVAL); ``why``
    is one sentence, ``message`` what the parser prints (empty: nothing). ``low``: wanted below 4 GiB in case that
    ``size`` lies above. ``cma``: wanted in addition, in memory that user space may use until the crash.
    """

    size: int
    offset: int
    high: bool
    low: int
    text: str
    why: str
    is_malformed: bool = False
    cma: int = 0
    message: str = ""


def crashkernel_request(cmdline: str, ram_bytes: int, release: Release = (6, 12), auto: Auto | None = None) -> Request:
    """parse_crashkernel(): what the text asks for on a machine with ``ram_bytes``, wherever that may lie.

    The kernel searches the raw line for the substring ``crashkernel=`` and ends values at a blank, quotes or
    not. Kernels before 6.17 do not know ``,cma``: to them such a value is a plain one with an odd character.
    """
    kinds = ("high", "low", "cma") if release >= CMA_SINCE else ("high", "low")
    last = _last_of_each_kind(cmdline, kinds)
    plain, high, low, cma = (last.get(kind) for kind in ("plain", "high", "low", "cma"))
    nothing = Request(0, 0, False, 0, "", "")
    if plain is not None:
        text = auto(ram_bytes) if plain == "auto" and auto is not None else plain
        asked = _parse_ranges(text, ram_bytes, release) if ":" in text else _parse_simple(text)
        if release < GENERIC_SINCE and not asked.size and high is not None:
            said, asked = asked.message, _parse_high(high, low, release)
            asked = replace(asked, message=lines(said, asked.message))
        elif release < GENERIC_SINCE:
            asked = replace(asked, low=_low_before_generic(low))
        elif not asked.offset:
            asked = replace(asked, low=LOW_DEFAULT)
    elif high is not None:
        asked = _parse_high(high, low, release)
    elif low is not None:
        return replace(nothing, text=low, why=f"crashkernel={low} is ignored without a crashkernel=SIZE,high")
    elif cma is not None:
        return replace(nothing, text=cma, why=f"crashkernel={cma} only adds to another crashkernel=SIZE")
    else:
        return replace(nothing, why="no crashkernel= on the command line")
    if asked.is_malformed or not asked.size:
        return replace(asked, size=0, offset=0, high=False, low=0)
    if asked.size >= ram_bytes and release >= CHECKS_SIZE_SINCE:
        why = f"crashkernel={asked.text}: {mib(asked.size)} is not less than all memory"
        return replace(nothing, text=asked.text, why=why)
    # as in the kernel, nobody looks whether this one was malformed: the number before the odd character counts
    return replace(asked, cma=memparse(cma)[0] if cma is not None else 0)


def _last_of_each_kind(cmdline: str, suffixes: tuple[str, ...]) -> dict[str, str]:
    """get_last_crashkernel() for each suffix, and as "plain" for values without any of them."""
    last: dict[str, str] = {}
    for match in re.finditer(r"(?=crashkernel=([^ ]*))", cmdline.rstrip("\n")):
        kinds = [kind for kind in suffixes if match[1].endswith("," + kind)]
        last[kinds[0] if kinds else "plain"] = match[1]
    return last


def _parse_high(high: str, low: str | None, release: Release) -> Request:
    asked = _parse_suffix(high, ",high")
    if asked.is_malformed or not asked.size:
        return asked
    if release < GENERIC_SINCE:
        return replace(asked, high=True, low=_low_before_generic(low))
    low_part = _parse_suffix(low, ",low") if low is not None else None
    if low_part is not None and low_part.is_malformed:
        return low_part
    return replace(asked, high=True, low=LOW_DEFAULT if low_part is None else low_part.size)


def _low_before_generic(low: str | None) -> int:
    """reserve_crashkernel_low() of arch/x86: a missing or malformed value means the default."""
    found = _parse_suffix(low, ",low") if low is not None else None
    return LOW_DEFAULT if found is None or found.is_malformed else found.size


def _malformed(text: str, reason: str) -> Request:
    why = "auto is a RHEL 7/8 kernel patch, not upstream" if text == "auto" else reason
    said = f"crashkernel: {reason}"
    return Request(0, 0, False, 0, text, f"crashkernel={text}: {why}", is_malformed=True, message=said)


_ZERO = "crashkernel size resulted in zero bytes"


def _parse_simple(text: str) -> Request:
    size, at = memparse(text)
    if at == 0:
        return _malformed(text, "memory value expected")
    offset = 0
    if text[at : at + 1] == "@":
        offset, _ = memparse(text, at + 1)
    elif at < len(text):
        return _malformed(text, f"unrecognized char: {text[at]}")
    return Request(size, offset, False, 0, text, f"crashkernel={text} asks for {mib(size)}")


def _parse_suffix(text: str, suffix: str) -> Request:
    size, at = memparse(text)
    if at == 0:
        return _malformed(text, "memory value expected")
    if text[at:] != suffix:
        return _malformed(text, f"unrecognized char: {text[at]}")
    return Request(size, 0, False, 0, text, f"crashkernel={text} asks for {mib(size)}")


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
            why = f"crashkernel={text}: no range holds {mib(ram)} of memory"
            return Request(0, 0, False, 0, text, why, message=_ZERO)
        at += 1
    if not size:
        why = f"crashkernel={text} asks for nothing at {mib(ram)} of memory"
        return Request(0, 0, False, 0, text, why, message=_ZERO)
    offset = 0
    mark = text.find("@", at)
    if mark >= 0:
        offset, after = memparse(text, mark + 1)
        if after == mark + 1:
            return _malformed(text, "Memory value expected after '@'")
    return Request(size, offset, False, 0, text, f"crashkernel={text} asks for {mib(size)} at {mib(ram)} of memory")


def lines(*said: str) -> str:
    """Console lines in one text, without the empty ones."""
    return "\n".join(line for line in said if line)


def mib(size: int) -> str:
    """For people: bytes in MiB."""
    return f"{size / MIB:g} MiB"
