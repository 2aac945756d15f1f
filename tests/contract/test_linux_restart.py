"""Ways from one kernel to the next: kexec's two slots, a boot and its root, hardware watchdogs, pstore."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksim.errors import LinuxError
from ksim.linux.boot import PASSES, check_after_crash, crash_kernel_armed, init_start, root_mount
from ksim.linux.hw_watchdog import (
    DRIVERS,
    after_panic_s,
    fed_by_systemd,
    in_hang_s,
    left_for_dump_s,
    pretimeout_panics,
)
from ksim.linux.kexec import PASSAGES, Slots, Way, panic, run
from ksim.linux.pstore import record, records_needed

MIB = 1 << 20
READY = Slots(normal="new", crash="kdump", reserved_bytes=256 * MIB)
RESERVED = Slots(reserved_bytes=256 * MIB)

# ---------------------------------------------------------------- kexec


@pytest.mark.parametrize(
    ("command", "slots", "normal", "crash", "way", "error"),
    [
        ("kexec -l vmlinuz --initrd=i --append=x", RESERVED, "vmlinuz", "", Way.NONE, ""),
        ("kexec -p vmlinuz --append 'root=x'", RESERVED, "", "vmlinuz", Way.NONE, ""),
        ("kexec -s -p vmlinuz", RESERVED, "", "vmlinuz", Way.NONE, ""),
        ("kexec -p vmlinuz", Slots(), "", "", Way.NONE, "Memory for crashkernel is not reserved"),
        ("kexec -e", RESERVED, "", "", Way.NONE, "Nothing has been loaded!"),
        ("kexec -e", Slots(crash="kdump", reserved_bytes=MIB), "", "kdump", Way.NONE, "Nothing has been loaded!"),
        ("kexec -e", READY, "", "", Way.BARE_KEXEC, ""),
        ("kexec -f vmlinuz", RESERVED, "", "", Way.BARE_KEXEC, ""),
        ("kexec vmlinuz", RESERVED, "", "", Way.PLANNED_KEXEC, ""),
        ("kexec -u", READY, "", "kdump", Way.NONE, ""),
        ("kexec -p -u", READY, "new", "", Way.NONE, ""),
        ("kexec -S", READY, "new", "kdump", Way.NONE, ""),
        ("kexec -S", RESERVED, "", "", Way.NONE, "not loaded"),
        ("kexec -l", RESERVED, "", "", Way.NONE, "No kernel specified"),
        ("systemctl reboot", READY, "", "", Way.PLANNED_KEXEC, ""),
        ("systemctl reboot", Slots(crash="kdump"), "", "", Way.REBOOT, ""),
        ("systemctl kexec", READY, "", "", Way.PLANNED_KEXEC, ""),
        ("systemctl kexec", Slots(boot_entry="6.12"), "", "", Way.PLANNED_KEXEC, ""),
        ("systemctl kexec", RESERVED, "", "", Way.NONE, "No kexec kernel loaded and autodetection failed."),
        ("systemctl kexec --force", RESERVED, "", "", Way.REBOOT, ""),
        ("systemctl soft-reboot", READY, "new", "kdump", Way.SOFT_REBOOT, ""),
        ("reboot", READY, "", "", Way.REBOOT, ""),
        ("reboot -f -f", READY, "", "", Way.EMERGENCY_RESTART, ""),
    ],
)
def test_commands(command, slots, normal, crash, way, error):
    found = run(command, slots)
    assert (found.slots.normal, found.slots.crash, found.way, found.error) == (normal, crash, way, error)


def test_systemctl_reboot_can_be_told_not_to_kexec():
    assert run("systemctl reboot", READY, skip_auto_kexec=True).way is Way.REBOOT


def test_kexec_can_be_locked_out():
    for command in ("kexec -l k", "kexec -p k"):
        locked = run(command, Slots(reserved_bytes=MIB, load_disabled=True))
        assert locked.error == "kexec_load failed: Operation not permitted"
        assert (locked.slots.normal, locked.slots.crash) == ("", "")
    assert run("kexec -c -l k", Slots(locked_down=True)).error
    assert not run("kexec -s -l k", Slots(locked_down=True)).error


def test_a_panic_takes_the_crash_slot_and_nothing_else():
    assert panic(READY, panic_timeout_s=10).way is Way.CRASH_KEXEC
    assert panic(Slots(normal="new"), panic_timeout_s=10).way is Way.EMERGENCY_RESTART
    assert panic(Slots(normal="new"), panic_timeout_s=0).way is Way.HANG
    assert panic(READY, panic_timeout_s=0).slots == Slots(reserved_bytes=READY.reserved_bytes)


@pytest.mark.parametrize(
    ("way", "skips"),
    [
        (Way.PLANNED_KEXEC, {"firmware", "loader"}),
        (Way.BARE_KEXEC, {"firmware", "loader", "stops_services", "unmounts"}),
        (Way.CRASH_KEXEC, {"firmware", "loader", "stops_services", "unmounts", "syncs", "device_shutdown"}),
        (Way.REBOOT, set()),
        (Way.EMERGENCY_RESTART, {"stops_services", "unmounts", "syncs", "device_shutdown"}),
        (Way.SOFT_REBOOT, {"firmware", "loader", "new_kernel", "device_shutdown"}),
    ],
)
def test_what_each_way_skips(way, skips):
    does = ("firmware", "loader", "new_kernel", "stops_services", "unmounts", "syncs", "device_shutdown")
    assert {name for name in does if not getattr(PASSAGES[way], name)} == skips


@pytest.mark.parametrize("command", ["", "kexek -l k", "kexec -q", "systemctl halt", "kexec 'x"])
def test_what_is_no_command(command):
    with pytest.raises(LinuxError):
        run(command, RESERVED)


@given(st.lists(st.sampled_from(["-l", "-p", "-e", "-u", "-f", "-s", "-S", "kernel", "--append=x"]), max_size=5))
def test_no_command_enters_the_crash_kernel(words):
    found = run(" ".join(["kexec", *words]), READY)
    assert found.way is not Way.CRASH_KEXEC


# ---------------------------------------------------------------- boot


@pytest.mark.parametrize(
    ("state", "end", "message"),
    [
        ({"initramfs": "dracut", "found": True}, "mounted", ""),
        ({"initramfs": "none", "found": True}, "mounted", ""),
        ({"initramfs": "dracut", "found": False}, "shell", ""),
        ({"initramfs": "dracut", "found": True, "mountable": False}, "shell", ""),
        ({"initramfs": "none", "found": False}, "panic", "VFS: Unable to mount root fs on unknown-block(0,0)"),
        (
            {"initramfs": "none", "found": False, "rootwait": "5"},
            "panic",
            "VFS: Unable to mount root fs on unknown-block(0,0)",
        ),
        ({"initramfs": "none", "found": False, "rootwait": None}, "waits", ""),
        (
            {"initramfs": "none", "found": True, "mountable": False},
            "panic",
            'VFS: Unable to mount root fs on "/dev/sda1" or unknown-block(8,1)',
        ),
        (
            {"initramfs": "none", "found": True, "mountable": False, "release": (6, 1)},
            "panic",
            "VFS: Unable to mount root fs on unknown-block(8,1)",
        ),
    ],
)
def test_the_root_file_system(state, end, message):
    found = root_mount(**state)
    assert (found.end, found.message, found.panics) == (end, message, end == "panic")
    assert found.wait_s == (
        90.0 if end == "shell" and not state["found"] else 5.0 if state.get("rootwait") == "5" else 0.0
    )


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"runs": True}, ""),
        ({"runs": False, "requested": "/x"}, "Requested init /x failed (error -2)."),
        ({"runs": False, "any_init": False}, "No working init found.  Try passing init= option to kernel."),
        ({"runs": True, "exit_status": 0x100}, "Attempted to kill init! exitcode=0x00000100"),
    ],
)
def test_the_first_program(state, message):
    assert init_start(**state).message.startswith(message)
    assert init_start(**state).panics == bool(message)


def test_when_a_crash_is_captured():
    armed = {stage: crash_kernel_armed(stage, kdump_started=True) for stage in PASSES["firmware"]}
    assert [stage for stage, is_armed in armed.items() if is_armed] == ["userspace"]
    assert not crash_kernel_armed("userspace", kdump_started=False)
    early = [stage for stage in PASSES["firmware"] if crash_kernel_armed(stage, early_kdump=True)]
    assert early == ["root", "userspace"]


def test_kexec_skips_firmware_and_loader_and_nothing_else():
    assert set(PASSES["firmware"]) - set(PASSES["kexec"]) == {"firmware", "loader"}
    assert PASSES["crash_kexec"] == PASSES["kexec"]
    assert PASSES["soft_reboot"] == ("userspace",)


def test_what_is_checked_after_a_crash():
    assert check_after_crash(journalled=True, errors_flagged=False) == "journal_replay"
    assert check_after_crash(journalled=True, errors_flagged=True) == "fsck"
    assert check_after_crash(journalled=False, errors_flagged=False) == "fsck"


# ---------------------------------------------------------------- hardware watchdogs


@pytest.mark.parametrize(
    ("driver", "default_s", "panic_s", "before_kdump_s", "hang_s"),
    [
        ("iTCO_wdt", 30.0, 60.0, 60.0, 60.0),
        ("ipmi_watchdog", 10.0, 255.0, 60.0, 60.0),
        ("softdog", 60.0, None, None, None),
        ("hpwdt", 30.0, 60.0, 60.0, 60.0),
    ],
)
def test_drivers(driver, default_s, panic_s, before_kdump_s, hang_s):
    assert DRIVERS[driver].timeout_s == default_s
    assert after_panic_s(driver, 60.0) == panic_s
    assert after_panic_s(driver, 60.0, notifiers_ran=False) == before_kdump_s
    assert in_hang_s(driver, 60.0) == hang_s


def test_a_dump_is_cut_off_unless_somebody_feeds():
    assert left_for_dump_s("iTCO_wdt", 60.0, capture_feeds=False) == 60.0
    assert left_for_dump_s("iTCO_wdt", 60.0, capture_feeds=True) is None
    assert left_for_dump_s("softdog", 60.0, capture_feeds=False) is None
    assert left_for_dump_s("hpwdt", 60.0, capture_feeds=False) == 60.0
    assert left_for_dump_s("hpwdt", 60.0, capture_feeds=False, panic_by_driver=True) is None


def test_systemd_feeds_at_half_the_interval_and_not_by_default():
    assert not fed_by_systemd(0.0).is_armed
    assert fed_by_systemd(60.0).every_s == 30.0


def test_only_a_pretimeout_leaves_a_dump():
    assert pretimeout_panics("hpwdt")
    assert not pretimeout_panics("iTCO_wdt")
    assert pretimeout_panics("iTCO_wdt", "panic")


# ---------------------------------------------------------------- pstore


@pytest.mark.parametrize(
    ("state", "written", "survives"),
    [
        ({"event": "oops", "backend": "efi"}, True, True),
        ({"event": "panic", "backend": "efi"}, True, True),
        ({"event": "panic", "backend": "efi", "crash_kernel_jumps_first": True}, False, False),
        ({"event": "oops", "backend": "efi", "crash_kernel_jumps_first": True}, True, True),
        ({"event": "shutdown", "backend": "efi"}, False, False),
        ({"event": "shutdown", "backend": "efi", "always_kmsg_dump": True}, True, True),
        ({"event": "panic", "backend": "none"}, False, False),
        ({"event": "panic", "backend": "ramoops"}, True, True),
        ({"event": "panic", "backend": "ramoops", "power_lost": True}, True, False),
        ({"event": "panic", "backend": "erst", "power_lost": True}, True, True),
    ],
)
def test_pstore(state, written, survives):
    found = record(**state)
    assert (found.written, found.survives, bool(found.found_at_boot)) == (written, survives, survives)
    assert found.log_bytes == (10240 if written else 0)


def test_a_log_is_split_over_records():
    assert [records_needed(backend) for backend in ("none", "efi", "ramoops")] == [0, 10, 3]
