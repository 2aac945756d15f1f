"""The kernel as a distribution built it and a platform runs it, before any command line: what ``settings`` starts
from.

Follows kernel/watchdog_perf.c (hardlockup_detector_disable in KVM guests), drivers/hv/hv_common.c, and the
kernel configurations that each profile names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

from ksim.linux.distro import Profile
from ksim.linux.sysctl import Settings, knobs, settings
from ksim.linux.vocabulary import Release

Hypervisor = Literal["none", "kvm", "hyperv"]


def built(profile: Profile, hypervisor: Hypervisor, release: Release) -> dict[str, int | str]:
    """Fields of Settings that the kernel's build and the platform decide."""
    found: dict[str, int | str] = {
        "rcu_cpu_stall_timeout": profile.rcu_cpu_stall_timeout_s,
        "workqueue_watchdog_thresh": profile.workqueue_watchdog_s,
        "bug_on_data_corruption": int(profile.bug_on_data_corruption),
        "sched_stack_end_check": int(profile.sched_stack_end_check),
        "hardlockup_detector": profile.hardlockup_detector(release),
    }
    if hypervisor == "kvm" and found["hardlockup_detector"] == "perf":
        found["nmi_watchdog"] = 0
    return found


def kernel_settings(
    profile: Profile, hypervisor: Hypervisor, cmdline: str, sysctl: Mapping[str, int | str], release: Release
) -> Settings:
    """The settings in force: build and platform, the distribution's sysctls, the command line, then ``sysctl``.

    A distribution's sysctls that this release does not have are left out, as systemd-sysctl would skip them.
    Raises LinuxError as ``settings`` does.
    """
    known = knobs(release)
    defaults = {key: value for key, value in profile.sysctl.items() if key in known}
    made = settings(cmdline, {**defaults, **sysctl}, release, built(profile, hypervisor, release))
    # the Hyper-V driver sets it late, so that the command line cannot clear it
    return replace(made, crash_kexec_post_notifiers=1) if hypervisor == "hyperv" else made
