"""What distributions set on x86-64 before anybody changes anything: the bottom layer under a scenario's own
command line and sysctls, and how their capture kernels behave.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from ksim.linux.cmdline import boot_parameters, leading_int
from ksim.linux.crashkernel import GIB, MIB, Auto
from ksim.linux.vocabulary import Release
from ksim.source import Source, assumed

BUDDY_SINCE: Release = (6, 5)
"""The buddy detector came with it, for kernels that are built without the perf one."""


@dataclass(frozen=True, slots=True)
class Profile:
    """Defaults of one distribution.

    ``crashkernel_for``: its ``crashkernel=`` words for a machine with this much RAM (bytes); ``auto``: what its
    kernel makes of ``crashkernel=auto``. ``capture_cmdline``: words that kdump adds for the capture kernel.
    ``collector``: what writes the dump, and ``on_failure``: what the distribution does when that fails.
    ``capture_root``: whether the capture boot mounts the real root file system. The rest is how its kernel is
    built (``config_source``): ``rcu_cpu_stall_timeout_s``, ``workqueue_watchdog_s`` (0: not built or off),
    ``detector`` of hard lockups, ``bug_on_data_corruption``, ``sched_stack_end_check``, ``efi_pstore``. What it is
    built to do differently about panics is in ``sysctl``. ``appends_threads``: its kdump gives makedumpfile as many
    threads as the capture kernel has CPUs, whatever core_collector says (kdump-utils, November 2024).
    """

    name: str
    crashkernel_for: Callable[[int], str]
    sysctl: Mapping[str, int]
    capture_cmdline: str
    core_collector: str
    on_failure: str
    capture_root: Literal["initramfs", "real root"]
    kdump_by_default: str
    source: Source
    auto: Auto | None = None
    rcu_cpu_stall_timeout_s: int = 21
    workqueue_watchdog_s: int = 0
    detector: Literal["perf", "buddy"] = "perf"
    bug_on_data_corruption: bool = False
    sched_stack_end_check: bool = False
    efi_pstore: bool = True
    appends_threads: bool = False
    config_source: Source = field(default=Source("Linux Kconfig defaults"))

    def hardlockup_detector(self, release: Release) -> str:
        """perf; or buddy, which kernels before 6.5 do not have."""
        return self.detector if self.detector == "perf" or release >= BUDDY_SINCE else "none"


def _ladder(text: str) -> Callable[[int], str]:
    return lambda ram_bytes: text and f"crashkernel={text}"


def _rhel7_auto(ram_bytes: int) -> str:
    """160 MiB and 2 bits for each 4 KiB page, from 2 GiB on."""
    return f"{160 + ram_bytes // 4096 // 4 // MIB}M" if ram_bytes >= 2 * GIB else "0M"


_RHEL8_AUTO = "1G-4G:160M,4G-64G:192M,64G-1T:256M,1T-:512M"

SLES_HIGH = {1: 160, 8: 184, 64: 219, 1024: 256}
"""MiB above 4 GiB by GiB of RAM; the field example is 219 MiB at 768 GB."""


def _sles(ram_bytes: int) -> str:
    gib = ram_bytes / GIB
    high = [size for least, size in SLES_HIGH.items() if gib >= least]
    return f"crashkernel={high[-1]}M,high crashkernel=72M,low" if high else ""


_OOPS = {"kernel.panic_on_oops": 1}
# load.sh writes panic_on_oops once the crash kernel is loaded; the other two are built into the kernel
_SUSE_SYSCTL = {**_OOPS, "kernel.hardlockup_panic": 1, "kernel.hung_task_timeout_secs": 480}
_RHEL_CAPTURE = (
    "irqpoll nr_cpus=1 reset_devices cgroup_disable=memory mce=off numa=off udev.children-max=2 panic=10 "
    "acpi_no_memhotplug transparent_hugepage=never nokaslr hest_disable novmcoredd cma=0 hugetlb_cma=0"
)
_DEBIAN_CAPTURE = "reset_devices systemd.unit=kdump-tools-dump.service nr_cpus=1 irqpoll usbcore.nousb"
# load.sh of openSUSE/kdump: KDUMP_CPUS is 1 up to kdump 2.0.17, which SLES 15 has; later ones use up to 32 CPUs
_SUSE_CAPTURE = (
    "sysrq=yes reset_devices acpi_no_memhotplug cgroup_disable=memory nokaslr numa=off irqpoll nr_cpus=1 "
    "root=kdump rootflags=bind rd.udev.children-max=8 panic=1"
)
_RHEL_COLLECTOR = "makedumpfile -l --message-level 7 -d 31"
_DEBIAN_COLLECTOR = "makedumpfile -c -d 31"
_RHEL_FAILS = "failure_action of kdump.conf (reboot by default)"
_DEBIAN_FAILS = "cp of the whole memory in place of makedumpfile, then KDUMP_FAIL_CMD or reboot -f"
_SUSE_FAILS = "goes on (KDUMP_CONTINUE_ON_ERROR) and reboots (KDUMP_IMMEDIATE_REBOOT)"
_RHEL_CONFIG = Source(
    "Red Hat kernel configuration, redhat/configs/common (RCU 60 s, no workqueue watchdog, no SCHED_STACK_END_CHECK)",
    "panic_on_oops and efi-pstore off are not confirmed",
    is_assumed=True,
)
_DEBIAN_CONFIG = Source(
    "Debian kernel configuration, debian/config/config",
    "RCU 21 s, SCHED_STACK_END_CHECK and efi-pstore on; BUG_ON_DATA_CORRUPTION from Debian 12",
)
_UBUNTU_CONFIG = Source(
    "Ubuntu kernel annotations (RCU 60 s)", "the rest is taken to be as Debian's, not confirmed", is_assumed=True
)
_SUSE_CONFIG = Source(
    "openSUSE/kernel-source, config/x86_64/default of SLE 15 SP6 (6.4.0)",
    "RCU 60 s, workqueue watchdog and SCHED_STACK_END_CHECK on, hard lockups panic, hung tasks after 480 s",
)
WORKQUEUE_WATCHDOG_S = 30
"""Threshold of a kernel that is built with it (kernel/workqueue.c, wq_watchdog_thresh)."""


def _rhel(
    name: str,
    crashkernel_for: Callable[[int], str],
    source: Source,
    auto: Auto | None = None,
    *,
    appends_threads: bool = False,
) -> Profile:
    return Profile(
        name, crashkernel_for, _OOPS, _RHEL_CAPTURE, _RHEL_COLLECTOR, _RHEL_FAILS, "initramfs",
        "yes: kdump.service is enabled", source, auto,
        rcu_cpu_stall_timeout_s=60, efi_pstore=False, appends_threads=appends_threads, config_source=_RHEL_CONFIG,
    )  # fmt: skip


def _debian(
    name: str, ladder: str, source: Source, by_default: str,
    rcu_s: int = 21, config: Source = _DEBIAN_CONFIG,
) -> Profile:  # fmt: skip
    return Profile(
        name, _ladder(ladder), _OOPS, _DEBIAN_CAPTURE, _DEBIAN_COLLECTOR, _DEBIAN_FAILS, "real root",
        by_default, source,
        rcu_cpu_stall_timeout_s=rcu_s, bug_on_data_corruption=True, sched_stack_end_check=True, config_source=config,
    )  # fmt: skip


_NOT_INSTALLED = "no: kdump-tools has to be installed"
_PROFILES = (
    Profile(
        "upstream", _ladder(""), {}, "", _RHEL_COLLECTOR, "whatever the administrator wrote", "initramfs",
        "no: whoever wants it loads a crash kernel by kexec -p", Source("Linux kernel Kconfig defaults"),
    ),
    _rhel(
        "rhel7", _ladder("auto"), Source("RHEL 7 Kernel Crash Dump Guide", "160 MB and 2 bits per 4 KiB"), _rhel7_auto
    ),
    _rhel(
        "rhel8", _ladder("auto"), Source("RHEL 8 documentation; kdump-utils 1813189 (crashkernel=auto written out)"),
        lambda ram_bytes: _RHEL8_AUTO,
    ),
    _rhel(
        "rhel9", _ladder("1G-4G:192M,4G-64G:256M,64G-:512M"),
        Source("kdump-utils 34d27c4 (2021-11); panic_on_oops=1 from kernel sysctl docs of RHEL"),
    ),
    _rhel("rhel10", _ladder("2G-64G:256M,64G-:512M"), Source("kdump-utils fe18f93 (2025-03)"), appends_threads=True),
    _rhel("fedora", _ladder("2G-64G:256M,64G-:512M"), Source("kdump-utils fe18f93 (2025-03)"), appends_threads=True),
    _debian(
        "debian12", "384M-:128M", Source("kdump-tools 1.8.1, which sets panic_on_oops"), _NOT_INSTALLED
    ),
    _debian(
        "debian13", "512M-:192M", Source("kdump-tools 1.10, which sets panic_on_oops"), _NOT_INSTALLED
    ),
    _debian(
        "ubuntu22.04", "512M-:192M", Source("command lines of 5.15 Ubuntu kernels; kdump-tools sets panic_on_oops"),
        _NOT_INSTALLED, 60, _UBUNTU_CONFIG,
    ),
    _debian(
        "ubuntu24.10", "2G-4G:320M,4G-32G:512M,32G-64G:1024M,64G-128G:2048M,128G-:4096M",
        Source("command lines of 6.11 Ubuntu kernels; kdump-tools sets panic_on_oops"),
        "yes, from 4 CPU threads and 6 GB on, below 2 TB, with /var free for 5 times RAM and swap", 60, _UBUNTU_CONFIG,
    ),
    Profile(
        "sles15", _sles, _SUSE_SYSCTL, _SUSE_CAPTURE, _RHEL_COLLECTOR, _SUSE_FAILS, "initramfs",
        "offered by the installer",
        assumed(
            "kdumptool calibrates per machine: four sizes around its answer on 768 GB (harvester issue 1357); "
            "panic_on_oops and panic=1 of the capture kernel are those of openSUSE/kdump init/load.sh"
        ),
        rcu_cpu_stall_timeout_s=60, workqueue_watchdog_s=WORKQUEUE_WATCHDOG_S, sched_stack_end_check=True,
        config_source=_SUSE_CONFIG,
    ),
)  # fmt: skip
PROFILES: Mapping[str, Profile] = MappingProxyType({profile.name: profile for profile in _PROFILES})


def _last_number(profile: Profile, append: str, name: str, otherwise: int) -> int:
    """The last ``name=N`` of the capture kernel's command line; a word without a number changes nothing."""
    found = otherwise
    for word, value in boot_parameters(f"{profile.capture_cmdline} {append}"):
        if word.replace("-", "_") == name and value:
            digits = value.removeprefix("-")
            number, end = leading_int(digits)
            if digits and end == len(digits):
                found = -number if value.startswith("-") else number
    return found


def capture_panic_s(profile: Profile, append: str = "") -> int:
    """kernel.panic of the capture kernel, seconds: 0 hangs for ever, below 0 resets at once.

    ``append`` is KDUMP_COMMANDLINE_APPEND; the last ``panic=`` wins. Without one, upstream's 0 holds: a panic of
    Debian's capture kernel hangs.
    """
    return _last_number(profile, append, "panic", 0)


def capture_nr_cpus(profile: Profile, append: str = "") -> int:
    """CPUs that the capture kernel may use; the last ``nr_cpus=`` wins, without one a single CPU is assumed."""
    return max(1, _last_number(profile, append, "nr_cpus", 1))
