"""One boot of the micro reader as Linux would play it: every fault, every detector, the OOM killer, a dying disk."""

from __future__ import annotations

import math
from collections.abc import Generator
from functools import cache
from typing import Any

import pytest

from ksim.errors import ScenarioError
from ksim.linux.block import command_fails
from ksim.linux.detectors import DETECTORS
from ksim.linux.rules import End, Strike
from ksim.linux.vocabulary import Lock as Kind
from ksim.micro.causes import CAUSES, FAULTS, parse_fault
from ksim.micro.locks import deadlocks
from ksim.micro.machine import Boot
from ksim.micro.task import Process, Task
from ksim.model.loader import load
from ksim.model.scenario import Scenario

SMALL = (
    "host.memory=8 GiB", "host.cpus=2", "micro.load=0.02", "micro.disk.lost=0", "micro.nic.hang=0",
    "linux.cmdline=quiet rcupdate.rcu_cpu_stall_timeout=21",
)  # fmt: skip
KNOBS = (
    "kernel.panic_on_oops", "kernel.softlockup_panic", "kernel.hardlockup_panic", "kernel.hung_task_panic",
    "kernel.panic_on_rcu_stall", "kernel.panic_on_warn", "kernel.unknown_nmi_panic", "kernel.panic_on_io_nmi",
)  # fmt: skip
OFF = (*(f"{knob}=0" for knob in KNOBS), "vm.panic_on_oom=0", "micro.disk.errors=continue")
ON = (*(f"{knob}=1" for knob in KNOBS), "vm.panic_on_oom=1", "micro.disk.errors=panic")
BUSY = {
    "ext4_sync_file": "database", "submit_bio": "database", "blk_mq_complete_request": "database",
    "jbd2_journal_commit_transaction": "database", "handle_mm_fault": "build-farm", "vfs_rename": "file-server",
    "do_idle": "idle", "pid1": "idle", "worker_thread": "idle", "shrink_node": "idle",
}  # fmt: skip
"""A workload that passes the point; the web server passes all others."""


def boot(*overrides: str, faults: tuple[str, ...] = (), replication: int = 0) -> Boot:
    return Boot(scenario(overrides), replication, faults=[parse_fault(text) for text in faults])


@cache
def scenario(overrides: tuple[str, ...]) -> Scenario:
    return load("rack-server", (*SMALL, *overrides)).scenario


def lines(it: Boot) -> list[str]:
    return [line for entry in it.console for line in entry.lines]


def events(it: Boot) -> list[str]:
    return [entry.decision.strike.event.name for entry in it.console if entry.decision]


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


# ---------------------------------------------------------------- oopses that are survived


def test_who_waits_for_a_dead_journal_waits_for_ever() -> None:
    it = boot("micro.workload=database", *OFF, faults=("bug:2",))
    ending = it.run(20.0)
    waiting = [task for task in it.tasks if task.waits_for == "jbd2_log_wait_commit"]
    assert waiting
    assert ending.kind == "hung"
    assert sum("of dead jbd2" in text for text in ending.stuck) == len(waiting)


def test_nobody_waits_for_himself() -> None:
    """A waiter that was handed the lock and has not run yet is no deadlock."""
    it = boot("micro.workload=build-farm", "host.cpus=8")
    for ms in range(20, 400, 7):
        it.clock.play(ms * 1_000_000)
        assert deadlocks(it.tasks) == []


# ---------------------------------------------------------------- detectors

REPLICATIONS = 200


# ---------------------------------------------------------------- out of memory

THIRSTY = ("micro.workload=build-farm", "host.memory=3 GiB", "micro.memory.leak=300")


def killed(it: Boot) -> list[str]:
    return [task.process.comm for task in it.tasks if task.process.is_dying]


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


# ---------------------------------------------------------------- the disk


@pytest.mark.parametrize("kind", ["nvme", "scsi"])
def test_a_lost_command_costs_half_a_minute(kind: str) -> None:
    it = boot(
        "micro.workload=database", f"micro.disk.kind={kind}", "micro.disk.abort_works=1", faults=("disk_lost:20",)
    )
    assert it.run(60.0).kind == "survived"
    assert it.disk.timeouts == 1
    assert it.disk.failed == 0
    assert 30.0 <= it.nic.worst_ns / 1e9 <= 30.5


def test_a_fsync_behind_a_failed_commit_fails_at_once() -> None:
    """errors=continue: the waiters of the failed commit hear of it; nobody runs in circles."""
    it = boot("micro.workload=database", "micro.disk.errors=continue", "micro.load=0.1", faults=("disk_dies:20",))
    it.run(120.0)
    busy = sum(cpu.user_ns + cpu.kernel_ns for cpu in it.scheduler.cpus)
    assert busy < 0.2 * 120e9
    assert it.nic.in_flight <= 1


def test_what_the_disk_did_not_take_is_not_durable() -> None:
    it = boot("micro.workload=database", "micro.disk.errors=continue", faults=("disk_dies:20",))
    it.run(120.0)
    wal = it.by_name["wal"]
    assert wal.lost > 0
    assert wal.acked <= wal.durable < wal.written


def test_an_armed_point_makes_no_difference_to_the_page_cache() -> None:
    """One draw decides whether a page is there, armed or not."""
    plain, armed = boot("micro.workload=database"), boot("micro.workload=database", faults=("kasan:1000000",))
    plain.run(10.0)
    armed.run(10.0)
    assert plain.files.cache_misses == armed.files.cache_misses
    reads = 4 * plain.nic.completed
    hit = plain.by_name["data"].hit
    assert plain.files.cache_misses == pytest.approx(reads * (1.0 - hit), rel=0.25)


# ---------------------------------------------------------------- the network card
