"""How much memory the running kernel really sets aside for ``crashkernel=``, where, and what it prints.

Follows reserve_crashkernel_generic and reserve_crashkernel_cma of kernel/crash_reserve.c (until 6.8 in
kernel/crash_core.c), and before 6.7 reserve_crashkernel of arch/x86/kernel/setup.c, on x86-64. The grammar is in
``crashkernel_grammar``.
"""

from __future__ import annotations

from dataclasses import dataclass

from ksim.linux.crashkernel_grammar import GENERIC_SINCE, lines, mib
from ksim.linux.crashkernel_grammar import GIB as GIB
from ksim.linux.crashkernel_grammar import MIB as MIB
from ksim.linux.crashkernel_grammar import Auto as Auto
from ksim.linux.crashkernel_grammar import Request as Request
from ksim.linux.crashkernel_grammar import crashkernel_request as crashkernel_request
from ksim.linux.vocabulary import Release
from ksim.source import Param, assumed
from ksim.units import size_bytes

_ALIGN = 16 * MIB  # CRASH_ALIGN
_OFFSET_ALIGN_BEFORE_GENERIC = MIB
_PAGE = 4096
_CMA_RANGES = 4  # CRASHKERNEL_CMA_RANGES_MAX

BELOW_4GIB = Param(
    "3 GiB",
    "B",
    "2 GiB",
    "3.5 GiB",
    assumed("memory below the 4 GiB line of an x86-64 machine; the rest of the line is the PCI window"),
    "decides whether a reservation fits below 4 GiB or needs memory above it",
)


@dataclass(frozen=True, slots=True)
class Reservation:
    """What the running kernel has set aside: ``bytes`` for the capture kernel, ``low_bytes`` more below 4 GiB,
    ``cma_bytes`` more that user space may use.

    ``base`` is the address (on a machine with nothing else in the way), ``text`` the deciding ``crashkernel=``
    value (empty if there is none), ``why`` one sentence for people, ``message`` the lines that the kernel prints.
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
    ``SIZE,cma`` in addition (6.17). The last one of each kind counts and a plain one beats ``,high``. Placement
    (as of 5.2; kernels before look for a plain size below 896 MiB only): a plain size goes below 4 GiB, else
    above it with 256 MiB more below; ``,high`` the other way round; ``@OFFSET`` exactly there or not at all.
    Memory below 4 GiB is ``BELOW_4GIB``; what the kernel itself occupies is not subtracted. ``auto``: only
    kernels of RHEL 7 and 8 know that word.
    """
    return _place(crashkernel_request(cmdline, ram_bytes, release, auto), ram_bytes, release)


def _place(asked: Request, ram_bytes: int, release: Release) -> Reservation:
    """reserve_crashkernel_generic(), on a machine whose memory is free but for its size."""
    if not asked.size:
        return Reservation(0, 0, asked.text, asked.why, message=asked.message)
    below = min(ram_bytes, size_bytes(BELOW_4GIB.value))
    above = ram_bytes - below
    is_all = asked.size >= ram_bytes  # the kernel itself is somewhere
    if asked.offset:
        end = asked.offset + asked.size
        align = _ALIGN if release >= GENERIC_SINCE else _OFFSET_ALIGN_BEFORE_GENERIC
        if asked.offset % align:
            return _refused(asked, f"{mib(asked.offset)} is no multiple of {mib(align)}", _IN_USE)
        if is_all or not (end <= below or (asked.offset >= 4 * GIB and end <= 4 * GIB + above)):
            return _refused(asked, f"there is no memory at {mib(asked.offset)}", _IN_USE)
        base, where = asked.offset, f"at {mib(asked.offset)}"
    elif not is_all and asked.size <= above and (asked.high or asked.size > below):
        base, where = (4 * GIB + above - asked.size) // _ALIGN * _ALIGN, "above 4 GiB"
    elif not is_all and asked.size <= below:
        base, where = (below - asked.size) // _ALIGN * _ALIGN, "below 4 GiB"
    elif release >= GENERIC_SINCE:
        said = f"cannot allocate crashkernel (size:0x{asked.size:x})"
        return _refused(asked, f"cannot allocate {mib(asked.size)}", said)
    else:
        said = "crashkernel reservation failed - No suitable area found."
        return _refused(asked, f"cannot allocate {mib(asked.size)}", said)
    low = asked.low if base >= 4 * GIB else 0
    if low > below:
        said = f"Cannot reserve {low // MIB}MB crashkernel low memory, please try smaller size."
        if release >= GENERIC_SINCE:
            said = f"cannot allocate crashkernel low memory (size:0x{low:x})."
        return _refused(asked, f"cannot allocate {mib(low)} below 4 GiB, which go with it", said)
    taken = (0, asked.size + low) if base < 4 * GIB else (asked.size, low)
    cma, ranges = _cma(asked.cma, [above - taken[0], below - taken[1]])
    why = f"{asked.why}, {where}" + (f", and {mib(cma)} in CMA" if asked.cma else "")
    said = _said(asked, base, low, (below - low) // _ALIGN * _ALIGN, ram_bytes, below, release)
    if asked.cma > cma:
        said += (
            f"\ncrashkernel CMA reservation failed: {asked.cma // MIB} MB requested, {cma // MIB} MB reserved in "
            f"{ranges} ranges"
        )
    elif asked.cma:
        said += f"\ncrashkernel CMA reserved: {cma // MIB} MB in {ranges} ranges"
    return Reservation(asked.size, low, asked.text, why, base, cma, said)


_IN_USE = "crashkernel reservation failed - memory is in use."


def _refused(asked: Request, reason: str, said: str) -> Reservation:
    return Reservation(0, 0, asked.text, f"crashkernel={asked.text}: {reason}", message=lines(asked.message, said))


def _cma(wanted: int, free: list[int]) -> tuple[int, int]:
    """reserve_crashkernel_cma(): (bytes, ranges) that blocks of ``free`` bytes yield, halving until it fits."""
    request = -(-wanted // _PAGE) * _PAGE
    got = ranges = 0
    while wanted > got and ranges < _CMA_RANGES:
        room = next((i for i, size in enumerate(free) if size >= request), None)
        if room is not None:
            free[room] -= request
            got += request
            ranges += 1
        elif request <= _PAGE:
            break
        else:
            request = -(-request // 2 // _PAGE) * _PAGE
    return got, ranges


def _said(asked: Request, base: int, low: int, low_base: int, ram_bytes: int, below: int, release: Release) -> str:
    """The boot lines of a reservation that succeeded."""
    if release >= GENERIC_SINCE:
        low_line = f"crashkernel low memory reserved: 0x{low_base:08x} - 0x{low_base + low:08x} ({low // MIB} MB)"
        line = f"crashkernel reserved: 0x{base:016x} - 0x{base + asked.size:016x} ({asked.size // MIB} MB)"
    else:
        low_line = (
            f"Reserving {low // MIB}MB of low memory at {low_base // MIB}MB for crashkernel "
            f"(System low RAM: {below // MIB}MB)"
        )
        line = (
            f"Reserving {asked.size // MIB}MB of memory at {base // MIB}MB for crashkernel "
            f"(System RAM: {ram_bytes // MIB}MB)"
        )
    return lines(asked.message, low_line if low else "", line)
