"""Exhausted memory, failing file systems and disks, user space: who dies, what panics. Facts, 1.5, 2.2, 2.4, 2.5."""

import itertools
import math

import pytest

from ksim.errors import LinuxError
from ksim.linux.block import AFTER_EIO, ATA_RESET_TRIES_S, DISKS, after_eio, command_fails
from ksim.linux.detectors import detections
from ksim.linux.escalation import escalate
from ksim.linux.events import EVENTS
from ksim.linux.rules import End, Strike
from ksim.linux.sysctl import Settings
from ksim.linux.taint import Taint
from ksim.linux.vocabulary import Task, TaskKind

SYSTEM_WIDE = "Out of memory: system-wide panic_on_oom is enabled"
COMPULSORY = "Out of memory: compulsory panic_on_oom is enabled"


def decide(event, **state):
    made = {name: state.pop(name) for name in list(state) if name in Settings.__dataclass_fields__}
    return escalate(Strike(EVENTS[event], Settings(**made), **state))


# ---------------------------------------------------------------- memory


def expected_oom(event, panic_on_oom, allocating, kind, dying):
    """0 kills; 1 panics where nothing but the machine is short; 2 always. Init and kernel threads are never chosen,
    a task that is dying already always is."""
    if dying and kind == "user" and event != "oom_no_victim":
        return "dying"
    if panic_on_oom == 2:
        return COMPULSORY
    if panic_on_oom == 1 and event in ("oom", "oom_no_victim"):
        return SYSTEM_WIDE
    if event == "oom_no_victim":
        return "System is deadlocked on memory"
    return "asking" if allocating and event != "oom_memcg" and kind == "user" else "badness"


@pytest.mark.parametrize("event", ["oom", "oom_cpuset", "oom_memcg", "oom_no_victim"])
def test_whole_table_of_oom(event):
    words = {"dying": "exiting anyway", "asking": "that asked for memory", "badness": "the highest badness"}
    for panic_on_oom, allocating, kind, dying in itertools.product((0, 1, 2), (0, 1, -1), TaskKind, (False, True)):
        found = decide(
            event, panic_on_oom=panic_on_oom, oom_kill_allocating_task=allocating, task=Task(kind, is_exiting=dying)
        )
        wanted = expected_oom(event, panic_on_oom, allocating, kind.value, dying)
        assert found.taint == Taint.none(), "an OOM kill sets no taint"
        assert (found.oopses, found.warns) == (0, 0)
        if wanted in words:
            assert (found.end, found.message) == (End.KILLED, "")
            assert words[wanted] in found.killed
        else:
            assert found.message == wanted


def test_the_killed_is_named_by_where_memory_was_short():
    assert "of the cgroup" in decide("oom_memcg").killed
    assert "of the cpuset" in decide("oom_cpuset").killed
    assert decide("oom").killed == "the process with the highest badness, by SIGKILL"


def test_a_deadlock_on_memory_says_so_first():
    assert decide("oom_no_victim").prints == ("Out of memory and no killable processes...",)


# ---------------------------------------------------------------- file systems


@pytest.mark.parametrize(
    ("event", "errors", "end", "message"),
    [
        ("ext4_error", "continue", End.GOES_ON, ""),
        ("ext4_error", "remount-ro", End.FILE_SYSTEM, ""),
        ("ext4_error", "panic", End.PANIC, "EXT4-fs (device sda1): panic forced after error"),
        ("ext4_abort", "continue", End.FILE_SYSTEM, ""),
        ("ext4_abort", "remount-ro", End.FILE_SYSTEM, ""),
        ("ext4_abort", "panic", End.PANIC, "EXT4-fs (device sda1): panic forced after error"),
        *(("xfs_shutdown", errors, End.FILE_SYSTEM, "") for errors in ("continue", "remount-ro", "panic")),
        *(("xfs_metadata_write", errors, End.GOES_ON, "") for errors in ("continue", "remount-ro", "panic")),
    ],
)
def test_file_systems(event, errors, end, message):
    found = decide(event, fs_errors=errors)
    assert (found.end, found.message) == (end, message)


def test_what_a_failing_file_system_prints():
    assert decide("ext4_error", fs_errors="remount-ro").prints == ("EXT4-fs (sda1): Remounting filesystem read-only",)
    assert decide("xfs_shutdown").prints == ("XFS (sda1): Please unmount the filesystem and rectify the problem(s)",)


def test_an_ext4_panic_is_a_panic_as_any_other():
    found = decide("ext4_error", fs_errors="panic", crash_kernel_loaded=True)
    assert (found.early_kdump, found.aftermath.action) == (False, "capture")


# ---------------------------------------------------------------- disks


@pytest.mark.parametrize("kind", ["scsi", "nvme"])
def test_a_command_that_can_be_aborted_is_tried_six_times(kind):
    found = command_fails(kind)
    assert (found.tries, found.eio_after_s, found.waits_s, found.host_frozen_s) == (6, 180.0, 180.0, 0.0)
    assert command_fails(kind, timeout_s=10.0).eio_after_s == 60.0


@pytest.mark.parametrize(
    ("kind", "resets_work", "waits_s", "eio_after_s", "frozen_s"),
    [
        ("scsi", False, 90.01, 90.01, 60.0),  # 30 + 0.01 + 10 + 10 + (10 + 10) + (10 + 10)
        ("scsi", True, 40.01, math.inf, 10.0),
        ("nvme", False, 60.0, 60.0, 0.0),  # the abort gets another 30 s, then the controller is reset
        ("nvme", True, 60.0, math.inf, 0.0),
    ],
)
def test_the_ladder(kind, resets_work, waits_s, eio_after_s, frozen_s):
    found = command_fails(kind, aborts_work=False, resets_work=resets_work)
    assert (found.waits_s, found.eio_after_s, found.host_frozen_s) == pytest.approx((waits_s, eio_after_s, frozen_s))


def test_the_rungs_stand_in_their_order_and_the_last_one_gives_up():
    names = [rung.name for rung in DISKS["scsi"].ladder]
    assert names == ["abort", "device reset", "target reset", "bus reset", "host reset", "offline"]
    assert [rung.name for rung in DISKS["nvme"].ladder] == ["abort", "controller reset", "controller removed"]
    assert ATA_RESET_TRIES_S == (10.0, 10.0, 35.0, 5.0)


@pytest.mark.parametrize("kind", ["scsi", "nvme"])
@pytest.mark.parametrize("aborts_work", [True, False])
def test_who_waits_unkillably_beyond_120_s_is_a_hung_task(kind, aborts_work):
    waits = command_fails(kind, aborts_work=aborts_work).waits_s
    for taint, seen in ((Taint.none(), waits > 120.0), (Taint.DIE, False)):
        hang = Strike(EVENTS["hung_task"], taint=taint, lasts_s=waits)
        assert detections(hang)[0].fires == seen


@pytest.mark.parametrize(
    ("file_system", "what", "errors", "end"),
    [
        ("ext4", "metadata", "remount-ro", End.FILE_SYSTEM),
        ("ext4", "metadata", "continue", End.GOES_ON),
        ("ext4", "journal", "continue", End.FILE_SYSTEM),
        ("xfs", "log", "continue", End.FILE_SYSTEM),
        ("xfs", "metadata", "continue", End.GOES_ON),
        ("xfs", "metadata, device gone", "continue", End.FILE_SYSTEM),
    ],
)
def test_what_a_file_system_makes_of_a_final_error(file_system, what, errors, end):
    found = decide(after_eio(file_system, what).event, fs_errors=errors)
    assert (found.end, found.panics) == (end, False)


def test_lost_data_is_the_programs_business():
    assert after_eio("ext4", "data").event == ""
    assert {after.event for after in AFTER_EIO.values() if after.event} <= set(EVENTS)


@pytest.mark.parametrize("timeout_s", [0.0, -1.0, math.inf, math.nan])
def test_no_timeout(timeout_s):
    with pytest.raises(LinuxError, match="times out"):
        command_fails(timeout_s=timeout_s)


def test_unknown_write():
    with pytest.raises(LinuxError, match=r"unknown write 'ext4: meta'; did you mean 'ext4: data'|'ext4: metadata'"):
        after_eio("ext4", "meta")


# ---------------------------------------------------------------- user space


@pytest.mark.parametrize(
    ("event", "task", "end", "message"),
    [
        ("user_fault", Task(), End.KILLED, ""),
        ("user_fault", Task(threads=8), End.KILLED, ""),
        ("user_fault", Task(TaskKind.INIT), End.FROZEN, ""),
        ("user_fault", Task(TaskKind.INIT, init="other"), End.PANIC, "Attempted to kill init! exitcode=0x0000000b"),
        ("user_fault", Task(TaskKind.INIT, 3, init="other"), End.PANIC, "Attempted to kill init! exitcode=0x0000000b"),
        ("copy_fault", Task(), End.GOES_ON, ""),
        ("copy_fault", Task(TaskKind.INIT), End.GOES_ON, ""),
    ],
)
def test_user_space(event, task, end, message):
    for loaded in (False, True):
        found = decide(event, task=task, crash_kernel_loaded=loaded, panic_on_oops=1)
        assert (found.end, found.message) == (end, message)
        assert (found.taint, found.oopses, found.leaks) == (Taint.none(), 0, ())


@pytest.mark.parametrize(("exit_code", "status"), [(0, 0), (1, 0x100), (127, 0x7F00), (255, 0xFF00)])
def test_an_init_that_returns_leaves_a_wait_status(exit_code, status):
    assert decide("init_exit", exit_code=exit_code).message == f"Attempted to kill init! exitcode=0x{status:08x}"
