"""What a scenario may say: every key with its type, default, unit, range and source. A default is a ``Param``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Literal

from pydantic import Field, model_validator

from ksim.errors import LinuxError, nearest
from ksim.linux.cmdline import crashkernel_request
from ksim.linux.core_collector import parse_core_collector
from ksim.linux.distro import PROFILES
from ksim.linux.makedumpfile import SCAN
from ksim.linux.sysctl import parse_release, settings
from ksim.model.fields import (
    Bytes,
    BytesPerSecond,
    LawText,
    Number,
    PerSecond,
    Probability,
    Seconds,
    SecondsOrNone,
    Shares,
    SysctlValue,
    Table,
    Whole,
    field_of,
    param,
    show_value,
)
from ksim.source import Source, assumed
from ksim.units import YEAR_S

# ---------------------------------------------------------------- sources used more than once

LINUX_SCHED = Source("Linux Documentation/admin-guide/lockup-watchdogs.rst")
KDUMP_UTILS = Source("rhkdump/kdump-utils", "gen-kdump-sysconfig.sh, kdump.conf.5")
LANL = Source("LANL failure data LA-UR-05-7318", "recomputed; Schroeder, Gibson, DSN 2006")
GU_2003 = Source("Gu, Kalbarczyk, Iyer, Yang, DSN 2003", "severity of crashes")
ENGINEERING = assumed("general engineering value, no single measurement")

# ---------------------------------------------------------------- tables

MAX_CPUS = 8192
"""As NR_CPUS of x86 Linux."""
MAX_CMDLINE = 2048
"""COMMAND_LINE_SIZE of x86; Linux cuts off the rest."""
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


class Workload(Table):
    """What the host was doing, as far as a crash sees it."""

    pages: Pages = param(
        PAGES, "1", "kernel 0.002", "kernel 0.10",
        assumed("kernel share between 1.67 % (RHEL 9 for Real Time docs, --mem-usage) and 'often under 10 %' "
                "(Red Hat KB, Predicting Vmcore Size); the other shares only matter below dump level 31"),
        "shares of RAM by page class",
    )  # fmt: skip


class Linux(Table):
    """Real settings under their real names."""

    release: str = param(
        "6.12", "", "5.14", "7.3", Source("Linux kernel releases"),
        "kernel version: oops_limit exists since 6.1, softlockup_panic counts since 7.0",
    )  # fmt: skip
    distro: str = param("rhel9", "", "", "", Source("distribution packages"), "defaults of crashkernel= and sysctls")
    cmdline: str = param("", "", "", "", Source("Linux Documentation/admin-guide/kernel-parameters.txt"))
    sysctl: dict[str, SysctlValue] = param({}, "", "", "", Source("Linux Documentation/admin-guide/sysctl/kernel.rst"))

    @model_validator(mode="before")
    @classmethod
    def _flat(cls, data: Any) -> Any:
        """``sysctl.kernel.panic = 10`` written with dots is the same as with quotes."""
        if isinstance(data, Mapping) and isinstance(data.get("sysctl"), Mapping):
            flat: dict[str, Any] = {}
            for key, value in data["sysctl"].items():
                if isinstance(value, Mapping):
                    flat |= {f"{key}.{inner}": v for inner, v in value.items()}
                else:
                    flat[key] = value
            return {**data, "sysctl": flat}
        return data

    @model_validator(mode="after")
    def _known(self) -> Linux:
        if self.distro not in PROFILES:
            known = ", ".join(PROFILES)
            raise ValueError(f"distro: unknown '{self.distro}'{nearest(self.distro, PROFILES)} (known: {known})")
        if len(self.cmdline) > MAX_CMDLINE:
            raise ValueError(f"cmdline: at most {MAX_CMDLINE} characters, got {len(self.cmdline)}")
        checks: dict[str, Callable[[], object]] = {
            "release": partial(parse_release, self.release),
            "cmdline": partial(crashkernel_request, self.cmdline, 2**40),
            **{f"sysctl.{key}": partial(self._setting, key) for key in self.sysctl},
        }
        for name, check in checks.items():
            try:
                check()
            except LinuxError as error:
                raise ValueError(f"{name}: {error}") from None
        return self

    def _setting(self, key: str) -> object:
        return settings(self.cmdline, {key: self.sysctl[key]}, parse_release(self.release))


Action = Literal["reboot", "halt", "poweroff", "shell"]


class Kdump(Table):
    """Keys and values as in /etc/kdump.conf (those that this model knows)."""

    core_collector: str = param(
        "makedumpfile -l --message-level 7 -d 31", "", "", "", KDUMP_UTILS, "filter, compressor, threads"
    )
    failure_action: Action = param("reboot", "", "", "", KDUMP_UTILS, "what the capture kernel does without a dump")
    final_action: Literal["reboot", "halt", "poweroff"] = param("reboot", "", "", "", KDUMP_UTILS, "and with one")
    nfs: str = param("", "", "", "", KDUMP_UTILS, "HOST:/EXPORT: the dump goes over the network")
    ssh: str = param("", "", "", "", KDUMP_UTILS, "USER@HOST: the dump goes over the network")

    @model_validator(mode="after")
    def _possible(self) -> Kdump:
        try:
            parse_core_collector(self.core_collector[:1000])
        except LinuxError as error:
            raise ValueError(f"core_collector: {error}") from None
        if self.nfs and self.ssh:
            raise ValueError("nfs and ssh: kdump takes only one dump target")
        return self


class Capture(Table):
    """The capture (crash) kernel at work."""

    boot: LawText = param(
        "lognormal(mean=30 s, sigma=0.4)", "s", "10 s", "90 s",
        Source("rhkdump/kdump-utils pull request 125", "kdump.sh at 30 to 42 s of uptime"),
        "from the panic to makedumpfile",
    )  # fmt: skip
    success: Probability = param(
        0.90, "1", "0.6", "0.99", assumed("no measurement of kdump's success rate was ever published"),
        "P(the capture kernel comes up and can write), given a large enough crashkernel=",
    )  # fmt: skip
    failed: LawText = param(
        "120 s", "s", "10 s", "600 s", assumed("panic=10 of the capture kernel at best, network timeouts at worst"),
        "time lost to a failed capture before its consequence",
    )  # fmt: skip
    hangs: Probability = param(
        0.2, "1", "0", "0.8", assumed("devices that are not reset, bad checksum of the image; nobody counted"),
        "P(a failed capture hangs silently instead of taking the failure_action)",
    )  # fmt: skip
    memory: Bytes = param(
        "200 MiB", "B", "128 MiB", "768 MiB",
        Source("rhkdump/kdump-utils", "192 MB became too small, an NFS dump needs 238 MB, tests in 2024-25"),
        "what the capture kernel needs; with a smaller crashkernel= it runs out of memory",
    )  # fmt: skip
    nr_cpus: Whole = param(1, "1", "1", "32", KDUMP_UTILS, "CPUs of the capture kernel: caps makedumpfile's threads")
    scan_per_tib: Seconds = field_of(SCAN)
    dump_sigma: Number = param(
        0.8, "1", "0", "1.2", assumed("spread of dump times between crashes of one host"),
        "lognormal sigma of the dump time around the makedumpfile model",
    )  # fmt: skip
    timeout: SecondsOrNone = param(
        "1800 s", "s", "300 s", "7200 s",
        Source("rhkdump/kdump-utils pull request 93; bloomberg/chef-bach pull request 1295", "sites set 1800 s"),
        "a dump that takes longer is given up (failure_action)",
    )  # fmt: skip
    finish: LawText = param("3 s", "s", "1 s", "10 s", ENGINEERING, "sync, logs, final_action")

    @model_validator(mode="after")
    def _possible(self) -> Capture:
        if not 0.0 <= self.dump_sigma <= 4.0:
            raise ValueError(f"dump_sigma: expected 0 to 4, got {self.dump_sigma}")
        if not 1 <= self.nr_cpus <= MAX_CPUS:
            raise ValueError(f"nr_cpus: expected 1 to {MAX_CPUS}, got {show_value(self.nr_cpus)}")
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
