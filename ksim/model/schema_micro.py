"""What a scenario may say about the kernel at work: ``[micro]``, one boot of the host at the scale of system calls."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from ksim.errors import LinuxError
from ksim.linux import netdev
from ksim.linux.block import Kind
from ksim.model.fields import (
    Bytes,
    BytesPerSecond,
    LawText,
    Number,
    Probability,
    Seconds,
    Table,
    Whole,
    param,
    param_of,
)
from ksim.source import Param, Source, assumed

MAX_SPAN_S = 7 * 86400.0
"""A week of system calls is hours of work; years belong to the lifecycle graph."""
WorkloadName = Literal["web-server", "database", "file-server", "build-farm", "idle"]

_NEVER = assumed("nobody counted; swept from 1e-12 to 1e-6 in experiment e06")


def shared(table: type[Table], name: str) -> Param:
    """The Param of a key, for a table of the macro model that has the same key: one default, in one place."""
    found = param_of(table, name)
    assert found is not None
    return found


class MicroDisk(Table):
    """The block device and its driver."""

    kind: Kind = param("nvme", "", "", "", Source("Linux", "drivers/nvme, drivers/scsi"), "nvme or scsi")
    channels: Whole = param(8, "1", "1", "64", assumed("parallel units of one SSD; 1 for a hard disk"), "at once")
    read: LawText = param(
        "lognormal(median=90 us, sigma=0.3)", "s", "50 us", "15 ms",
        assumed("NVMe 50 to 150 us, SATA SSD 100 to 500 us, hard disk 4 to 15 ms"), "one read without its data",
    )  # fmt: skip
    bandwidth: BytesPerSecond = param(
        "550 MB/s", "B/s", "150 MB/s", "7 GB/s", assumed("sequential read of one SATA SSD; NVMe 3 to 7 GB/s"),
        "data of reads; host.disk_write is that of writes",
    )  # fmt: skip
    write: LawText = param(
        "lognormal(median=30 us, sigma=0.5)", "s", "10 us", "15 ms", assumed("into the write cache of an SSD"),
        "one write without its data",
    )  # fmt: skip
    flush: LawText = param(
        "lognormal(median=400 us, sigma=0.6)", "s", "20 us", "20 ms",
        assumed("an SSD without power-loss protection; with it 20 us"), "one cache flush",
    )  # fmt: skip
    timeout: Seconds = param(
        "30 s", "s", "10 s", "180 s", Source("Linux", "drivers/scsi/sd.h SD_TIMEOUT, nvme_core.io_timeout"),
        "until a command without an answer is aborted",
    )  # fmt: skip
    lost: Probability = param(1e-10, "1", "1e-12", "1e-6", _NEVER, "P(a command is never answered)")
    medium: Probability = param(1e-11, "1", "1e-12", "1e-6", _NEVER, "P(a read meets a bad sector: EIO)")
    write_error: Probability = param(1e-12, "1", "1e-13", "1e-6", _NEVER, "P(a write ends with EIO)")
    flush_error: Probability = param(1e-12, "1", "1e-13", "1e-6", _NEVER, "P(a cache flush ends with EIO)")
    abort_works: Probability = param(0.5, "1", "0", "1", assumed("nobody counted"), "P(an abort gets the command back)")
    reset_works: Probability = param(0.9, "1", "0", "1", assumed("nobody counted"), "P(one rung of the ladder helps)")
    file_system: Literal["ext4", "xfs"] = param("ext4", "", "", "", Source("Linux", "fs/ext4, fs/xfs"), "on the disk")
    errors: Literal["continue", "remount-ro", "panic"] = param(
        "remount-ro", "", "", "", Source("installers of distributions", "errors=remount-ro on the root file system"),
        "mount option of ext4",
    )  # fmt: skip

    @model_validator(mode="after")
    def _possible(self) -> MicroDisk:
        if not 1 <= self.channels <= 65536:
            raise ValueError(f"channels: expected 1 to 65536, got {self.channels}")
        if self.bandwidth < 1e3:
            raise ValueError(f"bandwidth: expected at least 1 kB/s, got {self.bandwidth:g} B/s")
        if self.timeout <= 0.0:
            raise ValueError("timeout: expected a duration longer than zero")
        return self


class MicroNic(Table):
    """The network card and its driver."""

    driver: str = param("ixgbe", "", "", "", Source("Linux", "drivers/net"), "rings and TX watchdog of this driver")
    hang: Probability = param(1e-11, "1", "1e-12", "1e-6", _NEVER, "P(a packet that is sent hangs the TX queue)")
    flap: Probability = param(1e-11, "1", "1e-12", "1e-6", _NEVER, "P(the carrier is lost as a packet arrives)")
    carrier: LawText = param(
        "uniform(1 s, 5 s)", "s", "1 s", "1 min", assumed("autonegotiation, or a switch port that comes back"),
        "carrier lost to carrier back",
    )  # fmt: skip
    drop: Probability = param(1e-6, "1", "1e-9", "1e-2", assumed("a clean data centre"), "P(a packet gets lost)")
    reset: LawText = param(
        "uniform(1 s, 10 s)", "s", "1 s", "10 s", assumed("link down to link up after a reset of the card"), "reset"
    )

    @model_validator(mode="after")
    def _known(self) -> MicroNic:
        try:
            netdev.driver(self.driver)
        except LinuxError as error:
            raise ValueError(f"driver: {error}") from None
        return self


class MicroMemory(Table):
    """What the pager needs to know beyond ``host.memory``."""

    swap: Bytes = param("0 B", "B", "0 B", "64 GiB", assumed("servers in a fleet often have none"), "swap space")
    leak: Number = param(
        0.0, "MiB/s", "0", "1000", assumed("off unless a rate is given"),
        "a process that grows by so much, for ever: the OOM killer ends it, or the machine",
    )  # fmt: skip
    zero: Probability = param(
        0.1, "1", "0", "0.3", assumed("share of anonymous pages that are all zero"), "left out by dump level 1"
    )

    @model_validator(mode="after")
    def _possible(self) -> MicroMemory:
        if not 0.0 <= self.leak <= 1e6:
            raise ValueError(f"leak: expected 0 to 1000000 MiB/s, got {self.leak}")
        return self


class Micro(Table):
    """One boot of the host at work."""

    workload: WorkloadName = param("web-server", "", "", "", assumed("the user's own"), "what the host does")
    load: Number = param(1.0, "1", "0", "10", assumed("the user's own"), "calls of clients, times the workload's rate")
    backup: Number = param(
        0.0, "MiB/s", "0", "1000", assumed("off unless a rate is given"),
        "a task at nice 19 that reads the largest file and packs it, up to so fast",
    )  # fmt: skip
    span: Seconds = param("60 s", "s", "1 s", "1 d", assumed("long enough for most of what can be seen"), "time played")
    disk: MicroDisk = MicroDisk()
    nic: MicroNic = MicroNic()
    memory: MicroMemory = MicroMemory()

    @model_validator(mode="after")
    def _possible(self) -> Micro:
        if not 0.0 <= self.load <= 1000.0:
            raise ValueError(f"load: expected 0 to 1000, got {self.load}")
        if not 0.0 <= self.backup <= 1e6:
            raise ValueError(f"backup: expected 0 to 1000000 MiB/s, got {self.backup}")
        if not 0.0 < self.span <= MAX_SPAN_S:
            raise ValueError(f"span: expected more than 0 s and at most {MAX_SPAN_S:g} s, got {self.span:g} s")
        return self
