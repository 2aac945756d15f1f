"""What a system call costs the micro reader in events: this is no timing, so that it can be asserted."""

from __future__ import annotations

import pytest

from ksim.micro.clock import Clock
from ksim.micro.machine import Boot
from ksim.micro.programs import WORKLOADS
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


@pytest.mark.parametrize("workload", WORKLOADS)
def test_a_system_call_is_at_most_four_events(workload: str) -> None:
    """All events of the machine, those of its devices and clients too, for each system call of its programs."""
    boot = boot_of(workload)
    boot.clock.play(500_000_000 if workload != "idle" else 30_000_000_000)
    assert boot.clock.steps <= 4 * boot.sys.count


def test_page_faults_are_a_part_of_the_work_that_meets_them() -> None:
    """512 faults of 500 ns and 9 ms of work in ticks of 4 ms: three events, the first two of them ticks."""
    boot = boot_of("idle")
    ends: list[int] = []

    def body(boot: Boot, task: Task):
        yield boot.sys.plain(task)
        before = boot.clock.now, task.cpu.user_ns, task.cpu.kernel_ns
        yield boot.sys.grow(task, 512, 9_000_000)
        after = boot.clock.now, task.cpu.user_ns, task.cpu.kernel_ns
        ends.extend(late - early for early, late in zip(before, after, strict=True))

    boot.spawn("cc1", body, Process(boot.next_pid, "cc1"))
    boot.clock.play(10_000)
    pieces = []
    while not ends:
        events = boot.clock.steps
        boot.clock.play(boot.clock._queue[0][0])
        pieces.append((boot.clock.steps - events, boot.clock.now))
    assert ends == [9_256_000, 9_000_000, 256_000]
    assert [events for events, _ in pieces] == [1, 1, 2], "the last is the end of the process for SimPy"
    assert [at - pieces[0][1] for _, at in pieces] == [0, 4_000_000, 5_256_000], "ticks are honoured"


def test_simpy_plays_in_the_same_clock() -> None:
    """Its processes begin at once, before all that is due then; its timeouts come in the order of their making."""
    clock = Clock()
    seen: list[object] = []

    def process():
        seen.append("begins")
        for _ in range(2):
            yield clock.timeout(5)
            seen.append(clock.now)

    clock.after(0, lambda: seen.append("due"))
    clock.after(5, lambda: seen.append("call"))
    clock.process(process())
    clock.play(20)
    assert seen == ["begins", "due", "call", 5, 10]
    assert (clock.now, clock.steps) == (20, 6), "two calls, and of the process its begin, two timeouts and its end"


def test_nothing_happens_after_a_stop() -> None:
    """Not even what is due at the same time, nor what the last call says is due next."""
    clock = Clock()
    seen: list[int] = []

    def again():
        seen.append(clock.now)
        if clock.now == 3:
            clock.stop()
        return clock.now + 1, next(clock._eid), again

    clock.put((1, next(clock._eid), again))
    clock.after(3, lambda: seen.append(-1))
    clock.play(2)
    clock.play(100)
    clock.play(200)
    assert (seen, clock.now, clock.steps) == ([1, 2, -1, 3], 3, 4)


def test_a_journal_that_commits_often_leaves_no_dead_timers_behind() -> None:
    """Its five-second deadline is put off at each commit: one entry in the queue, not one for each."""
    boot = boot_of("database")
    boot.clock.play(1_000_000_000)
    assert boot.files.committed_tid > 100
    assert len(boot.clock._queue) < 200
