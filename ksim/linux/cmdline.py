"""The kernel command line: its words, and the memory that ``crashkernel=`` reserves.

Linux never refuses to boot over a bad ``crashkernel=``: it prints one line and goes on without kdump. So
nothing here raises for a malformed value; the reason stands in ``why``. Sizes are bytes.

Follows lib/cmdline.c (next_arg, memparse) and kernel/crash_reserve.c (parse_crashkernel,
reserve_crashkernel_generic) of Linux 6.9 and later on x86-64.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from ksim.errors import LinuxError
from ksim.source import Param, assumed
from ksim.units import size_bytes

MIB = 1 << 20
GIB = 1 << 30
_INFINITE = (1 << 64) - 1
_ROUND_UP = 128 * MIB  # parse_crashkernel_mem: firmware hides some memory, so the total is rounded up
LOW_DEFAULT = 256 * MIB  # DEFAULT_CRASH_KERNEL_LOW_SIZE on x86, unless swiotlb is made larger than 248 MiB

BELOW_4GIB = Param(
    "3 GiB",
    "B",
    "2 GiB",
    "3.5 GiB",
    assumed("memory below the 4 GiB line of an x86-64 machine; the rest of the line is the PCI window"),
    "decides whether a reservation fits below 4 GiB or needs memory above it",
)

_NUMBER = re.compile(r"0[xX]([0-9a-fA-F]+)|0([0-7]*)|([1-9][0-9]*)")
_SHIFT = {"k": 10, "m": 20, "g": 30, "t": 40, "p": 50, "e": 60}


@dataclass(frozen=True, slots=True)
class Request:
    """What the text asks for, before memory is looked at: sizes and offset in bytes.

    ``size`` is 0 if nothing is to be reserved. ``is_malformed`` is true if the parser gave up (-EINVAL with a
    message); ``why`` is one sentence, for malformed texts with the message of the kernel.
    """

    size: int
    offset: int
    high: bool
    low: int
    text: str
    why: str
    is_malformed: bool = False


@dataclass(frozen=True, slots=True)
class Reservation:
    """What the running kernel has set aside: ``bytes`` for the capture kernel, ``low_bytes`` more below 4
    GiB.

    ``text`` is the deciding ``crashkernel=`` value (empty if there is none), ``why`` one sentence for people.
    """

    bytes: int
    low_bytes: int
    text: str
    why: str


def boot_parameters(cmdline: str) -> list[tuple[str, str | None]]:
    """The words of a command line as (name, value); value None where there is no ``=``.

    As next_arg(): double quotes keep blanks together and cannot be escaped; quotes around a value or a whole
    word fall away. Words after ``--`` belong to init and are left out (parse_args).
    """
    words: list[tuple[str, str | None]] = []
    at, end = 0, len(cmdline)
    while True:
        while at < end and cmdline[at].isspace():
            at += 1
        if at == end:
            return words
        quoted = in_quote = cmdline[at] == '"'
        at += quoted
        start = at
        while at < end and (in_quote or not cmdline[at].isspace()):
            in_quote ^= cmdline[at] == '"'
            at += 1
        word = cmdline[start:at]
        if quoted and word.endswith('"'):
            word = word[:-1]
        equals = word.find("=")
        if equals <= 0:  # as in the kernel, a leading '=' separates nothing
            if word == "--":
                return words
            words.append((word, None))
            continue
        value = word[equals + 1 :]
        if value.startswith('"'):
            value = value[1:].removesuffix('"')
        words.append((word[:equals], value))


def leading_int(text: str, at: int = 0) -> tuple[int, int]:
    """simple_strtoull() with base 0: (number at ``at``, position behind it); (0, at) if there is none.

    "0x" starts hexadecimal and "0" octal numbers; what follows the number is not looked at.
    """
    match = _NUMBER.match(text, at)
    if match is None:
        return 0, at
    hexadecimal, octal, decimal = match.groups()
    if hexadecimal is not None:
        number = int(hexadecimal, 16)
    else:
        number = int(decimal) if decimal else int(octal or "0", 8)
    return number & _INFINITE, match.end()


def memparse(text: str, at: int = 0) -> tuple[int, int]:
    """memparse(): a number with an optional K, M, G, T, P or E, and the position behind it.

    A suffix alone counts as a number, 0: that is why Linux accepts ``crashkernel=128M@M``.
    """
    number, at = leading_int(text, at)
    shift = _SHIFT.get(text[at : at + 1].lower())
    if shift is None:
        return number, at
    return (number << shift) & _INFINITE, at + 1


def crashkernel(cmdline: str, ram_bytes: int) -> Reservation:
    """How much memory a kernel with this command line on a machine with ``ram_bytes`` keeps for the capture
    kernel.

    Grammar: ``SIZE[@OFFSET]``, ``START-[END]:SIZE[,...][@OFFSET]``, ``SIZE,high`` with ``SIZE,low``. The last
    one of each kind counts and a plain one beats ``,high``. Placement: a plain size goes below 4 GiB, else
    above it with 256 MiB more below; ``,high`` the other way round; ``@OFFSET`` exactly there or not at all.
    Memory below 4 GiB is ``BELOW_4GIB``; what the kernel itself occupies is not subtracted, and the 16 MiB
    alignment that Linux 6.9 wants of an OFFSET is not checked.

    Raises LinuxError for ``,cma`` (Linux 6.17), which is not modelled yet.
    """
    return _place(crashkernel_request(cmdline, ram_bytes), ram_bytes)


def crashkernel_request(cmdline: str, ram_bytes: int) -> Request:
    """parse_crashkernel(): what the text asks for on a machine with ``ram_bytes``, wherever that may lie.

    The kernel searches the raw line for the substring ``crashkernel=`` and ends values at a blank, quotes or
    not. Raises LinuxError for ``,cma``.
    """
    plain, high, low, cma = _last_of_each_kind(cmdline)
    if cma is not None:
        raise LinuxError(f"crashkernel={cma}: reservations in CMA (Linux 6.17) are not modelled yet")
    nothing = Request(0, 0, False, 0, "", "")
    if plain is not None:
        asked = _parse_ranges(plain, ram_bytes) if ":" in plain else _parse_simple(plain)
    elif high is not None:
        asked = _parse_suffix(high, ",high")
        if asked.size and low is not None:
            low_part = _parse_suffix(low, ",low")
            asked = low_part if low_part.is_malformed else replace(asked, high=True, low=low_part.size)
        elif asked.size:
            asked = replace(asked, high=True, low=LOW_DEFAULT)
    elif low is not None:
        return replace(nothing, text=low, why=f"crashkernel={low} is ignored without a crashkernel=SIZE,high")
    else:
        return replace(nothing, why="no crashkernel= on the command line")
    if asked.is_malformed:
        return replace(asked, size=0, high=False, low=0)
    if asked.size >= ram_bytes:
        why = asked.why if not asked.size else f"{_mib(asked.size)} is not less than all memory"
        return replace(nothing, text=asked.text, why=why)
    return asked


def _last_of_each_kind(cmdline: str) -> tuple[str | None, str | None, str | None, str | None]:
    """get_last_crashkernel() for plain, ,high, ,low and ,cma."""
    last: dict[str, str] = {}
    for match in re.finditer(r"(?=crashkernel=([^ ]*))", cmdline.rstrip("\n")):
        kinds = [kind for kind in ("high", "low", "cma") if match[1].endswith("," + kind)]
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


def _parse_ranges(text: str, ram_bytes: int) -> Request:
    """parse_crashkernel_mem(): entries are checked up to the first match; what follows it is never read."""
    ram = -(-ram_bytes // _ROUND_UP) * _ROUND_UP
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


def _place(asked: Request, ram_bytes: int) -> Reservation:
    """reserve_crashkernel_generic(), on a machine whose memory is free but for its size."""
    if not asked.size:
        return Reservation(0, 0, asked.text, asked.why)
    below = min(ram_bytes, size_bytes(BELOW_4GIB.value))
    above = ram_bytes - below
    if asked.offset:
        end = asked.offset + asked.size
        if end <= below or (asked.offset >= 4 * GIB and end <= 4 * GIB + above):
            return Reservation(asked.size, 0, asked.text, f"{asked.why}, at {_mib(asked.offset)}")
        why = f"crashkernel={asked.text}: there is no memory at {_mib(asked.offset)}"
        return Reservation(0, 0, asked.text, why)
    low_part = asked.low if asked.high else LOW_DEFAULT
    fits_above = asked.size <= above and low_part <= below
    if (asked.high and asked.size <= above) or asked.size > below:
        if fits_above:
            return Reservation(asked.size, low_part, asked.text, f"{asked.why}, above 4 GiB")
    else:
        return Reservation(asked.size, 0, asked.text, f"{asked.why}, below 4 GiB")
    return Reservation(0, 0, asked.text, f"crashkernel={asked.text}: cannot allocate {_mib(asked.size)}")


def _mib(size: int) -> str:
    return f"{size / MIB:g} MiB"
