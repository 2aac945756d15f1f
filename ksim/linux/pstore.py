"""pstore: whether the last words of a kernel survive in firmware or reserved memory.

Follows fs/pstore/platform.c, fs/pstore/ram.c, kernel/printk/printk.c and systemd-pstore.service(8).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ksim.source import Source

Backend = Literal["none", "efi", "ramoops", "erst"]
KMSG_BYTES = 10240
"""pstore.kmsg_bytes: so much of the end of the log is kept."""
RECORD_BYTES = {"efi": 1024, "ramoops": 4096, "erst": 8192}
"""What one record of a backend holds, in bytes: the log is split over several."""
_DUMP = Source("Linux", "kernel/printk/printk.c, kmsg_dump(); kernel/panic.c, panic()")


@dataclass(frozen=True, slots=True)
class Record:
    """What pstore has of one event: whether it is ``written``, bytes of log, whether it ``survives``, and why."""

    written: bool
    log_bytes: int
    survives: bool
    why: str
    source: Source

    @property
    def found_at_boot(self) -> str:
        """Where systemd-pstore moves it at the next boot; empty where there is nothing."""
        return "/var/lib/systemd/pstore/" if self.written and self.survives else ""


def record(
    event: Literal["oops", "panic", "shutdown"],
    *,
    backend: Backend,
    crash_kernel_jumps_first: bool = False,
    always_kmsg_dump: bool = False,
    power_lost: bool = False,
) -> Record:
    """The record of an event.

    ``crash_kernel_jumps_first``: a loaded crash kernel is entered before panic() dumps its log, which is so unless
    crash_kexec_post_notifiers is set. ``always_kmsg_dump``: printk.always_kmsg_dump=1, needed for shutdowns.
    """
    if backend == "none":
        return Record(False, 0, False, "no backend", _DUMP)
    if event == "panic" and crash_kernel_jumps_first:
        return Record(False, 0, False, "the crash kernel is entered first", _DUMP)
    if event == "shutdown" and not always_kmsg_dump:
        return Record(False, 0, False, "shutdowns are dumped only with printk.always_kmsg_dump=1", _DUMP)
    if backend == "ramoops" and power_lost:
        return Record(True, KMSG_BYTES, False, "reserved RAM does not outlive a loss of power", _DUMP)
    return Record(True, KMSG_BYTES, True, "written", _DUMP)


def records_needed(backend: Backend, log_bytes: int = KMSG_BYTES) -> int:
    """How many records of a backend hold that much of a log."""
    return 0 if backend == "none" else -(-log_bytes // RECORD_BYTES[backend])
