"""What a scenario may say: every key with its type, default, unit, range and source. A default is a ``Param``."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from ksim.linux.hw_watchdog import WatchdogDriver
from ksim.linux.platform import Hypervisor
from ksim.model.fields import (
    Bytes,
    BytesOrNone,
    BytesPerSecond,
    LawText,
    Number,
    PerSecond,
    Probability,
    Seconds,
    SecondsOrNone,
    Shares,
    Table,
    Whole,
    param,
    show_value,
)
from ksim.model.schema_micro import WorkloadName
from ksim.source import ENGINEERING, Source, assumed
from ksim.units import YEAR_S

# ---------------------------------------------------------------- sources used more than once

LANL = Source("LANL failure data LA-UR-05-7318", "recomputed; Schroeder, Gibson, DSN 2006")
GU_2003 = Source("Gu, Kalbarczyk, Iyer, Yang, DSN 2003", "severity of crashes")

# ---------------------------------------------------------------- tables

MAX_CPUS = 8192
"""As NR_CPUS of x86 Linux."""
MAX_HORIZON_S = 1e5 * YEAR_S
"""Beyond that a float of seconds is too coarse for the short phases."""


class Boot(Table):
    """Stages from reset to a service that answers. The bases replace most of these by measured lines."""

    firmware: LawText = param(
        "lognormal(median=360 s, sigma=0.6)", "s", "60 s", "1200 s",
        Source("nine written reports of server POST, 2 to 12.5 min", "median 360 s, lognormal sigma 0.60"),
        "POST: from reset to the boot loader",
    )  # fmt: skip
    loader: LawText = param("6 s", "s", "1 s", "30 s", ENGINEERING, "boot loader and its menu timeout")
    kernel: LawText = param("4 s", "s", "1 s", "60 s", ENGINEERING, "kernel, up to the initramfs")
    initrd: LawText = param("6 s", "s", "1 s", "60 s", ENGINEERING, "initramfs, up to the mounted root")
    userspace: LawText = param("25 s", "s", "5 s", "160 s", ENGINEERING, "systemd, up to its default target")
    application: LawText = param(
        "exponential(mean=30 s)", "s", "1 s", "1800 s",
        assumed("application start times are the user's own"), "from the default target to the first answer",
    )  # fmt: skip


class Host(Table):
    """The machine."""

    cpus: Whole = param(64, "1", "1", "896", ENGINEERING, "caps the threads of makedumpfile")
    memory: Bytes = param("256 GiB", "B", "1 GiB", "32 TiB", ENGINEERING, "RAM: size of a dump, crashkernel= ranges")
    boot: Boot = Boot()
    disk_write: BytesPerSecond = param(
        "500 MB/s",
        "B/s",
        "150 MB/s",
        "5 GB/s",
        assumed("sequential write of one SATA SSD"),
        "local dump target",
    )
    network: BytesPerSecond = param(
        "1150 MB/s", "B/s", "115 MB/s", "2900 MB/s", assumed("one 10 GbE link"), "dump target over nfs or ssh"
    )
    hypervisor: Hypervisor = param(
        "none", "", "", "", Source("Linux kernel/watchdog_perf.c, drivers/hv/hv_common.c"),
        "kvm: no perf NMI watchdog by default; hyperv: crash_kexec_post_notifiers is forced on",
    )  # fmt: skip
    dump_space: BytesOrNone = param(
        "none", "B", "1 GiB", "1 TiB", assumed("most hosts keep enough room in /var/crash"),
        "free space of the dump target; none: more than any dump needs",
    )  # fmt: skip
    watchdog_driver: WatchdogDriver = param(
        "iTCO_wdt", "", "", "", Source("Linux drivers/watchdog, drivers/char/ipmi"), "what the driver does at a panic"
    )
    watchdog: SecondsOrNone = param(
        "none", "s", "10 s", "900 s",
        Source("systemd-system.conf(5)", "RuntimeWatchdogSec is off by default"),
        "hardware watchdog: resets a dead kernel this long after it was last fed",
    )  # fmt: skip
    bmc: SecondsOrNone = param(
        "none", "s", "60 s", "3600 s", assumed("depends on the site's fencing or health checks"),
        "out-of-band monitoring: power-cycles a silent host after this time",
    )  # fmt: skip

    @model_validator(mode="after")
    def _possible(self) -> Host:
        if not 1 <= self.cpus <= MAX_CPUS:
            raise ValueError(f"cpus: expected 1 to {MAX_CPUS}, got {show_value(self.cpus)}")
        if not 2**26 <= self.memory <= 2**52:
            raise ValueError(f"memory: expected 64 MiB to 4096 TiB, got {self.memory / 2**20:.12g} MiB")
        for name in ("disk_write", "network"):
            if getattr(self, name) < 1000.0:
                raise ValueError(f"{name}: expected at least 1 kB/s, got {getattr(self, name):g} B/s")
        return self


class Pages(Shares):
    """What is in RAM at the crash, by makedumpfile's page classes."""

    zero: Probability = 0.0
    cache: Probability = 0.0
    private_cache: Probability = 0.0
    user: Probability = 0.0
    free: Probability = 0.0
    kernel: Probability = 0.0


PAGES = {"zero": 0.03, "cache": 0.25, "private_cache": 0.05, "user": 0.35, "free": 0.295, "kernel": 0.025}


ImpactName = Literal["", WorkloadName]


class Workload(Table):
    """What the host was doing, as far as a crash sees it."""

    impact: ImpactName = param(
        "", "", "", "", Source("experiment e14", "none: the defaults of these keys stand"),
        "a workload whose simulated crashes replace the defaults of pages, contexts of oopses, operations per second",
    )  # fmt: skip
    pages: Pages = param(
        PAGES, "1", "kernel 0.002", "kernel 0.10",
        assumed("kernel share between 1.67 % (RHEL 9 for Real Time docs, --mem-usage) and 'often under 10 %' "
                "(Red Hat KB, Predicting Vmcore Size); the other shares only matter below dump level 31"),
        "shares of RAM by page class",
    )  # fmt: skip
    at_risk: Seconds = param(
        "15 min", "s", "30 s", "1 d",
        assumed("the user's own: 30 s of dirty pages, or half the time between checkpoints"),
        "work of the whole host that a crash throws away",
    )  # fmt: skip
    processes: Whole = param(
        100, "1", "1", "10000", assumed("how finely the host's work is split"), "a killed task loses this part of it"
    )

    @model_validator(mode="after")
    def _possible(self) -> Workload:
        if not 1 <= self.processes <= 10**7:
            raise ValueError(f"processes: expected 1 to 10000000, got {show_value(self.processes)}")
        return self


class Kexec(Table):
    """Starting the production kernel without firmware, from a crashed or a capture kernel."""

    jump: LawText = param(
        "3 s", "s", "1 s", "8 s",
        Source("Segalini et al., IEEE Trans. Cloud Computing 2021; Arif 2023 (hugetlb init)", "kexec boots"),
        "purgatory and re-initialisation of devices",
    )  # fmt: skip
    success: Probability = param(
        0.95,
        "1",
        "0.8",
        "0.999",
        assumed("devices left in odd states; only anecdotes"),
        "P(the new kernel works)",
    )
    failed: LawText = param("120 s", "s", "10 s", "600 s", ENGINEERING, "time lost to a failed kexec")
    hangs: Probability = param(
        0.2, "1", "0", "1", assumed("fedora-coreos-tracker issue 2071: some hosts need a power cycle"),
        "P(a failed kexec hangs silently instead of resetting the machine)",
    )  # fmt: skip


MOST_FAILED_BOOTS = 0.99
Initramfs = Literal["dracut", "none"]


class Severity(Shares):
    """What the crash did to the root file system."""

    journal: Probability = 0.0
    fsck: Probability = 0.0
    reinstall: Probability = 0.0


class Recovery(Table):
    """How the host comes back."""

    strategy: str = param("auto", "", "", "", Source("the settings themselves"), "'auto': what these settings do")
    severity: Severity = param(
        {"journal": 0.94, "fsck": 0.05, "reinstall": 0.01}, "1", "fsck 0, reinstall 0", "fsck 0.2, reinstall 0.02",
        assumed("three classes as in Gu et al., DSN 2003; journalling made the worse two rarer, nobody measured it"),
        "shares of crashes after which the journal is replayed, fsck runs, the host is installed anew",
    )  # fmt: skip
    crashes_again: Probability = param(
        0.01, "1", "0", "0.5", assumed("what broke a kernel may still be there when the next one boots"),
        "P(the kernel that boots after a crash crashes again before the service answers)",
    )  # fmt: skip
    crashes_early: Probability = param(
        0.6, "1", "0", "1", assumed("drivers load before kdump.service does"),
        "share of those crashes that come before the crash kernel is loaded",
    )  # fmt: skip
    root_fails: Probability = param(
        0.001, "1", "0", "0.05", assumed("a root device that is late or gone; nobody counted"),
        "P(a boot does not find its root file system)",
    )  # fmt: skip
    initramfs: Initramfs = param(
        "dracut", "", "", "", Source("dracut(8)", "the initramfs of most distributions"),
        "dracut: an emergency shell without the root device; none: the kernel panics",
    )  # fmt: skip

    journal: LawText = param("1 s", "s", "0 s", "30 s", ENGINEERING, "journal replay at mount")
    fsck: LawText = param("300 s", "s", "60 s", "3600 s", GU_2003, "full check of the file systems")
    reinstall: LawText = param("3600 s", "s", "1200 s", "14400 s", GU_2003, "reformat and install")
    operator: LawText = param(
        "lognormal(median=33 min, sigma=1.2)",
        "s",
        "5 min",
        "24 h",
        LANL,
        "until a human resets a silent host",
    )

    @model_validator(mode="after")
    def _comes_back(self) -> Recovery:
        for name in ("crashes_again", "root_fails"):
            if getattr(self, name) > MOST_FAILED_BOOTS:
                raise ValueError(
                    f"{name}: expected at most {MOST_FAILED_BOOTS}, or the host would hardly ever come back"
                )
        return self


class Run(Table):
    """How much to simulate."""

    seed: Whole = Field(default=7, ge=0, lt=2**64)
    horizon: Seconds = Field(default=10 * YEAR_S, validate_default=False)
    replications: Whole = Field(default=2000, ge=1, le=10**9)
    confidence: Number = Field(default=0.95, ge=0.5, le=0.999999)

    @model_validator(mode="after")
    def _some_time(self) -> Run:
        if not 1e-6 <= self.horizon <= MAX_HORIZON_S:
            raise ValueError(
                f"horizon: expected a duration longer than zero (for example '10 y') and at most "
                f"{MAX_HORIZON_S / YEAR_S:g} y, got {self.horizon:g} s"
            )
        return self


class FaultSettings(Table):
    """Keys that every fault source has."""

    kind: str = Field(default="", description="which fault source this is, if the table has a name of its own")
    rate: PerSecond = param(
        "0 /y", "1/y", "0 /y", "10 /y", assumed("off unless a rate is given"), "strikes per year up"
    )
    shape: Number = param(
        1.0,
        "1",
        "0.7",
        "1",
        LANL,
        "Weibull shape of the time to failure; 1 is memoryless. Age restarts at each boot",
    )

    @model_validator(mode="after")
    def _shape_possible(self) -> FaultSettings:
        if not 0.2 <= self.shape <= 50.0:
            raise ValueError(f"shape: expected 0.2 to 50, got {self.shape}")
        return self
