"""How long a failing disk keeps its readers waiting before anybody hears of it: timeouts, retries, resets.

The block layer never panics. A command times out, is aborted and tried again; where that fails the error handler
freezes the whole host adapter and climbs a ladder of resets; at its end the device is offline and every I/O fails
with EIO at once. What the file system makes of that is ``ksim.linux.file_system``'s to say.

Follows drivers/scsi/sd.h, drivers/scsi/scsi_error.c, drivers/scsi/scsi_lib.c, drivers/nvme/host/{core,pci}.c and
drivers/ata/libata-eh.c.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from ksim.source import Source

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
        Source("Linux", "drivers/nvme/host/pci.c, nvme_timeout()"),
    ),
}
ATA_RESET_TRIES_S = (10.0, 10.0, 35.0, 5.0)
"""Hard resets of an ATA link before it is given up."""


@dataclass(frozen=True, slots=True)
class Failure:
    """The way of one command that never succeeds: seconds until its reader gets EIO, tries, and who waits meanwhile."""

    eio_after_s: float
    tries: int
    host_frozen_s: float
    panics: bool


def command_fails(kind: Kind = "scsi", *, aborts_work: bool = True, resets_work: bool = False) -> Failure:
    """A command that the disk never answers.

    Where aborting works, SCSI tries again up to 5 times, capped at (5 + 1) x 30 s over all. Where it does not, the
    error handler takes over after the first timeout: the ladder is climbed until a reset helps (``resets_work``) or
    the device is offline.
    """
    disk = DISKS[kind]
    if aborts_work and kind == "scsi":
        tries = disk.retries + 1
        return Failure(tries * disk.timeout_s, tries, 0.0, False)
    rungs = disk.ladder[:2] if resets_work else disk.ladder
    climbed = sum(rung.lasts_s for rung in rungs)
    frozen = sum(rung.lasts_s for rung in rungs if rung.scope == "host")
    return Failure(disk.timeout_s + climbed, 1, frozen, False)
