"""What the tools of a running host say about a boot that crashed: systemd-analyze, last -x, journalctl --list-boots.

A crash writes no record: it is inferred from two boots without a shutdown between them, and the capture boot is in
none of the lists. Follows systemd (analyze-time-data.c, journalctl-misc.c), util-linux last.c.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ksim.errors import LinuxError
from ksim.source import Source

_ANALYZE = Source("systemd", "src/analyze/analyze-time-data.c")
PHASES = ("firmware", "loader", "kernel", "initrd", "userspace")
LAST_SEES_CRASHES_SINCE = (2, 40)
"""util-linux release since which a crashed boot ends in "crash" (pull request 2383)."""


def timespan(seconds: float) -> str:
    """A duration as systemd prints it, to the millisecond: 0, 2s, 296ms, 2.584s, 1min 9.608s, 1h 2min 3.400s."""
    if not 0.0 <= seconds < 1e9:
        raise LinuxError(f"not a time that systemd prints: {seconds} s")
    total_ms = round(seconds * 1000)
    hours, rest = divmod(total_ms, 3_600_000)
    minutes, ms = divmod(rest, 60_000)
    parts = [f"{hours}h"] if hours else []
    parts += [f"{minutes}min"] if minutes else []
    if ms >= 1000:
        parts.append(f"{ms // 1000}.{ms % 1000:03d}s" if ms % 1000 else f"{ms // 1000}s")
    elif ms:
        parts.append(f"{ms}ms")
    return " ".join(parts) or "0"


def shown_phases(*, uefi: bool, loader_reports: bool, after_kexec: bool, initrd: bool = True) -> tuple[str, ...]:
    """Which phases ``systemd-analyze time`` shows.

    Firmware and loader need UEFI and a boot loader that leaves its times behind (or ACPI FPDT); plain GRUB and BIOS
    show neither, and after a kexec they are taken as missing.
    """
    known = uefi and loader_reports and not after_kexec
    return tuple(
        phase for phase in PHASES if (phase not in ("firmware", "loader") or known) and (phase != "initrd" or initrd)
    )


def analyze_line(phases_s: Mapping[str, float]) -> str:
    """``Startup finished in ...`` for the phases that are known, in their order; the blank at its end is systemd's."""
    unknown = [name for name in phases_s if name not in PHASES]
    if unknown or not phases_s:
        raise LinuxError(f"no phases of a boot: {', '.join(unknown) or 'none given'} (known: {', '.join(PHASES)})")
    shown = [f"{timespan(phases_s[name])} ({name})" for name in PHASES if name in phases_s]
    total = f"= {timespan(sum(phases_s.values()))} " if len(shown) > 1 else ""
    return f"Startup finished in {' + '.join(shown)} {total}"


@dataclass(frozen=True, slots=True)
class Trace:
    """What is left of one boot in the lists: wtmp, the journal, and the end that ``last -x`` prints."""

    in_wtmp: bool
    in_journal: bool
    shutdown_record: bool
    last_says: str
    source: Source


def trace_of_boot(*, crashed: bool, capture: bool = False, util_linux: tuple[int, int] = (2, 39)) -> Trace:
    """The trace of one boot. ``capture``: the boot of a RHEL capture kernel, whose initramfs keeps nothing."""
    source = Source("util-linux", "login-utils/last.c; systemd, tmpfiles and journald")
    if capture:
        return Trace(False, False, False, "", source)
    if not crashed:
        return Trace(True, True, True, "the time of the shutdown", source)
    says = "crash" if util_linux >= LAST_SEES_CRASHES_SINCE else "still running, or the next shutdown's time"
    return Trace(True, True, False, says, source)
