"""What becomes of an oops, a warning, a direct panic: row by row, over the whole table, with every consequence."""

import itertools
import math
from dataclasses import replace

import pytest

from ksim.errors import LinuxError
from ksim.linux.escalation import as_data, escalate, rows_of, unasked
from ksim.linux.events import EVENTS, event_named
from ksim.linux.oops import OOPS_ROWS
from ksim.linux.panic import PANIC_ROWS, after_panic
from ksim.linux.rules import End, Strike
from ksim.linux.sysctl import Settings
from ksim.linux.taint import Taint
from ksim.linux.vocabulary import Context, Lock, Task, TaskKind

NO_CONTEXT_SURVIVES = {Context.BH_DISABLED, Context.SOFTIRQ, Context.HARDIRQ, Context.NMI}


def strike(event="bug", **state):
    made = {name: state.pop(name) for name in list(state) if name in Settings.__dataclass_fields__}
    return Strike(EVENTS[event], Settings(**made), **state)


def decide(event="bug", **state):
    return escalate(strike(event, **state))


# ---------------------------------------------------------------- oopses


def expected(context, kind, threads, exiting, panic_on_oops, limit, count, loaded, late, lock, handled):
    """Facts, section 1.2, in prose: the order of oops_end(), then of make_task_dead() and do_exit()."""
    in_interrupt = context in NO_CONTEXT_SURVIVES or lock is Lock.SPINLOCK_BH
    if loaded and not late and (in_interrupt or kind in ("idle", "init") or panic_on_oops):
        return "jump"
    if handled:
        return "goes on"
    if in_interrupt:
        return "Fatal exception in interrupt"
    if panic_on_oops:
        return "Fatal exception"
    if kind == "idle":
        return "Attempted to kill the idle task!"
    if limit and count + 1 >= limit:
        return f"Oopsed too often (kernel.oops_limit is {limit})"
    if exiting:
        return "parked"
    if kind == "init" and threads == 1:
        return "Attempted to kill init! exitcode=0x0000000b"
    return "killed"


def seen(decision):
    match decision.end:
        case End.JUMP:
            return "jump"
        case End.GOES_ON:
            return "goes on"
    return decision.message if decision.panics else decision.end.value


TASKS = [("user", 1), ("user", 4), ("kthread", 1), ("kworker", 1), ("idle", 1), ("init", 1), ("init", 3)]


@pytest.mark.parametrize("context", Context)
@pytest.mark.parametrize(("kind", "threads"), TASKS)
def test_whole_table(context, kind, threads):
    for exiting, panic_on_oops, (limit, count), loaded, late, lock, handled in itertools.product(
        (False, True),
        (0, 1, -1),
        ((0, 10**9), (1, 0), (3, 1), (3, 2), (10000, 9998), (10000, 9999)),
        (False, True),
        (0, 1),
        (None, *Lock),
        (False, True),
    ):
        found = decide(
            context=context,
            task=Task(TaskKind(kind), threads, exiting),
            locks=(lock,) if lock else (),
            oopses=count,
            crash_kernel_loaded=loaded,
            is_handled=handled,
            panic_on_oops=panic_on_oops,
            oops_limit=limit,
            crash_kexec_post_notifiers=late,
        )
        wanted = expected(context, kind, threads, exiting, panic_on_oops, limit, count, loaded, late, lock, handled)
        assert seen(found) == wanted
        dead = wanted in ("killed", "parked")
        assert found.leaks == () or (dead and found.leaks[0].lock is lock)
        assert bool(found.leaks) == (dead and lock is not None)
        assert found.early_kdump == (wanted == "jump")
        assert (found.aftermath is None) == (wanted in ("killed", "parked", "goes on"))
        assert bool(found.taint & Taint.DIE) == (wanted != "jump")
        assert (found.blind == ("hung_task",)) == (found.aftermath is None)


@pytest.mark.parametrize("row", OOPS_ROWS, ids=lambda row: row.name)
def test_every_row_of_the_oops_table_can_decide_or_show(row):
    """Each row holds for some state, and does not for another (but for the two that always hold)."""
    states = {
        "early_crash_kexec": {"crash_kernel_loaded": True, "context": Context.SOFTIRQ},
        "consumed": {"is_handled": True},
        "in_interrupt": {"context": Context.HARDIRQ},
        "panic_on_oops": {"panic_on_oops": 1},
        "idle_task": {"task": Task(TaskKind.IDLE)},
        "irqs_off": {"irqs_off": True},
        "preempt_count": {"preempt_count": 1},
        "oops_limit": {"oops_limit": 1},
        "recursive_fault": {"task": Task(is_exiting=True)},
        "init": {"task": Task(TaskKind.INIT)},
    }
    steps = {step.rule: step.held for step in decide(**states.get(row.name, {})).steps}
    assert steps[row.name]
    if row.name in states:
        assert not {step.rule: step.held for step in decide().steps}[row.name]


@pytest.mark.parametrize(
    ("event", "code"), [("null_deref", "00000009"), ("page_fault", "00000009"), ("gpf", "0000000b")]
)
def test_exit_code_of_a_dying_init_is_the_signal(event, code):
    assert decide(event, task=Task(TaskKind.INIT)).message == f"Attempted to kill init! exitcode=0x{code}"


def test_notes_of_a_dying_task():
    found = decide(locks=(Lock.SPINLOCK_IRQ, Lock.SPINLOCK), preempt_count=1, task=Task(comm="dd", pid=77))
    notes = [line for line in found.prints if line.startswith("note:")]
    assert notes == ["note: dd[77] exited with irqs disabled", "note: dd[77] exited with preempt_count 3"]
    assert decide(task=Task(is_exiting=True)).prints[-1] == "Fixing recursive fault but reboot is needed!"


@pytest.mark.parametrize(
    ("task", "text"),
    [
        (Task(comm="sh", pid=9), "the process sh[9], with signal 11"),
        (Task(threads=5), "one thread of worker[1234]: the process lives on with 4 of 5 threads"),
        (Task(TaskKind.KWORKER), "its work item never completes"),
        (Task(TaskKind.KTHREAD), "kernel thread"),
        (Task(TaskKind.INIT, 2), "one thread of systemd[1]"),
    ],
)
def test_who_dies(task, text):
    assert text in decide(task=task).killed


@pytest.mark.parametrize(
    ("lock", "shows"),
    [
        (Lock.MUTEX, "hung_task"),
        (Lock.RWSEM, "hung_task"),
        (Lock.SPINLOCK, "soft_lockup"),
        (Lock.SPINLOCK_IRQ, "hard_lockup"),
    ],
)
def test_a_leaked_lock_shows_itself(lock, shows):
    assert [leak.shows_as for leak in decide(locks=(lock,)).leaks] == [shows]


def test_counters_count_the_oops_that_panics_but_not_one_that_jumps_or_is_in_interrupt():
    assert decide(oopses=4).oopses == 5
    assert decide(oopses=4, oops_limit=5).oopses == 5
    assert decide(oopses=4, context=Context.SOFTIRQ).oopses == 4
    assert decide(oopses=4, context=Context.SOFTIRQ, crash_kernel_loaded=True).oopses == 4


@pytest.mark.parametrize(
    ("state", "records"),
    [
        ({}, ("oops",)),
        ({"context": Context.SOFTIRQ}, ("oops", "panic")),
        ({"context": Context.SOFTIRQ, "crash_kernel_loaded": True}, ()),
        ({"context": Context.SOFTIRQ, "crash_kernel_loaded": True, "crash_kexec_post_notifiers": 1}, ("oops", "panic")),
        ({"oops_limit": 1, "crash_kernel_loaded": True}, ("oops",)),
    ],
)
def test_pstore(state, records):
    assert decide(**state).pstore == records


def test_double_fault_is_always_in_interrupt_and_a_stack_guard_is_not():
    assert decide("double_fault").message == "Fatal exception in interrupt"
    assert decide("stack_guard").end is End.KILLED
    assert decide("stack_guard", context=Context.SOFTIRQ).panics


# ---------------------------------------------------------------- taint, warnings, direct panics


def test_panic_on_taint_beats_everything_behind_it():
    found = decide(panic_on_taint=int(Taint.DIE))
    assert (found.message, found.rule, found.pstore) == ("panic_on_taint set ...", "panic_on_taint", ("panic",))
    assert decide(panic_on_taint=int(Taint.WARN)).end is End.KILLED
    assert decide("warn", panic_on_taint=int(Taint.WARN)).message == "panic_on_taint set ..."
    jump = decide(panic_on_taint=int(Taint.DIE), context=Context.SOFTIRQ, crash_kernel_loaded=True)
    assert jump.early_kdump, "the jump comes before the taint"


@pytest.mark.parametrize(
    ("event", "origin", "taint"),
    [
        ("warn", "kernel", Taint.WARN),
        ("scheduling_while_atomic", "scheduling while atomic", Taint.WARN),
        ("kasan", "KASAN", Taint.BAD_PAGE),
        ("ubsan", "UBSAN", Taint.none()),
        ("list_corruption", "kernel", Taint.WARN),
    ],
)
def test_warnings(event, origin, taint):
    calm = decide(event)
    assert (calm.end, calm.taint, calm.warns, calm.killed) == (End.GOES_ON, taint, 1, "")
    angry = decide(event, panic_on_warn=1, warn_limit=1)
    assert (angry.message, angry.taint, angry.warns) == (f"{origin}: panic_on_warn set ...", Taint.none(), 0)
    limited = decide(event, warn_limit=3, warns=2)
    assert limited.message == f"{origin}: system warned too often (kernel.warn_limit is 3)"
    assert limited.warns == 3
    assert not decide(event, warn_limit=3, warns=1).panics


def test_list_corruption_is_a_bug_where_the_kernel_is_built_so():
    assert decide("list_corruption", bug_on_data_corruption=1).end is End.KILLED
    assert decide("list_corruption", bug_on_data_corruption=1, panic_on_oops=1).message == "Fatal exception"


def test_a_warning_never_kills_whatever_the_context():
    for context in Context:
        assert decide("warn", context=context, task=Task(TaskKind.IDLE)).end is End.GOES_ON


def test_user_space_may_not_taint_its_way_into_a_panic():
    mask = int(Taint.USER)
    assert decide("user_taint", writes=Taint.USER).taint == Taint.USER
    assert decide("user_taint", writes=Taint.USER, panic_on_taint=mask).panics
    refused = decide("user_taint", writes=Taint.USER, panic_on_taint=mask, panic_on_taint_nousertaint=1)
    assert (refused.end, refused.taint, refused.rule) == (End.GOES_ON, Taint.none(), "nousertaint")
    other = decide("user_taint", writes=Taint.WARN, panic_on_taint=mask, panic_on_taint_nousertaint=1)
    assert other.taint == Taint.WARN


@pytest.mark.parametrize(
    ("event", "message"),
    [
        ("sysrq_c", "sysrq triggered crash"),
        ("stack_protector", "stack-protector: Kernel stack is corrupted in: "),
        ("stack_end", "corrupted stack end detected inside scheduler"),
    ],
)
def test_direct_panics_whatever_the_settings(event, message):
    found = decide(event, sched_stack_end_check=1)
    assert found.message.startswith(message)
    assert not found.early_kdump
    late = decide(event, sched_stack_end_check=1, crash_kernel_loaded=True)
    assert (late.end, late.aftermath.action) == (End.PANIC, "capture")


def test_without_the_check_nobody_sees_the_end_of_the_stack():
    assert decide("stack_end").end is End.GOES_ON


# ---------------------------------------------------------------- after the panic


@pytest.mark.parametrize(
    ("panic", "loaded", "cause", "action", "wait_s", "rule"),
    [
        (0, False, "", "hang", math.inf, "endless_loop"),
        (0, False, "machine_check", "reboot", 30.0, "machine_check_timeout"),
        (0, False, "ghes", "hang", math.inf, "endless_loop"),
        (10, False, "", "reboot", 10.0, "panic_timeout"),
        (10, False, "machine_check", "reboot", 10.0, "panic_timeout"),
        (-1, False, "", "reboot", 0.0, "panic_at_once"),
        (-1, False, "machine_check", "reboot", 0.0, "panic_at_once"),
        (0, True, "", "capture", 0.0, "crash_kexec"),
        (0, True, "machine_check", "capture", 0.0, "crash_kexec"),
        (60, True, "", "capture", 0.0, "crash_kexec"),
    ],
)
def test_after_panic(panic, loaded, cause, action, wait_s, rule):
    found = after_panic(Settings(panic=panic), crash_kernel_loaded=loaded, cause=cause)
    assert (found.action, found.wait_s, found.rule) == (action, wait_s, rule)
    assert found.writes_pstore == found.runs_notifiers == (action != "capture")


def test_old_kernels_gave_firmware_errors_30_s_too():
    old = replace(Settings(), release=(5, 15))
    assert after_panic(old, crash_kernel_loaded=False, cause="ghes").wait_s == 30.0


def test_post_notifiers_run_everything_before_the_jump():
    found = after_panic(Settings(crash_kexec_post_notifiers=1), crash_kernel_loaded=True)
    assert (found.action, found.rule, found.writes_pstore) == ("capture", "crash_kexec_late", True)


def test_cma_waits_ten_seconds_for_stray_dma():
    assert after_panic(Settings(), crash_kernel_loaded=True, has_cma=True).wait_s == 10.0
    assert after_panic(Settings(panic=5), crash_kernel_loaded=False, has_cma=True).wait_s == 5.0


def test_panic_print_names_what_it_prints_and_kdump_skips_it():
    steps = {s.rule: s for s in after_panic(Settings(panic_print=3), crash_kernel_loaded=False).steps}
    assert steps["panic_print"].held
    assert steps["panic_print"].says == "prints tasks, memory"
    assert "panic_print" not in {s.rule for s in after_panic(Settings(panic_print=3), crash_kernel_loaded=True).steps}


def test_every_row_names_a_kernel_file_or_manual():
    tables = [row for event in EVENTS for row in rows_of(strike(event))]
    for row in (*tables, *PANIC_ROWS):
        assert row.source.title in ("Linux", "systemd")
        assert row.source.locator
    assert len({row.name for row in OOPS_ROWS}) == len(OOPS_ROWS)


# ---------------------------------------------------------------- all events, as data


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("loaded", [False, True])
def test_every_event_is_decided_and_can_be_told_as_json(event, loaded):
    found = decide(event, crash_kernel_loaded=loaded)
    data = as_data(found)
    assert data["panics"] == found.panics == (data["next"] is not None)
    assert data["steps"]
    assert data["rule"] in {step["rule"] for step in data["steps"] if step["held"]}
    assert (data["message"] is not None) == (found.end is End.PANIC)


def test_unknown_events_and_impossible_states_are_named():
    with pytest.raises(LinuxError, match=r"unknown event 'nul_deref'; did you mean 'null_deref'"):
        event_named("nul_deref")
    assert event_named("null-deref").name == "null_deref"
    for wrong in ({"oopses": -1}, {"lasts_s": math.nan}, {"hung_tasks": 0}, {"exit_code": 256}):
        with pytest.raises(LinuxError):
            strike(**wrong)
    with pytest.raises(LinuxError, match="has one thread"):
        Task(TaskKind.IDLE, 2)
    with pytest.raises(LinuxError, match="at least 1 thread"):
        Task(threads=0)


def test_what_linux_does_not_ask_about_is_named():
    assert unasked(strike("soft_lockup", locks=(Lock.MUTEX,), oopses=3)) == ("locks", "oopses")
    assert unasked(strike("bug", locks=(Lock.MUTEX,), oopses=3, taint=Taint.WARN)) == ()


# ---------------------------------------------------------------- every setting and every part of a state matters

BUSY = {"locks": (Lock.SPINLOCK,)}
SETTING_CASES = {
    "panic": ("sysrq_c", {}, 0, 10),
    "panic_on_oops": ("bug", {}, 0, 1),
    "oops_limit": ("bug", {}, 10000, 1),
    "panic_on_warn": ("warn", {}, 0, 1),
    "warn_limit": ("warn", {}, 0, 1),
    "panic_on_taint": ("warn", {}, 0, int(Taint.WARN)),
    "panic_on_taint_nousertaint": ("user_taint", {"writes": Taint.USER, "panic_on_taint": 64}, 0, 1),
    "crash_kexec_post_notifiers": ("bug", {"context": Context.SOFTIRQ, "crash_kernel_loaded": True}, 0, 1),
    "panic_print": ("sysrq_c", {}, 0, 1),
    "softlockup_panic": ("soft_lockup", {}, 0, 1),
    "hardlockup_panic": ("hard_lockup", {}, 0, 1),
    "watchdog_thresh": ("soft_lockup", {}, 10, 20),
    "nmi_watchdog": ("hard_lockup", {}, 0, 1),
    "soft_watchdog": ("soft_lockup", {}, 0, 1),
    "hung_task_panic": ("hung_task", {}, 0, 1),
    "hung_task_timeout_secs": ("hung_task", {}, 120, 60),
    "hung_task_check_interval_secs": ("hung_task", {}, 0, 30),
    "hung_task_warnings": ("hung_task", {"hung_reports": 10}, 10, 11),
    "panic_on_rcu_stall": ("rcu_stall", {}, 0, 1),
    "max_rcu_stall_to_panic": ("rcu_stall", {"panic_on_rcu_stall": 1}, 0, 3),
    "rcu_cpu_stall_timeout": ("rcu_stall", {}, 21, 60),
    "rcu_cpu_stall_suppress": ("rcu_stall", {}, 0, 1),
    "workqueue_watchdog_thresh": ("workqueue_lockup", {}, 0, 30),
    "workqueue_panic_on_stall": ("workqueue_lockup", {"workqueue_watchdog_thresh": 30}, 0, 1),
    "workqueue_panic_on_stall_time": ("workqueue_lockup", {"workqueue_watchdog_thresh": 30}, 0, 60),
    "unknown_nmi_panic": ("unknown_nmi", {}, 0, 1),
    "panic_on_unrecovered_nmi": ("serr_nmi", {}, 0, 1),
    "panic_on_io_nmi": ("iock_nmi", {}, 0, 1),
    "panic_on_oom": ("oom", {}, 0, 1),
    "oom_kill_allocating_task": ("oom", {}, 0, 1),
    "memory_failure_recovery": ("poison_user", {}, 1, 0),
    "memory_failure_early_kill": ("poison_user", {}, 0, 1),
    "panic_on_unrecoverable_memory_failure": ("poison_kernel", {}, 0, 1),
    "hardlockup_detector": ("all_cpus_hang", {"hardlockup_panic": 1}, "perf", "buddy"),
    "bug_on_data_corruption": ("list_corruption", {}, 0, 1),
    "sched_stack_end_check": ("stack_end", {}, 0, 1),
    "release": ("soft_lockup", {"softlockup_panic": 3}, (6, 12), (7, 0)),
}
PAGER = {"swappiness", "dirty_ratio", "dirty_background_ratio", "min_free_kbytes"}
"""They decide when memory is short, not what Linux does then: see test_micro_parameters.py."""
DECIDED_ELSEWHERE = {"kexec_load_disabled", "kexec_load_limit_panic", *PAGER}
"""The first two decide whether a crash kernel is loaded at all: Settings.crash_kernel_loadable."""
STATE_CASES = {
    "event": None,
    "settings": None,
    "context": ("bug", Context.PROCESS, Context.SOFTIRQ),
    "task": ("bug", Task(), Task(TaskKind.INIT)),
    "locks": ("bug", (), (Lock.MUTEX,)),
    "irqs_off": ("bug", False, True),
    "preempt_count": ("bug", 0, 1),
    "taint": ("hung_task", Taint.none(), Taint.DIE),
    "oopses": ("bug", 0, 9999),
    "warns": ("warn", 0, 1),
    "stalls": ("rcu_stall", 0, 2),
    "hung_reports": ("hung_task", 0, 10),
    "hung_tasks": ("hung_task", 1, 5),
    "lasts_s": ("soft_lockup", math.inf, 10.0),
    "crash_kernel_loaded": ("sysrq_c", False, True),
    "is_handled": ("bug", False, True),
    "writes": ("user_taint", Taint.none(), Taint.USER),
    "exit_code": ("init_exit", 1, 127),
    "fs_errors": ("ext4_error", "continue", "panic"),
}


def outcome(decision):
    """Everything that somebody could observe."""
    return as_data(decision) | {"prints": decision.prints}


def test_no_setting_and_no_part_of_a_state_is_without_a_case():
    assert set(SETTING_CASES) | DECIDED_ELSEWHERE == set(Settings.__dataclass_fields__)
    assert set(STATE_CASES) == set(Strike.__dataclass_fields__)


@pytest.mark.parametrize("name", SETTING_CASES)
def test_every_setting_changes_a_decision(name):
    event, state, one, other = SETTING_CASES[name]
    assert outcome(decide(event, **state, **{name: one})) != outcome(decide(event, **state, **{name: other}))


@pytest.mark.parametrize("name", [name for name in STATE_CASES if STATE_CASES[name]])
def test_every_part_of_a_state_changes_a_decision(name):
    event, one, other = STATE_CASES[name]
    more = {"max_rcu_stall_to_panic": 3, "panic_on_rcu_stall": 1, "hung_task_panic": 3, "release": (6, 19)}
    assert outcome(decide(event, **more, **{name: one})) != outcome(decide(event, **more, **{name: other}))


@pytest.mark.parametrize(
    ("event", "name", "value"),
    [
        ("bug", "panic_on_warn", 1),
        ("warn", "panic_on_oops", 1),
        ("warn", "oops_limit", 1),
        ("soft_lockup", "hung_task_panic", 1),
        ("hung_task", "softlockup_panic", 1),
        ("mce_fatal", "panic_on_oops", 1),
        ("oom_memcg", "panic_on_oom", 1),
        ("oom_memcg", "oom_kill_allocating_task", 1),
        ("unknown_nmi", "panic_on_io_nmi", 1),
        ("copy_fault", "panic_on_oops", 1),
    ],
)
def test_linux_ignores_the_setting_for_this_event(event, name, value):
    assert outcome(decide(event, **{name: value})) == outcome(decide(event))
