"""What a system call costs the micro reader in events: this is no timing, so that it can be asserted."""

from __future__ import annotations

import pytest

from ksim.micro.machine import Boot
from ksim.micro.task import Process, Task
from ksim.model.loader import load

TASKS = 50


def boot_of(workload: str) -> Boot:
    return Boot(load("rack-server", (f"micro.workload={workload}",)).scenario)


def test_a_plain_system_call_is_one_event() -> None:
    """50 tasks on CPUs of their own that do nothing but plain calls: from then on, events and calls are the same."""
    boot = boot_of("idle")

    def body(boot: Boot, task: Task):
        while True:
            yield boot.sys.plain(task)

    for number in range(TASKS):
        boot.spawn("calls", body, Process(boot.next_pid, f"calls{number}"))
    boot.clock.play(100_000)  # all have begun, and nobody else wakes up for a second
    events, calls = boot.clock.steps, boot.sys.count
    boot.clock.play(300_000)
    assert boot.sys.count - calls > 10_000
    assert boot.clock.steps - events == boot.sys.count - calls


@pytest.mark.parametrize("workload", ["web-server", "database", "file-server", "idle"])
def test_a_system_call_is_at_most_four_events(workload: str) -> None:
    """All events of the machine, those of its devices and clients too, for each system call of its programs."""
    boot = boot_of(workload)
    boot.clock.play(500_000_000 if workload != "idle" else 30_000_000_000)
    assert boot.clock.steps <= 4 * boot.sys.count


def test_a_journal_that_commits_often_leaves_no_dead_timers_behind() -> None:
    """Its five-second deadline is put off at each commit: one entry in the queue, not one for each."""
    boot = boot_of("database")
    boot.clock.play(1_000_000_000)
    assert boot.files.committed_tid > 100
    assert len(boot.clock._queue) < 200
