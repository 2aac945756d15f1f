"""One boot of the micro reader as Linux would play it: every fault, every detector, locks, the OOM killer."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from ksim.errors import ScenarioError
from ksim.linux.detectors import DETECTORS
from ksim.linux.rules import End, Strike
from ksim.linux.vocabulary import Lock as Kind
from ksim.micro.causes import CAUSES, FAULTS, parse_fault
from ksim.micro.locks import deadlocks
from ksim.micro.machine import Boot
from ksim.micro.strike import POINTS
from ksim.micro.task import Process, Task
from tests.contract.micro_boots import OFF, ON, boot, events

BUSY = {
    "ext4_sync_file": "database", "submit_bio": "database", "blk_mq_complete_request": "database",
    "jbd2_journal_commit_transaction": "database", "handle_mm_fault": "build-farm", "vfs_rename": "file-server",
    "do_idle": "idle", "pid1": "idle", "worker_thread": "idle", "shrink_node": "idle",
}  # fmt: skip
"""A workload that passes the point; the web server passes all others."""


def test_an_error_of_another_file_system_is_refused() -> None:
    with pytest.raises(ScenarioError, match="file_system is ext4, which has no such error"):
        boot(faults=("xfs_shutdown:3",))


# ---------------------------------------------------------------- the seven causes

BOTH = {
    "double_fault": "panics", "stack_protector": "panics", "mce_fatal": "panics", "mce_timeout": "panics",
    "ghes_fatal": "panics", "divide_error": "panics", "sysrq_c": "panics", "init_exit": "panics",
    "stack_end": "goes on", "copy_fault": "goes on", "mce_copy": "goes on", "poison_clean": "goes on",
    "poison_user": "goes on", "poison_kernel": "goes on", "mce_corrected": "goes on", "serr_nmi": "goes on",
    "xfs_metadata_write": "goes on", "mce_user": "kills", "user_fault": "kills", "xfs_shutdown": "read-only",
    "workqueue_lockup": "hangs", "silent_hang": "hangs",
}  # fmt: skip
"""Whatever the settings: a fault in an interrupt or NMI panics, one of user space never does. (A workqueue stall panics
by a parameter of the command line only; PCI SERR only prints here, for no driver claims it.)"""
BY_SETTING = {
    "null_deref": "oopses", "page_fault": "oopses", "gpf": "oopses", "stack_guard": "oopses", "bug": "oopses",
    "unknown_nmi": "goes on", "iock_nmi": "goes on", "list_corruption": "goes on", "ext4_error": "goes on",
    "warn": "goes on", "scheduling_while_atomic": "goes on", "ubsan": "goes on", "kasan": "goes on",
    "hard_lockup": "hangs", "all_cpus_hang": "hangs", "soft_lockup": "hangs", "hung_task": "hangs",
    "rcu_stall": "hangs",
}  # fmt: skip
"""With every knob off; with every knob on they panic."""


def test_every_cause_has_its_faults_and_they_end_in_every_way() -> None:
    assert len(CAUSES) == 7
    assert {fault.cause for fault in FAULTS.values()} == set(CAUSES)
    events_ = {name for name, fault in FAULTS.items() if fault.kind == "event"}
    assert set(BOTH) | set(BY_SETTING) == events_, "a new fault needs its line here"
    assert set(BOTH.values()) | set(BY_SETTING.values()) >= {"oopses", "panics", "hangs", "goes on"}


@pytest.mark.parametrize("knobs", ["off", "on"])
@pytest.mark.parametrize("name", [*BOTH, *BY_SETTING])
def test_every_fault_ends_as_linux_says(name: str, knobs: str) -> None:
    point = FAULTS[name].point
    overrides = [f"micro.workload={BUSY.get(point, 'web-server')}", *(ON if knobs == "on" else OFF)]
    overrides += ["kernel.hung_task_timeout_secs=10"]
    overrides += ["micro.disk.file_system=xfs"] if name.startswith("xfs") else []
    overrides += ["micro.memory.leak=2000"] if point == "shrink_node" else []
    it = boot(*overrides, faults=(f"{name}:3",))
    ending = it.run(5.0 if point in ("handle_mm_fault", "shrink_node") else 45.0)
    expected = BOTH.get(name) or ("panics" if knobs == "on" else BY_SETTING[name])
    found = [e.decision for e in it.console if e.decision and e.decision.strike.event.name == name]
    if found:  # the rules of ksim.linux say the same about the state in which it struck
        strike: Strike = found[0].strike
        kept = {field: getattr(strike, field) for field in Strike.__dataclass_fields__}
        again = it.linux.decide(name, **{k: v for k, v in kept.items() if k not in ("event", "settings")})
        assert (again.rule, again.end) == (found[0].rule, found[0].end)
        assert strike.context is it.armed[point].point.context
    if expected == "panics":
        assert ending.kind == "panicked"
        assert ending.decision is found[-1]
    elif expected == "hangs":
        assert ending.kind == "hung"
        assert ending.silent == (not found)
    else:
        assert ending.kind == "survived" or expected == "oopses"
        assert found
        assert found[0].end is {
            "oopses": End.KILLED, "read-only": End.FILE_SYSTEM, "kills": End.KILLED,
        }.get(expected, found[0].end)  # fmt: skip
    assert it.oops.oopses == (expected == "oopses")
    assert it.files.is_read_only == (expected == "read-only")
    if expected == "oopses":
        assert [task.state for task in it.tasks if task.state in ("X", "Z")] in (["X"], ["Z"])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("null_dref", "did you mean 'null_deref'"),
        ("null-deref@vfs_raed", "did you mean 'vfs_read'"),
        ("nic_hang@vfs_read", "dev_queue_xmit and nowhere else"),
        ("null_deref:0", "expected a pass from 1"),
        ("null_deref:x", "expected a pass from 1"),
        ("hung_task@napi_poll", "nobody can sleep in napi_poll"),
        ("hung_task@blk_mq_complete_request:5", "scheduling_while_atomic"),
        ("silent_hang@submit_bio", "nobody can sleep in submit_bio"),
        ("silent_hang@folio_add_lru", "nobody can sleep"),
        ("hung_task@do_idle", "nobody can sleep in do_idle"),
    ],
)
def test_a_wrong_fault_is_named(text: str, says: str) -> None:
    with pytest.raises(ScenarioError, match=says):
        parse_fault(text)


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("micro.disk.lost=2", "lost"),
        ("micro.nic.drop=-0.1", "drop"),
        ("micro.workload=databse", "database"),
        ("micro.disk.chanels=3", "channels"),
        ("micro.nic.driver=e1000x", "e1000e"),
    ],
)
def test_a_wrong_setting_is_named(override: str, says: str) -> None:
    with pytest.raises(ScenarioError, match=says):
        boot(override)


def test_a_workload_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ScenarioError, match=r"web-server needs .* GiB .* host.memory is 1 GiB"):
        boot("micro.workload=web-server", "host.memory=1 GiB")


# ---------------------------------------------------------------- oopses that are survived


def test_a_survived_oops_leaves_its_lock_behind_and_blinds_khungtaskd() -> None:
    """The same wait without an oops is reported; after one, taint D keeps khungtaskd silent for good."""
    knobs = ("micro.workload=web-server", "kernel.panic_on_oops=0", "kernel.hung_task_timeout_secs=20")
    oops, hang = boot(*knobs, faults=("page_fault@vfs_write:3",)), boot(*knobs, faults=("hung_task@vfs_write:3",))
    ending = oops.run(100.0)
    hang.run(100.0)
    dead = next(task for task in oops.tasks if task.state == "X")
    log = oops.by_name["access.log"].lock
    assert log.owners == [dead]
    assert dead.held == [log]
    followers = [task for task in oops.tasks if task.waits_for is log]
    assert len(followers) > 20
    assert {task.state for task in followers} == {"D"}
    assert ending.kind == "hung"
    assert sum("of a dead task" in text for text in ending.stuck) == len(followers)
    assert events(oops) == ["page_fault"]
    assert "hung_task" in events(hang)


def test_a_leaked_spinlock_hangs_the_next_cpu() -> None:
    it = boot("micro.workload=database", *OFF, faults=("null_deref@submit_bio:3",))
    ending = it.run(30.0)
    assert events(it)[0] == "null_deref"
    assert it.armed["submit_bio"].leaked[0].kind is Kind.SPINLOCK_IRQ
    assert ending.kind == "hung"
    assert any(text.startswith("CPU") for text in ending.stuck)


def test_who_waits_for_a_dead_journal_waits_for_ever() -> None:
    it = boot("micro.workload=database", *OFF, faults=("bug:2",))
    ending = it.run(20.0)
    waiting = [task for task in it.tasks if task.waits_for == "jbd2_log_wait_commit"]
    assert waiting
    assert ending.kind == "hung"
    assert sum("of dead jbd2" in text for text in ending.stuck) == len(waiting)


def test_two_renames_in_the_wrong_order_deadlock() -> None:
    it = boot("micro.workload=file-server", "micro.load=1", faults=("lock_inversion:2",))
    ending = it.run(20.0)
    assert ending.kind == "hung"
    (circle,) = deadlocks(it.tasks)
    assert circle.startswith("nfsd[")
    assert circle in ending.stuck


def test_nobody_waits_for_himself() -> None:
    """A waiter that was handed the lock and has not run yet is no deadlock."""
    it = boot("micro.workload=build-farm", "host.cpus=64")
    for ms in range(400, 1000, 25):
        it.clock.play(ms * 1_000_000)
        assert deadlocks(it.tasks) == []


# ---------------------------------------------------------------- detectors

REPLICATIONS = 200


def test_a_soft_lockup_is_seen_in_time() -> None:
    latencies = []
    for replication in range(REPLICATIONS):
        it = boot(
            "micro.workload=idle", "kernel.softlockup_panic=1", faults=("soft_lockup@pid1:1",), replication=replication
        )
        ending = it.run(60.0)
        assert ending.kind == "panicked"
        assert ending.decision is not None
        latency = next(d for d in ending.decision.detections if d.detector == "soft_lockup").panic_latency
        assert (latency.low_s, latency.high_s) == (20.0, 26.0)
        took = ending.impact.detect_s
        assert latency.low_s <= took <= latency.high_s
        assert took == pytest.approx((ending.at_ns - ending.struck_ns) / 1e9)
        latencies.append(took)
    assert max(latencies) - min(latencies) > 4.0


def test_a_hung_task_is_seen_in_time() -> None:
    """At the second scan at the latest; when that is, follows from when the task fell asleep."""
    latencies = []
    for replication in range(REPLICATIONS):
        it = boot(
            "micro.workload=idle", "kernel.hung_task_panic=1", "kernel.hung_task_timeout_secs=5",
            faults=(f"hung_task@pid1:{1 + replication % 9}",), replication=replication,
        )  # fmt: skip
        ending = it.run(40.0)
        assert ending.kind == "panicked"
        assert ending.decision is not None
        latency = DETECTORS["hung_task"].latency(ending.decision.strike)
        assert (latency.low_s, latency.high_s) == (5.0, 10.0)
        assert latency.low_s <= ending.impact.detect_s <= latency.high_s
        latencies.append(ending.impact.detect_s)
    assert max(latencies) - min(latencies) > 3.0


def test_a_line_about_something_else_does_not_break_the_silence() -> None:
    """Silent: not a line about the hang. An oops counts where what it left behind is what others wait for."""
    knobs = ("micro.workload=web-server", *OFF)
    assert boot(*knobs, faults=("silent_hang@vfs_read:3", "ubsan@vfs_write:2")).run(3.0).silent
    assert boot(*knobs, faults=("silent_hang@vfs_read:3", "null_deref@folio_add_lru:2")).run(3.0).silent
    assert not boot(*knobs, faults=("null_deref@vfs_write:3",)).run(3.0).silent
    assert not boot(*knobs, "kernel.hung_task_timeout_secs=1", faults=("hung_task@vfs_write:3",)).run(4.0).silent


# ---------------------------------------------------------------- out of memory

THIRSTY = ("micro.workload=build-farm", "host.memory=3 GiB", "micro.memory.leak=300")


def killed(it: Boot) -> list[str]:
    return [victim.partition("[")[0] for victim in it.oom_killed]


def test_the_oom_killer_takes_the_worst() -> None:
    it = boot(*THIRSTY)
    assert it.run(25.0).kind == "survived"
    assert killed(it)[0] == "leaky"
    assert events(it)[0] == "oom"
    assert it.pager.oom_kills == 1


def test_a_leak_begins_at_its_pass() -> None:
    it = boot("micro.workload=web-server", faults=("memory_leak:100",))
    leaks = it.armed["do_syscall_64"].leaks
    assert leaks is not None
    while leaks.passes < 100:
        assert not any(task.comm == "leaky" for task in it.tasks)
        assert it.oops.never_struck()
        it.clock.play(it.clock.now + 10_000)
    assert it.oops.never_struck() == []
    assert any(task.comm == "leaky" for task in it.tasks)
    assert not it.armed, "and nothing waits there any more"


def test_or_whoever_asks() -> None:
    it = boot(*THIRSTY, "vm.oom_kill_allocating_task=1")
    it.run(25.0)
    assert "cc1" in killed(it)


def test_or_the_machine() -> None:
    ending = boot(*THIRSTY, "vm.panic_on_oom=1").run(25.0)
    assert ending.kind == "panicked"
    assert ending.decision is not None
    assert ending.decision.message.startswith("Out of memory: system-wide panic_on_oom")


def test_swap_gives_page_tables_back() -> None:
    """They map what is in swap, too; who dies leaves none behind."""
    it = boot(*THIRSTY, "micro.memory.swap=1 GiB")
    it.run(25.0)
    assert it.pager.swapped_out > 0
    assert "leaky" in killed(it)
    assert it.pager.memory.tables == sum(process.tables for process in it.pager.processes)
    assert it.pager.memory.tables < it.pager.memory.anon / 256 + 1000


def test_memory_that_comes_back_wakes_nobody_twice() -> None:
    """Who starved, and got his pages before the 100 ms were over, sleeps undisturbed on whatever comes next."""
    it = boot("micro.workload=idle")
    memory, woken = it.pager.memory, []
    for file in it.files.files:
        file.cached = 0
    memory.kernel, memory.cache, memory.free = memory.kernel + memory.cache + memory.free, 0, 0

    def comes_back() -> None:
        memory.kernel -= 200_000
        it.pager.give_back(200_000)

    def body(boot: Boot, task: Task) -> Generator[Any, Any, None]:
        woken.append((yield task.enter(boot.pager.allocate(task, 10))))
        yield task.sleep("D", "a lock")
        woken.append("too early")

    task = it.spawn("thirsty", body, Process(99, "thirsty"))
    it.clock.after(50_000_000, comes_back)
    it.clock.play(500_000_000)
    assert woken == [True]
    assert (task.state, task.waits_for) == ("D", "a lock")


def test_a_file_has_no_more_pages_in_memory_than_it_has() -> None:
    """A reader may bring in what a writer wants to add, while that one waits for memory."""
    it = boot("micro.workload=idle")
    file = it.by_name["syslog"]
    assert it.pager.take(file.pages)
    it.files.grown(file, file.pages)
    assert file.cached == file.pages
    assert it.pager.memory.check() == 0


@pytest.mark.parametrize("point", POINTS)
def test_every_point_is_on_the_way_of_some_workload(point: str) -> None:
    """A point that the kernel never passes would be a fault that never strikes."""
    busy = {"wb_workfn": "file-server", **BUSY}.get(point, "web-server")
    pressure = ["micro.memory.leak=2000"] if point == "shrink_node" else []
    it = boot(f"micro.workload={busy}", *OFF, *pressure, faults=(f"warn@{point}:1",))
    it.run(40.0 if point == "wb_workfn" else 6.0)
    assert it.oops.never_struck() == []


def test_two_faults_in_one_place_are_refused() -> None:
    for faults in (
        ("null_deref:5", "page_fault@vfs_read:9"),
        ("disk_lost:5", "disk_dies:9"),
        ("nic_hang", "nic_hang:5"),
    ):
        with pytest.raises(ScenarioError, match="one each"):
            boot(faults=faults)
    boot(faults=("null_deref:5", "page_fault:9", "disk_lost:5", "bad_sector:5", "packet_lost:3"))


def test_nobody_reaps_the_children_of_a_frozen_systemd() -> None:
    """A segfault of pid 1 freezes it; who dies after that stays a zombie, and no service is started again."""
    it = boot(*OFF, faults=("user_fault@pid1:1",))
    it.clock.play(2 * 10**9)
    assert it.oops.init_frozen
    it.oops.arm(parse_fault("null_deref:1"))
    it.run(4.0)
    assert [task.state for task in it.tasks if task.state in ("X", "Z")] == ["Z"]
    assert it.restarts == 0
