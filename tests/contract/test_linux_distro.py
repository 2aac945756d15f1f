"""Distributions, the capture kernel's own command line and memory, the platform under a kernel."""

import pytest

from ksim.linux.capture_memory import GIB, MIB, debian_need_bytes, need_bytes, outcome, per_cpu_bytes, recommended_bytes
from ksim.linux.crashkernel import crashkernel
from ksim.linux.distro import PROFILES, capture_nr_cpus, capture_panic_s
from ksim.linux.platform import kernel_settings
from ksim.linux.sysctl import Settings


@pytest.mark.parametrize(
    ("distro", "gib", "mib"),
    [
        ("upstream", 64, 0),
        ("rhel7", 64, 164), ("rhel8", 64, 256), ("rhel9", 2, 192), ("rhel9", 16, 256), ("rhel9", 64, 512),
        ("rhel10", 1, 0), ("rhel10", 2, 256), ("fedora", 64, 512),
        ("debian12", 1, 128), ("debian13", 1, 192), ("ubuntu22.04", 64, 192),
        ("ubuntu24.10", 4, 512), ("ubuntu24.10", 256, 4096), ("sles15", 768, 219),
    ],
)  # fmt: skip
def test_default_reservation(distro, gib, mib):
    profile = PROFILES[distro]
    assert crashkernel(profile.crashkernel_for(gib * GIB), gib * GIB, auto=profile.auto).bytes == mib * MIB


@pytest.mark.parametrize(
    ("distro", "panic_s", "cpus"), [("rhel9", 10, 1), ("fedora", 10, 1), ("debian12", 0, 1), ("sles15", 1, 1)]
)
def test_the_capture_kernel_has_a_command_line_of_its_own(distro, panic_s, cpus):
    profile = PROFILES[distro]
    assert (capture_panic_s(profile), capture_nr_cpus(profile)) == (panic_s, cpus)
    more = "nr_cpus=4 panic=30 panic= quiet nr_cpus=x"
    assert (capture_panic_s(profile, more), capture_nr_cpus(profile, more)) == (30, 4)
    assert capture_panic_s(profile, "panic=-1") == -1


@pytest.mark.parametrize("name", PROFILES)
def test_every_profile_has_a_source_and_settings_that_its_kernel_takes(name):
    profile = PROFILES[name]
    assert profile.name == name
    assert str(profile.source)
    assert str(profile.config_source)
    for release in ((5, 14), (6, 12), (7, 3)):
        assert kernel_settings(profile, "none", "", {}, release).panic == 0


def test_panic_on_oops_of_the_distributions():
    on = {name for name, profile in PROFILES.items() if kernel_settings(profile, "none", "", {}, (6, 12)).panic_on_oops}
    assert set(PROFILES) - on == {"upstream"}


def test_the_build_shows_in_the_settings():
    debian = kernel_settings(PROFILES["debian12"], "none", "", {}, (6, 1))
    assert (debian.bug_on_data_corruption, debian.sched_stack_end_check, debian.rcu_cpu_stall_timeout) == (1, 1, 21)
    rhel = kernel_settings(PROFILES["rhel9"], "none", "", {}, (5, 14))
    assert (rhel.bug_on_data_corruption, rhel.rcu_cpu_stall_timeout) == (0, 60)
    assert (rhel.workqueue_watchdog_thresh, rhel.sched_stack_end_check) == (0, 0)


def test_suse_builds_a_kernel_that_panics_on_hard_lockups_and_waits_longer_for_hung_tasks():
    """SLE 15 SP6: BOOTPARAM_HARDLOCKUP_PANIC, hung tasks after 480 s, workqueue watchdog with its 30 s."""
    suse = kernel_settings(PROFILES["sles15"], "none", "", {}, (6, 4))
    assert (suse.panic, suse.panic_on_oops, suse.hardlockup_panic, suse.softlockup_panic) == (0, 1, 1, 0)
    assert (suse.hung_task_timeout_secs, suse.workqueue_watchdog_thresh, suse.sched_stack_end_check) == (480, 30, 1)
    own = kernel_settings(PROFILES["sles15"], "none", "", {"kernel.hardlockup_panic": 0}, (6, 4))
    assert own.hardlockup_panic == 0


def test_guests():
    upstream = PROFILES["upstream"]
    assert kernel_settings(upstream, "none", "", {}, (6, 12)) == Settings()
    assert kernel_settings(upstream, "kvm", "", {}, (6, 12)).nmi_watchdog == 0
    assert kernel_settings(upstream, "kvm", "nmi_watchdog=1", {}, (6, 12)).nmi_watchdog == 1
    line = "crash_kexec_post_notifiers=N"
    assert kernel_settings(upstream, "hyperv", line, {}, (6, 12)).crash_kexec_post_notifiers == 1


def test_the_buddy_does_not_exist_before_6_5():
    upstream = PROFILES["upstream"]
    assert upstream.hardlockup_detector((5, 14)) == "perf"


# ---------------------------------------------------------------- memory of the capture kernel

SERVER = {"kernel_bytes": 54 * MIB, "modules_bytes": 28 * MIB, "initramfs_bytes": 39 * MIB}


def test_the_sizes_that_the_documentation_prints():
    """Oracle Linux 9: 54 + 28 + 3 x 39 + 64; RHEL 9 with LUKS: 47 + 8 + 20 + 64 + 512, plus twenty."""
    assert need_bytes(**SERVER, runtime_bytes=64 * MIB) == 263 * MIB
    assert recommended_bytes(263 * MIB, 448 * MIB) == 448 * MIB
    assert recommended_bytes(512 * MIB, 448 * MIB) == 512 * MIB
    luks = {"kernel_bytes": 47 * MIB, "modules_bytes": 8 * MIB, "initramfs_bytes": 20 * MIB}
    assert need_bytes(**luks, runtime_bytes=64 * MIB, luks_bytes=512 * MIB) == (47 + 8 + 60 + 64 + 512 + 20) * MIB


def test_a_network_target_and_more_cpus_need_more():
    least = need_bytes(**SERVER, runtime_bytes=16 * MIB)
    assert least == 215 * MIB
    assert need_bytes(**SERVER, runtime_bytes=16 * MIB, network=True) == 238 * MIB
    assert need_bytes(**SERVER, runtime_bytes=16 * MIB, nr_cpus=2) == least + 5000 * 1024
    assert per_cpu_bytes(1) == 0
    assert per_cpu_bytes(66) == (31 * 5000 + 32 * 3500 + 2 * 2500) * 1024


def test_debians_estimate_grows_with_memory_and_slower_beyond_32_gib():
    def need(gib):
        return debian_need_bytes(vmlinuz_bytes=10 * MIB, initramfs_bytes=50 * MIB, ram_bytes=gib * GIB)

    assert need(1) == 110 * MIB + 6000 * 1024
    assert need(33) - need(32) == 600 * 1024
    assert need(2) - need(1) == 6000 * 1024


@pytest.mark.parametrize(
    ("reserved", "panic_s", "follows", "wait_s"),
    [
        (300, 10, "dump", 0.0),
        (215, 10, "dump", 0.0),
        (214, 10, "reset", 10.0),
        (128, 0, "hang", None),
        (1, -1, "reset", 0.0),
    ],
)
def test_too_little_memory_ends_as_the_capture_kernels_own_panic_says(reserved, panic_s, follows, wait_s):
    found = outcome(reserved * MIB, 215 * MIB, panic_s)
    assert (found.next, found.wait_s, found.fits) == (follows, wait_s, follows == "dump")
    assert ("System is deadlocked on memory" in " ".join(found.shows)) == (follows != "dump")
