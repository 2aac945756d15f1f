"""What the kernel prints: by kind, by release, by its ending; against lines of real consoles."""

import itertools
import json
import re
from pathlib import Path

import pytest

from ksim.errors import LinuxError
from ksim.linux.console import Look, prefixed, report
from ksim.linux.console.capture import capture_report
from ksim.linux.console.look import CUT_HERE, END_TRACE
from ksim.linux.escalation import escalate
from ksim.linux.events import EVENTS
from ksim.linux.rules import End, Strike
from ksim.linux.sysctl import Settings, parse_release
from ksim.linux.taint import Taint
from ksim.linux.vocabulary import Context, Lock, Task, TaskKind

DATA = Path(__file__).parents[1] / "data" / "console_lines.jsonl"
REAL = [row for row in map(json.loads, DATA.read_text("utf-8").splitlines()) if "SOURCE" not in row]
GOLDEN = Path(__file__).parents[1] / "golden" / "console"
RELEASES = ("6.1.0", "6.12.0", "7.3.4")


def log(event="null_deref", release="6.12.0", **state):
    made = {name: state.pop(name) for name in list(state) if name in Settings.__dataclass_fields__}
    settings = Settings(release=parse_release(release), **made)
    return report(escalate(Strike(EVENTS[event], settings, **state)), Look(release=release))


# ---------------------------------------------------------------- endings (facts, section 8.4)


def test_a_crash_that_jumps_from_within_the_oops_ends_in_its_body():
    lines = log(context=Context.SOFTIRQ, crash_kernel_loaded=True)
    assert lines[-1] == "CR2: 0000000000000008"
    assert not any("end trace" in line or "Kernel panic" in line for line in lines)
    assert sum(line.startswith("RIP:") for line in lines) == 1
    assert log("bug", context=Context.SOFTIRQ, crash_kernel_loaded=True)[-1].startswith("Modules linked in:")


def test_a_direct_panic_with_a_crash_kernel_ends_with_its_stack():
    lines = log("sysrq_c", crash_kernel_loaded=True)
    assert "Kernel panic - not syncing: sysrq triggered crash" in lines
    assert lines[-1] == " </TASK>"
    assert not any(line.startswith(("Kernel Offset", "Rebooting", "---[ end Kernel")) for line in lines)


def test_the_stack_is_printed_once_after_an_oops():
    lines = log("bug", panic_on_oops=1)
    at = lines.index("Kernel panic - not syncing: Fatal exception")
    assert lines[at + 1].startswith("Kernel Offset: ")
    assert sum(line == "Call Trace:" for line in lines) == 1


@pytest.mark.parametrize(
    ("panic", "event", "last"),
    [
        (0, "sysrq_c", "---[ end Kernel panic - not syncing: sysrq triggered crash ]---"),
        (10, "sysrq_c", "Rebooting in 10 seconds.."),
        (-1, "sysrq_c", None),
        (0, "mce_fatal", "Rebooting in 30 seconds.."),
        (5, "mce_fatal", "Rebooting in 5 seconds.."),
    ],
)
def test_endings_without_a_crash_kernel(panic, event, last):
    lines = log(event, panic=panic)
    assert lines[-1] == last or (last is None and lines[-1].startswith("Kernel Offset: "))
    assert sum(line.startswith("---[ end Kernel panic") for line in lines) == (panic == 0 and event == "sysrq_c")


def test_with_post_notifiers_the_offset_is_printed_before_the_jump():
    lines = log("bug", context=Context.SOFTIRQ, crash_kernel_loaded=True, crash_kexec_post_notifiers=1)
    assert lines[-1].startswith("Kernel Offset: ")
    assert "Kernel panic - not syncing: Fatal exception in interrupt" in lines


# ---------------------------------------------------------------- releases (facts, sections 8.2, 8.3, 9)


@pytest.mark.parametrize(
    ("event", "release", "line"),
    [
        ("null_deref", "6.1.0", "Oops: 0002 [#1] PREEMPT SMP NOPTI"),
        ("null_deref", "6.9.0", "Oops: 0002 [#1] PREEMPT SMP NOPTI"),
        ("null_deref", "6.10.0", "Oops: Oops: 0002 [#1] PREEMPT SMP NOPTI"),
        ("null_deref", "6.12.0", "Oops: Oops: 0002 [#1] PREEMPT SMP NOPTI"),
        ("page_fault", "7.3.4", "Oops: Oops: 0000 [#1] SMP NOPTI"),
        ("bug", "6.1.0", "invalid opcode: 0000 [#1] PREEMPT SMP NOPTI"),
        ("bug", "6.12.0", "Oops: invalid opcode: 0000 [#1] PREEMPT SMP NOPTI"),
        ("null_deref", "6.1.0", "CPU: 3 PID: 1234 Comm: worker Not tainted 6.1.0 #1"),
        ("null_deref", "6.12.0", "CPU: 3 UID: 0 PID: 1234 Comm: worker Not tainted 6.12.0 #1"),
        ("null_deref", "7.3.4", "CPU: 3 UID: 0 PID: 1234 Comm: worker Not tainted 7.3.4 #1 PREEMPT(voluntary)"),
        ("warn", "6.12.0", "WARNING: CPU: 3 PID: 1234 at drivers/test/test.c:123 do_work+0x1f3/0x200 [test]"),
        ("warn", "7.3.4", "WARNING: drivers/test/test.c:123 at do_work+0x1f3/0x200 [test], CPU#3: worker/1234"),
        ("hard_lockup", "6.1.0", "NMI watchdog: Watchdog detected hard LOCKUP on cpu 3"),
        ("hard_lockup", "6.12.0", "watchdog: Watchdog detected hard LOCKUP on cpu 3"),
        ("hard_lockup", "7.3.4", "watchdog: CPU3: Watchdog detected hard LOCKUP on cpu 3"),
        ("hung_task", "6.12.0", "INFO: task worker:1234 blocked for more than 120 seconds."),
        ("hung_task", "7.3.4", "INFO: task worker:1234 blocked in I/O wait for more than 120 seconds."),
        ("soft_lockup", "6.12.0", "watchdog: BUG: soft lockup - CPU#3 stuck for 22s! [worker:1234]"),
        ("rcu_stall", "6.12.0", "rcu: \t(t=5252 jiffies g=12345 q=67 ncpus=8)"),
        ("unknown_nmi", "6.12.0", "Uhhuh. NMI received for unknown reason 2d on CPU 3."),
        ("unknown_nmi", "6.12.0", "Dazed and confused, but trying to continue"),
        ("double_fault", "6.12.0", "PANIC: double fault, error_code: 0x0"),
        ("bug", "6.12.0", "kernel BUG at drivers/test/test.c:123!"),
        ("xfs_shutdown", "6.12.0", "XFS (sda1): Please unmount the filesystem and rectify the problem(s)"),
    ],
)
def test_lines(event, release, line):
    assert line in log(event, release)


@pytest.mark.parametrize(
    ("event", "old", "new", "differ"),
    [
        ("null_deref", "6.9.0", "6.10.0", {"header", "release"}),
        ("null_deref", "6.10.0", "6.11.0", {"uid", "release"}),
        ("null_deref", "6.14.0", "6.15.0", {"header", "release"}),
        ("warn", "6.17.0", "6.18.0", {"warning", "release"}),
    ],
)
def test_the_same_crash_differs_where_linux_differs_and_nowhere_else(event, old, new, differ):
    pairs = [(a, b) for a, b in itertools.zip_longest(log(event, old), log(event, new)) if a != b]
    kinds = {
        "header" if "[#1]" in a else "warning" if "WARNING" in a else "release" if "Comm:" in a else "?"
        for a, _ in pairs
    }
    assert kinds == differ - {"uid"}
    for a, b in pairs:
        if "Comm:" in a and "uid" in differ:
            assert b == a.replace(old, new).replace("PID", "UID: 0 PID")


@pytest.mark.parametrize(
    ("release", "first", "last"), [("6.1.0", "=" * 80, "=" * 80), ("6.12.0", CUT_HERE, "---[ end trace ]---")]
)
def test_ubsan_closes_its_report_before_it_panics(release, first, last):
    """lib/ubsan.c, ubsan_epilogue(): no number in the end marker, and check_panic_on_warn() behind it."""
    assert (log("ubsan", release)[0], log("ubsan", release)[-1]) == (first, last)
    lines = log("ubsan", release, panic_on_warn=1)
    assert lines[lines.index("Kernel panic - not syncing: UBSAN: panic_on_warn set ...") - 1] == last


def test_scheduling_while_atomic_panics_before_its_stack_and_has_no_end_marker():
    """kernel/sched/core.c, __schedule_bug(); syzkaller report 643 and 644."""
    assert log("scheduling_while_atomic")[-1] == " </TASK>"
    lines = log("scheduling_while_atomic", panic_on_warn=1)
    assert lines[1].startswith("Modules linked in:")
    assert lines[2] == "Kernel panic - not syncing: scheduling while atomic: panic_on_warn set ..."
    assert sum(line == "Call Trace:" for line in lines) == 1


def test_a_warning_that_panics_over_its_taint_is_printed_whole():
    """__warn() prints its end marker before add_taint()."""
    for event in ("warn", "list_corruption"):
        lines = log(event, panic_on_taint=Taint.WARN)
        assert lines[lines.index("Kernel panic - not syncing: panic_on_taint set ...") - 1] == END_TRACE
        assert END_TRACE not in log(event, panic_on_warn=1)


def test_taint_is_that_of_before_the_oops_and_spelled_out_since_6_12():
    first = [line for line in log() if "Comm:" in line]
    assert "Not tainted" in first[0]
    second = log(oopses=1, taint=Taint.DIE | Taint.WARN)
    assert "[#2]" in " ".join(second)
    assert "Tainted: [D]=DIE, [W]=WARN" in second
    assert not any("[D]=DIE" in line for line in log(release="6.1.0", taint=Taint.DIE))
    after = log("soft_lockup", softlockup_panic=1)
    stack = after[after.index("Kernel panic - not syncing: softlockup: hung tasks") + 1]
    assert "Tainted: G             L" in stack


def test_notes_of_a_task_that_dies_with_a_lock():
    lines = log(locks=(Lock.SPINLOCK_IRQ,), task=Task(TaskKind.KTHREAD))
    assert lines[-2:] == (
        "note: kthread[211] exited with irqs disabled",
        "note: kthread[211] exited with preempt_count 1",
    )


def test_hung_task_reports_end_and_say_so():
    assert log("hung_task", hung_reports=9)[-1].startswith("Future hung task reports are suppressed")
    assert log("hung_task", "6.1.0", hung_reports=9)[-1] == " </TASK>"
    assert log("hung_task", hung_reports=10) == ()
    assert log("hung_task", taint=Taint.DIE, hung_task_panic=1) == ()
    assert any("blocked for more" in line for line in log("hung_task", hung_reports=10, hung_task_panic=1))


def test_a_hung_task_is_found_by_khungtaskd():
    lines = log("hung_task", hung_task_panic=1)
    at = lines.index("Kernel panic - not syncing: hung_task: blocked tasks")
    assert "Comm: khungtaskd Not tainted" in lines[at + 1]
    assert lines[0].startswith("INFO: task worker:1234 blocked")


def test_a_count_of_thresholds_shows_in_the_printed_time():
    line = log("soft_lockup", "7.3.4", softlockup_panic=3)[0]
    assert int(re.search(r"stuck for (\d+)s", line)[1]) >= 55


def test_out_of_memory():
    lines = log("oom")
    assert lines[0].startswith("worker invoked oom-killer: gfp_mask=")
    assert any(line.startswith("Out of memory: Killed process ") for line in lines)
    assert any("Memory cgroup out of memory: Killed process" in line for line in log("oom_memcg"))
    panic = log("oom", panic_on_oom=1)
    assert not any("Killed process" in line for line in panic)
    assert "Kernel panic - not syncing: Out of memory: system-wide panic_on_oom is enabled" in panic


# ---------------------------------------------------------------- always


SETTINGS = [{}, {"panic_on_oops": 1, "panic_on_warn": 1, "softlockup_panic": 1, "panic_on_oom": 2, "panic": 10}]


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("release", RELEASES)
def test_every_event_in_every_release(event, release):
    for made, loaded, context in itertools.product(SETTINGS, (False, True), (Context.PROCESS, Context.SOFTIRQ)):
        strike = Strike(
            EVENTS[event], Settings(release=parse_release(release), **made), context, crash_kernel_loaded=loaded
        )
        decision = escalate(strike)
        lines = report(decision, Look(release=release))
        assert all(line == "" or line.replace("\t", " ").isprintable() for line in lines)
        assert not any("{" in line and "{1}" not in line and "{do_work" not in line for line in lines)
        assert sum(line.startswith("Kernel panic - not syncing: ") for line in lines) == (decision.end is End.PANIC)
        if decision.end is End.JUMP:
            assert lines


# ---------------------------------------------------------------- against real consoles

OURS = {
    "null_deref": log(),
    "page_fault": log("page_fault"),
    "#PF": log(),
    "error_code": log(),
    "header 6.10": [*log("gpf"), *log("bug"), *log()],
    "header": [*log("gpf", "6.1.0"), *log("bug", "6.1.0")],
    "bug": log("bug"),
    "warning": log("warn"),
    "cpu": log(release="6.1.0"),
    "cpu uid": log(),
    "cpu model": log(release="7.3.4"),
    "rip": log(),
    "cs": log(),
    "fs": log(),
    "rsp": log(),
    "rax": log(),
    "end trace": log(),
    "panic": [*log("bug", panic_on_oops=1), *log("bug", context=Context.SOFTIRQ)],
    "panic_on_warn": log("warn", panic_on_warn=1),
    "softlockup panic": log("soft_lockup", softlockup_panic=1),
    "hung panic": log("hung_task", hung_task_panic=1),
    "soft_lockup": log("soft_lockup"),
    "hung_task": [*log("hung_task"), *log("hung_task", "7.3.4")],
    "hung echo": log("hung_task"),
    "rcu": log("rcu_stall"),
    "rebooting": log("sysrq_c", panic=10),
    "double_fault": log("double_fault"),
}


def pattern(line):
    """One of our lines as a regular expression: names, numbers, flags and releases may be others."""
    text = re.escape(line)
    text = text.replace(re.escape("do_work+0x1f3/0x200 [test]"), r"\S+(\ \[\S+\])?").replace("worker", r".+?")
    text = text.replace(re.escape("drivers/test/test.c:123"), r"\S+:\d+").replace(re.escape("QEMU"), ".*")
    text = re.sub(r"(Not\\ tainted|Tainted:[^0-9]*)\\ [0-9\\.]+\\ \\#1", r"(Not tainted|Tainted: .*?) .*", text)
    text = re.sub(r"PREEMPT\\\(\w+\\\)", r"PREEMPT.*", text)
    text = re.sub(r"(PREEMPT\\ )?SMP\\ NOPTI", r"(PREEMPT(_RT)? )?SMP.*", text)
    text = re.sub(r"supervisor\\ \w+\\ access", r"supervisor (write access|read access|instruction fetch)", text)
    text = re.sub(r"0xdead\w+|[0-9a-f]{16}", lambda m: ("0x" if m[0].startswith("0x") else "") + r"[0-9a-f]+", text)
    text = re.sub(r"0x0+[0-9a-f]+", "0x[0-9a-f]+", text)
    return re.sub(r"rcu_\w+", r"rcu_\\w+", re.sub(r"(?<![\[a-z0-9\\])\d+(?![\]a-f\-])", r"[0-9a-f]+", text))


@pytest.mark.parametrize("row", REAL, ids=lambda row: f"{row['kind']} {row['file']}")
def test_real_lines_have_the_form_of_ours(row):
    assert any(re.fullmatch(pattern(line), row["line"]) for line in OURS[row["kind"]]), row["line"]


def test_every_kind_is_there():
    assert {row["kind"] for row in REAL} == set(OURS)


TITLES = {
    r"BUG: kernel NULL pointer dereference": "null_deref",
    r"BUG: unable to handle page fault": "page_fault",
    r"PANIC: double fault": "double_fault",
    r"general protection fault": "gpf",
    r"divide error": "divide_error",
    r"kernel BUG at": "bug",
    r"stack guard page was hit": "stack_guard",
    r"WARNING: ": "warn",
    r"BUG: scheduling while atomic": "scheduling_while_atomic",
    r"UBSAN: ": "ubsan",
    r"BUG: KASAN: ": "kasan",
    r"BUG: soft lockup": "soft_lockup",
    r"hard LOCKUP": "hard_lockup",
    r"INFO: task .* blocked": "hung_task",
    r"rcu: INFO: .* stall": "rcu_stall",
    r"BUG: workqueue lockup": "workqueue_lockup",
    r"invoked oom-killer": "oom",
    r"EXT4-fs error": "ext4_error",
    r"Machine Check Exception": "mce_fatal",
}
"""The first lines by which log readers tell crashes apart; no reader of ours wrote them."""


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize(("title", "event"), TITLES.items(), ids=TITLES.values())
def test_a_reader_tells_our_crashes_apart(title, event, release):
    state = {"workqueue_watchdog_thresh": 30} if event == "workqueue_lockup" else {}
    lines = log(event, release, **state)
    first = next(line for line in lines if any(re.search(other, line) for other in TITLES))
    assert re.search(title, first), first


# ---------------------------------------------------------------- prefixes, capture kernel, golden logs


def test_prefixes():
    lines = ("a", "b")
    assert prefixed(lines) == ("[   12.345678] a", "[   12.345679] b")
    assert prefixed(lines, "caller", 626.611274, task=51)[0] == "[  626.611274][   T51] a"
    assert prefixed(lines, "caller", 626.611274)[0] == "[  626.611274][    C0] a"
    assert prefixed(lines, "raw")[0] == "<4>[   12.345678] a"
    assert prefixed(lines, "journal", stamp="Jan 15 10:00:00 host")[1] == "Jan 15 10:00:00 host kernel: b"
    assert prefixed(lines, "kmsg", 5.1409)[0] == "4,300,5140900,-;a"
    assert prefixed(lines, "none") == lines
    with pytest.raises(LinuxError, match="time stamp"):
        prefixed(lines, "journal")


@pytest.mark.parametrize(
    ("result", "state", "last", "contains"),
    [
        ("saved", {}, "kdump[544]: Executing final action systemctl reboot -f", "saving vmcore complete"),
        (
            "saved",
            {"final_action": "halt"},
            "kdump[544]: Executing final action systemctl halt -f",
            "vmcore-dmesg.txt complete",
        ),
        ("no space", {}, "kdump[544]: Executing failure action systemctl reboot -f", "incomplete dumpfile"),
        ("failed", {"exit_code": 2}, "kdump[544]: Executing failure action systemctl reboot -f", "exitcode:2"),
        (
            "failed",
            {"failure_action": "shell"},
            "kdump[544]: Executing final action systemctl reboot -f",
            "action shell",
        ),
        ("network lost", {}, "kdump[544]: Executing failure action systemctl reboot -f", "still isn't ready"),
        ("out of memory", {}, "Rebooting in 10 seconds..", "page allocation failure"),
        (
            "out of memory",
            {"capture_panic_s": 0},
            "---[ end Kernel panic - not syncing: System is deadlocked on memory ]---",
            "invoked oom-killer",
        ),
    ],
)
def test_the_capture_kernel(result, state, last, contains):
    lines = capture_report(result, **state)
    assert lines[-1] == last
    assert any(contains in line for line in lines)


STORIES = {
    "null_deref_survived_6.1": ("null_deref", "6.1.0", {"locks": (Lock.MUTEX,)}),
    "softirq_kdump_6.12": ("page_fault", "6.12.0", {"context": Context.SOFTIRQ, "crash_kernel_loaded": True}),
    "panic_on_oops_7.3": ("bug", "7.3.4", {"panic_on_oops": 1, "panic": 10}),
    "panic_on_warn_6.12": ("warn", "6.12.0", {"panic_on_warn": 1}),
    "softlockup_panic_7.3": ("soft_lockup", "7.3.4", {"softlockup_panic": 1}),
}


@pytest.mark.parametrize("story", STORIES)
def test_golden_log(story, golden_update):
    event, release, state = STORIES[story]
    file, found = GOLDEN / f"{story}.txt", "\n".join([*prefixed(log(event, release, **state)), ""])
    if golden_update:
        file.write_text(found, encoding="utf-8")
    assert found == file.read_text(encoding="utf-8")


def test_no_golden_log_is_left_over():
    assert {file.stem for file in GOLDEN.glob("*.txt")} == set(STORIES)
