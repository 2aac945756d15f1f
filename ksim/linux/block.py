"""How long a failing disk keeps its readers waiting before anybody hears of it: timeouts, retries, resets.

The block layer never panics. A command times out, is aborted and tried again; where that fails the error handler
freezes the whole host adapter and climbs a ladder of resets; at its end the device is offline and every I/O fails
with EIO at once. ``after_eio`` says what a file system makes of that.

Follows drivers/scsi/sd.h, drivers/scsi/scsi_error.c, drivers/scsi/scsi_lib.c, drivers/nvme/host/{core,pci}.c and
drivers/ata/libata-eh.c.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from ksim.errors import LinuxError, nearest
from ksim.source import Param, Source, assumed

Kind = Literal["scsi", "nvme"]


@dataclass(frozen=True, slots=True)
class Rung:
    """One step of the error handler: what it does, and the seconds that it takes before the next one."""

    name: str
    lasts_s: float
    scope: Literal["command", "device", "host"]


@dataclass(frozen=True, slots=True)
class Disk:
    """Rules of one kind of disk. ``timeout_s`` of one command, ``retries`` after the first try, and the ladder."""

    timeout_s: float
    retries: int
    ladder: tuple[Rung, ...]
    source: Source


_EH_TIMEOUT_S = 10.0  # each rung is verified by TEST UNIT READY
_SETTLE_S = 10.0  # bus and host reset
DISKS: Mapping[Kind, Disk] = {
    "scsi": Disk(
        30.0,
        5,
        (
            Rung("abort", 0.01, "command"),
            Rung("device reset", _EH_TIMEOUT_S, "host"),
            Rung("target reset", _EH_TIMEOUT_S, "host"),
            Rung("bus reset", _EH_TIMEOUT_S + _SETTLE_S, "host"),
            Rung("host reset", _EH_TIMEOUT_S + _SETTLE_S, "host"),
            Rung("offline", 0.0, "device"),
        ),
        Source("Linux", "drivers/scsi/sd.h, drivers/scsi/scsi_error.c"),
    ),
    "nvme": Disk(
        30.0,
        5,
        (
            Rung("abort", 30.0, "command"),
            Rung("controller reset", 0.0, "host"),
            Rung("controller removed", 0.0, "device"),
        ),
        Source("Linux", "drivers/nvme/host/core.c, nvme_max_retries; pci.c, nvme_timeout()"),
    ),
}
RESET_S = Param(
    0.5, "s", "0.5 s", "10 s", assumed("NVMe disables, enables and identifies again; CAP.TO is in units of 500 ms"),
    "a reset at the least",
)  # fmt: skip
ATA_RESET_TRIES_S = (10.0, 10.0, 35.0, 5.0)
"""Hard resets of an ATA link before it is given up."""


ABORT_WORKS_S = 0.01
"""An abort that works: SCSI asks for it after HZ/100 (drivers/scsi/scsi_error.c); NVMe's comes back at once."""


def abort_s(kind: Kind, *, works: bool) -> float:
    """Seconds from the timeout of a command to its second try, or to the first reset where the abort fails.

    NVMe sets the timer of the command once more and resets the controller when that has run out, too.
    """
    return ABORT_WORKS_S if works else DISKS[kind].ladder[0].lasts_s


def reset_rungs_s(kind: Kind) -> tuple[float, ...]:
    """Seconds that each reset of the ladder takes, from the first to the last before the device is gone."""
    return tuple(max(rung.lasts_s, float(RESET_S.value)) for rung in DISKS[kind].ladder[1:-1])


@dataclass(frozen=True, slots=True)
class Failure:
    """The way of one command that the disk did not answer.

    ``waits_s``: how long its reader sleeps in state D; ``eio_after_s``: until it gets EIO, infinite where a reset
    brings the disk back and the next try is answered. ``host_frozen_s``: how long every disk of the adapter stands
    still.
    """

    waits_s: float
    eio_after_s: float
    tries: int
    host_frozen_s: float


def command_fails(
    kind: Kind = "scsi", *, aborts_work: bool = True, resets_work: bool = False, timeout_s: float | None = None
) -> Failure:
    """A command that the disk does not answer. ``timeout_s``: /sys/block/X/device/timeout, if it was changed.

    Where aborting works, it is tried again up to 5 times: (5 + 1) x 30 s until EIO. Where it does not, the error
    handler takes over after the first timeout: the first reset helps (``resets_work``), or the ladder is climbed to
    its end and the device is gone.
    """
    disk = DISKS[kind]
    timeout = disk.timeout_s if timeout_s is None else timeout_s
    if not 0.0 < timeout < math.inf:
        raise LinuxError(f"a command times out after more than 0 s, not {timeout} s")
    if aborts_work:
        tries = disk.retries + 1
        return Failure(tries * timeout, tries * timeout, tries, 0.0)
    rungs = disk.ladder[:2] if resets_work else disk.ladder
    waits = timeout + sum(rung.lasts_s for rung in rungs)
    frozen = sum(rung.lasts_s for rung in rungs if rung.scope == "host")
    return Failure(waits, math.inf if resets_work else waits, 1 + resets_work, frozen)


@dataclass(frozen=True, slots=True)
class AfterEio:
    """What a file system does with an I/O error: the event of ``ksim.linux.events`` that decides, if there is one."""

    says: str
    event: str
    source: Source


_EXT4_DOC = Source("Linux", "Documentation/admin-guide/ext4.rst")
_XFS = Source("Linux", "fs/xfs/xfs_sysfs.c, xfs_error_cfg")
AFTER_EIO: Mapping[tuple[str, str], AfterEio] = {
    ("ext4", "data"): AfterEio("Buffer I/O error; fsync() fails, the file system goes on", "", _EXT4_DOC),
    ("ext4", "metadata"): AfterEio(
        "what errors= says", "ext4_error", Source("Linux", "fs/ext4/super.c, ext4_handle_error()")
    ),
    ("ext4", "journal"): AfterEio(
        "the journal is aborted: read-only, whatever errors= says, or a panic",
        "ext4_abort",
        Source("Linux", "fs/jbd2/commit.c; fs/ext4/super.c, __ext4_abort()"),
    ),
    ("xfs", "log"): AfterEio(
        "the file system shuts down at once", "xfs_shutdown", Source("Linux", "fs/xfs/xfs_fsops.c")
    ),
    ("xfs", "metadata"): AfterEio("the write is tried again for ever", "xfs_metadata_write", _XFS),
    ("xfs", "metadata, device gone"): AfterEio("ENODEV is final: the file system shuts down", "xfs_shutdown", _XFS),
}
"""By file system and what could not be written."""


def after_eio(file_system: str, what: str) -> AfterEio:
    """What becomes of a write that failed for good. Raises LinuxError for a pair that the table does not know."""
    found = AFTER_EIO.get((file_system, what))
    if found is None:
        known = [f"{fs}: {name}" for fs, name in AFTER_EIO]
        asked = f"{file_system[:40]}: {what[:40]}"
        raise LinuxError(f"unknown write '{asked}'{nearest(asked, known)} (known: {'; '.join(known)})")
    return found
