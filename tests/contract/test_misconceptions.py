"""The fifteen most common misconceptions about oopses, panics and kdump, each refuted by the rules."""

import math

import pytest

from ksim.linux.block import ATA_RESET_TRIES_S, command_fails
from ksim.linux.boot_records import analyze_line, shown_phases, timespan, trace_of_boot
from ksim.linux.capture_memory import outcome
from ksim.linux.console import Look, report
from ksim.linux.detectors import detections
from ksim.linux.distro import PROFILES, capture_panic_s
from ksim.linux.escalation import escalate
from ksim.linux.events import EVENTS
from ksim.linux.kdump_conf import ACTIONS, NETWORK_WAIT_S
from ksim.linux.kexec import PASSAGES, Slots, Way, panic, run
from ksim.linux.panic import after_panic
from ksim.linux.rules import End, Strike
from ksim.linux.sysctl import Settings
from ksim.linux.taint import Taint
from ksim.linux.vocabulary import Context, Lock, Task, TaskKind
from ksim.model.compose import lifecycle
from ksim.model.loader import load


def decide(event, *, settings=None, **state):
    return escalate(Strike(EVENTS[event], settings or Settings(), **state))


def test_01_an_oops_crashes_the_machine():
    """It kills one thread, and the kernel goes on, damaged, with leaked locks."""
    found = decide("null_deref", locks=(Lock.MUTEX,))
    assert (found.end, found.panics) == (End.KILLED, False)
    assert [leak.lock for leak in found.leaks] == [Lock.MUTEX]


def test_02_bug_panics():
    """BUG() is an oops like another: it panics by the same rules and no others."""
    assert decide("bug").end is End.KILLED
    for state in ({"context": Context.SOFTIRQ}, {"task": Task(TaskKind.IDLE)}, {"settings": Settings(panic_on_oops=1)}):
        assert decide("bug", **state).message == decide("gpf", **state).message != ""


def test_03_hung_task_panic_saves_you_after_an_oops():
    """khungtaskd goes silent once taint D is set; a warned kernel still reports."""
    wanted = Settings(hung_task_panic=1)
    after_oops = decide("hung_task", settings=wanted, taint=decide("bug").taint)
    assert (after_oops.end, after_oops.detections[0].fires) == (End.STUCK, False)
    assert report(after_oops, Look()) == ()
    assert decide("hung_task", settings=wanted, taint=Taint.WARN).panics


def test_04_in_interrupt_means_only_hard_irqs():
    """NMI, softirq and any section with bottom halves disabled count."""
    in_interrupt = {context for context in Context if decide("bug", context=context).panics}
    assert in_interrupt == set(Context) - {Context.PROCESS}
    assert decide("bug", locks=(Lock.SPINLOCK_BH,)).message == "Fatal exception in interrupt"


def test_05_linux_reboots_after_a_panic():
    """kernel.panic is 0 by default: it stands there for ever. A machine check is the exception."""
    assert after_panic(Settings(), crash_kernel_loaded=False).action == "hang"
    assert after_panic(Settings(), crash_kernel_loaded=False, cause="machine_check").wait_s == 30.0
    assert after_panic(Settings(panic=10), crash_kernel_loaded=False).action == "reboot"


def test_06_kexec_e_starts_the_crash_kernel_after_a_panic():
    """-p loads it beforehand and the kernel jumps by itself; -e is a planned restart of the other slot."""
    loaded = run("kexec -p vmlinuz", Slots(reserved_bytes=1)).slots
    assert run("kexec -e", loaded).error == "Nothing has been loaded!"
    assert run("kexec -e", loaded).slots == loaded
    assert panic(loaded, panic_timeout_s=0).way is Way.CRASH_KEXEC
    both = run("kexec -l other", loaded).slots
    assert run("kexec -e", both).way is Way.BARE_KEXEC


def test_07_kdump_makes_recovery_faster_because_it_uses_kexec():
    """It adds the capture boot and the dump, and then goes through the firmware all the same."""
    life = lifecycle(load("rack-server", ["recovery.root_fails=0", "recovery.crashes_again=0"]).scenario, "kdump")
    assert life["vmcore_saved"].branches[0].to == "firmware"
    assert not PASSAGES[Way.CRASH_KEXEC].firmware
    assert ACTIONS["reboot"].ends == "reset"


def test_08_the_log_of_a_kdump_crash_ends_with_kernel_panic_and_end_trace():
    """The jump comes from within the oops: neither line exists, pstore is empty, D is not yet set."""
    found = decide("page_fault", context=Context.SOFTIRQ, crash_kernel_loaded=True)
    text = "\n".join(report(found, Look()))
    assert "Kernel panic" not in text
    assert "end trace" not in text
    assert (found.pstore, found.taint) == ((), Taint.none())


def test_09_panic_matters_with_kdump():
    """It is never reached; what matters is panic= on the capture kernel's own command line."""
    for value in (0, 10, -1):
        assert after_panic(Settings(panic=value), crash_kernel_loaded=True).action == "capture"
    assert [capture_panic_s(PROFILES[name]) for name in ("rhel9", "sles15", "debian12")] == [10, 1, 0]


def test_10_a_failed_dump_just_loses_the_dump():
    """Some actions leave the machine down, a capture kernel without panic= hangs, a lost network takes ten minutes."""
    assert {name for name, action in ACTIONS.items() if action.ends in ("halted", "shell")} == {
        "halt",
        "poweroff",
        "shell",
    }
    assert outcome(1, 2, capture_panic_s(PROFILES["debian12"])).next == "hang"
    assert outcome(1, 2, capture_panic_s(PROFILES["rhel9"])).next == "reset"
    assert NETWORK_WAIT_S == 600.0


@pytest.mark.parametrize(
    ("event", "low_s", "high_s"),
    [("soft_lockup", 20, 26), ("hard_lockup", 6, 20), ("hung_task", 120, 240), ("rcu_stall", 21, 21)],
)
def test_11_detectors_fire_exactly_at_their_threshold(event, low_s, high_s):
    """They look at intervals of their own; in KVM guests the NMI detector is off, and hung tasks have ten reports."""
    first = detections(Strike(EVENTS[event], Settings()))[0]
    assert (first.latency.low_s, first.latency.high_s) == pytest.approx((low_s, high_s))
    assert Settings().hung_task_warnings == 10


@pytest.mark.parametrize("event", ["hung_task", "soft_lockup", "hard_lockup", "rcu_stall", "oom"])
def test_12_hung_soft_locked_stalled_or_oom_is_a_crash(event):
    """All of these only print by default (and OOM kills one process); a panic needs its own knob."""
    assert not decide(event).panics
    if event != "oom":
        assert decide(event, lasts_s=15.0).end is End.GOES_ON


def test_13_a_disk_error_panics_or_fails_io_at_once():
    """Six times 30 s, or a ladder of resets that freezes the host adapter; the block layer never panics."""
    slow = command_fails("scsi")
    assert (slow.waits_s, slow.eio_after_s, slow.tries) == (180.0, 180.0, 6)
    stuck = command_fails("scsi", aborts_work=False)
    assert stuck.host_frozen_s == 60.0
    assert command_fails("scsi", aborts_work=False, resets_work=True).host_frozen_s == 10.0
    assert command_fails("nvme", aborts_work=False).eio_after_s == 60.0
    assert sum(ATA_RESET_TRIES_S) == 60.0
    assert decide("ext4_error", fs_errors="remount-ro").end is End.FILE_SYSTEM
    assert decide("xfs_metadata_write").end is End.GOES_ON
    assert not any(decide(name).panics for name in ("ext4_error", "xfs_shutdown", "xfs_metadata_write"))


def test_14_systemd_analyze_shows_firmware_and_last_shows_the_crash():
    """Firmware and loader need UEFI and a loader that tells; a crash leaves no record, a capture boot nothing."""
    assert shown_phases(uefi=False, loader_reports=False, after_kexec=False)[0] == "kernel"
    assert shown_phases(uefi=True, loader_reports=False, after_kexec=False)[0] == "kernel"
    assert shown_phases(uefi=True, loader_reports=True, after_kexec=True)[0] == "kernel"
    assert shown_phases(uefi=True, loader_reports=True, after_kexec=False)[0] == "firmware"
    crashed = trace_of_boot(crashed=True)
    assert (crashed.shutdown_record, crashed.last_says != "crash") == (False, True)
    assert trace_of_boot(crashed=True, util_linux=(2, 40)).last_says == "crash"
    capture = trace_of_boot(crashed=False, capture=True)
    assert (capture.in_wtmp, capture.in_journal) == (False, False)


def test_15_one_message_format():
    """Headers, warnings, prefixes and knobs differ from 6.1 to 6.12 to 7.x."""
    for event in ("null_deref", "warn", "hard_lockup"):
        logs = {report(decide(event, settings=Settings(release=r)), Look(release=text)) for r, text in
                (((6, 1), "6.1.0"), ((6, 12), "6.12.0"), ((7, 3), "7.3.0"))}  # fmt: skip
        assert len(logs) == 3
    counts = Settings(softlockup_panic=3, release=(7, 3))
    assert decide("soft_lockup", settings=counts, lasts_s=50.0).end is End.GOES_ON
    assert decide("soft_lockup", settings=Settings(softlockup_panic=3), lasts_s=50.0).panics


# ---------------------------------------------------------------- the texts of systemd


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.296, "296ms"), (2.584, "2.584s"), (69.608, "1min 9.608s"), (240.06, "4min 60ms"), (3723.4, "1h 2min 3.400s"),
        (0.0, "0"), (2.0, "2s"), (60.0, "1min"), (62.0, "1min 2s"),
    ],
)  # fmt: skip
def test_timespans(seconds, text):
    assert timespan(seconds) == text


def test_the_line_of_systemd_analyze():
    phases = {"firmware": 3.219, "loader": 2.8, "kernel": 1.241, "initrd": 1.495, "userspace": 6.043}
    assert analyze_line(phases) == (
        "Startup finished in 3.219s (firmware) + 2.800s (loader) + 1.241s (kernel) + 1.495s (initrd) "
        "+ 6.043s (userspace) = 14.798s "
    )
    assert analyze_line({"userspace": 0.296}) == "Startup finished in 296ms (userspace) "
    for wrong in ({}, {"bios": 1.0}, {"kernel": math.nan}):
        with pytest.raises(ValueError, match=r"no phases|not a time"):
            analyze_line(wrong)
