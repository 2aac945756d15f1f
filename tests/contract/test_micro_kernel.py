"""What the kernel of one boot does beside failing: signals, contexts, locks that two CPUs want, zombies, priorities."""

from __future__ import annotations

from collections.abc import Generator
from itertools import pairwise
from typing import Any

import pytest

from ksim.linux.sched import weight
from ksim.micro import crash
from ksim.micro.machine import Boot
from ksim.micro.task import Oopsed, Process, Task
from tests.contract.micro_boots import OFF, boot, events

MS = 1_000_000
Body = Generator[Any, Any, None]

# ---------------------------------------------------------------- SIGKILL


def program(it: Boot, body: Any) -> Task:
    process = Process(it.next_pid, "victim", restarts=False)
    it.pager.processes.append(process)
    return it.spawn("victim", body, process)


def kill_at(it: Boot, task: Task, ns: int) -> None:
    it.clock.play(ns)
    task.kill()


def test_a_killed_task_dies_at_the_end_of_the_call_under_way() -> None:
    it = boot("micro.workload=idle")
    done: list[str] = []

    def body(boot: Boot, task: Task) -> Body:
        for number in range(10**6):
            yield boot.sys.write(task, boot.by_name["root"], 40_960)
            done.append(f"write {number}")
            yield boot.sys.plain(task)
            done.append(f"plain {number}")

    task = program(it, body)
    kill_at(it, task, 20 * MS)
    before = len(done)
    it.clock.play(21 * MS)
    assert (task.state, len(done)) == ("X", before)
    assert not it.by_name["root"].lock.owners


def test_nor_does_it_go_on_with_its_own_work() -> None:
    it = boot("micro.workload=idle")

    def body(boot: Boot, task: Task) -> Body:
        yield boot.sys.work(task, 10**9)

    task = program(it, body)
    kill_at(it, task, 20 * MS)
    it.clock.play(25 * MS)  # the tick at the latest
    assert task.state == "X"


def test_sigkill_ends_the_wait_for_data_and_the_page_comes_all_the_same() -> None:
    it = boot("micro.workload=idle", "micro.disk.read=200 ms")
    file = it.by_name["root"]
    file.cached, it.pager.memory.cache, it.pager.memory.free = (
        0, it.pager.memory.cache - file.cached, it.pager.memory.free + file.cached,
    )  # fmt: skip

    def body(boot: Boot, task: Task) -> Body:
        yield boot.sys.read(task, file, 4096)

    task = program(it, body)
    kill_at(it, task, 100 * MS)
    it.clock.play(101 * MS)
    assert task.state == "X"
    assert it.pager.memory.reading > 0
    it.clock.play(300 * MS)
    assert (it.pager.memory.reading, it.pager.memory.check()) == (0, 0)
    assert file.cached > 0


def test_but_not_the_wait_in_fsync() -> None:
    """wait_on_page_writeback() and jbd2_log_wait_commit() sleep in TASK_UNINTERRUPTIBLE."""
    it = boot("micro.workload=idle", "micro.disk.write=200 ms")

    def body(boot: Boot, task: Task) -> Body:
        yield boot.sys.write(task, boot.by_name["root"], 4096)
        yield boot.sys.fsync(task, boot.by_name["root"])

    task = program(it, body)
    kill_at(it, task, 100 * MS)
    it.clock.play(190 * MS)
    assert task.state == "D"
    it.clock.play(2_000 * MS)
    assert task.state == "X"


SLOW = (
    "micro.workload=file-server", "micro.load=3", "host.memory=4 GiB",
    "vm.dirty_background_ratio=1", "vm.dirty_ratio=2",
)  # fmt: skip


def throttled(it: Boot) -> list[Task]:
    return [task for task in it.tasks if task.waits_for == "balance_dirty_pages"]


def test_a_throttled_writer_can_be_killed() -> None:
    it = boot(*SLOW, "micro.disk.write=5 s", "micro.disk.channels=64")
    it.clock.play(3_000 * MS)
    task = throttled(it)[0]
    task.process.restarts = False
    task.kill()
    it.clock.play(3_010 * MS)
    assert task.state == "Z", "the first of its process"


def test_writers_behind_a_dead_flusher_stand_still_and_khungtaskd_does_not_see_them() -> None:
    """TASK_KILLABLE, and awake every 200 ms: no hung task. The flusher itself is one, where it hangs."""
    died = boot(*SLOW, *OFF, faults=("bug@wb_workfn:1",))
    ending = died.run(4.0)
    assert ending.kind == "hung"
    assert throttled(died)
    assert sum("waits for writeback of dead kworker" in text for text in ending.stuck) == len(throttled(died))
    hangs = boot(*SLOW, *OFF, "kernel.hung_task_timeout_secs=1", faults=("hung_task@wb_workfn:1",))
    ending = hangs.run(5.0)
    assert sum("waits for writeback of stuck kworker" in text for text in ending.stuck) == len(throttled(hangs)) > 0
    seen = {e.decision.strike.task.comm for e in hangs.console if e.decision}
    assert events(hangs)
    assert set(events(hangs)) == {"hung_task"}
    assert seen == {"kworker/u8:1-flush"}
    assert all(e.decision.strike.hung_tasks == 1 for e in hangs.console if e.decision)


# ---------------------------------------------------------------- preemption off


def printed(it: Boot) -> list[str]:
    return [line for entry in it.console if entry.decision for line in entry.decision.prints]


def test_an_oops_with_preemption_off_is_noted_and_nobody_waits_for_it() -> None:
    """local_lock() is preempt_disable() and no lock: make_task_dead() puts the count right, and that is all."""
    it = boot("micro.workload=web-server", *OFF, faults=("null_deref@folio_add_lru:3",))
    ending = it.run(20.0)
    (dead,) = (task for task in it.tasks if task.state == "X")
    assert f"note: {dead.comm}[{dead.tid}] exited with preempt_count 1" in printed(it)
    assert ending.kind == "survived"


def test_a_spinlock_that_its_dead_owner_keeps_locks_up_the_next_writers() -> None:
    it = boot("micro.workload=database", *OFF, faults=("null_deref@__jbd2_journal_file_buffer:3",))
    ending = it.run(40.0)
    assert any("exited with preempt_count 1" in line for line in printed(it))
    assert not any("irqs disabled" in line for line in printed(it))
    assert set(events(it)) == {"null_deref", "soft_lockup"}, "interrupts are on: no hard lockup"
    assert ending.kind == "hung"


@pytest.mark.parametrize("point", ["__jbd2_journal_file_buffer", "dev_queue_xmit", "submit_bio"])
def test_a_cpu_that_loops_with_a_spinlock_takes_the_others_along(point: str) -> None:
    it = boot("micro.workload=database", "micro.load=0.3", *OFF, faults=(f"soft_lockup@{point}:3",))
    it.run(3.0)
    assert all(cpu.is_lost for cpu in it.scheduler.cpus)


@pytest.mark.parametrize(
    ("fault", "is_deaf"),
    [
        ("hard_lockup@vfs_read:50", True),
        ("soft_lockup@vfs_read:50", False),
        ("soft_lockup@napi_poll:50", True),
        ("soft_lockup@handle_irq_event:50", True),
    ],
)
def test_a_cpu_with_interrupts_off_does_not_hear_the_card(fault: str, is_deaf: bool) -> None:
    """Its flows wait in their ring until that overflows; the other CPU's go on. Interrupts on: all are served."""
    it = boot("micro.workload=web-server", "micro.load=1", "micro.nic.drop=0", *OFF, faults=(fault,))
    it.clock.play(1_000 * MS)
    (lost,) = (cpu for cpu in it.scheduler.cpus if cpu.is_lost)
    irq_ns, dropped, completed = lost.irq_ns, it.nic.dropped, it.nic.completed
    it.clock.play(1_500 * MS)
    assert (lost.irq_ns == irq_ns) == is_deaf
    assert (it.nic.dropped > dropped) == is_deaf
    assert it.nic.completed > completed
    assert len(it.nic.unheard.get(lost, ())) == (it.nic.rules.rx_ring if is_deaf else 0)
    assert it.nic.in_flight == it.nic.issued - it.nic.completed - it.nic.lost


def test_nobody_hears_the_card_where_all_cpus_hang() -> None:
    it = boot("micro.workload=web-server", "micro.load=1", *OFF, faults=("all_cpus_hang@napi_poll:50",))
    it.clock.play(1_000 * MS)
    packets = it.nic.packets
    it.clock.play(1_500 * MS)
    assert it.nic.packets == packets
    assert not it.nic.ring


# ---------------------------------------------------------------- spinlocks that two CPUs want


def test_the_second_cpu_spins_and_that_is_cpu_time() -> None:
    it = boot("micro.workload=idle", "host.cpus=4")
    took: list[tuple[int, int]] = []

    def writer(name: str) -> Any:
        def body(boot: Boot, task: Task) -> Body:
            yield boot.sys.nanosleep(task, 30 * MS - task.now_ns)  # all of them wake up at once
            before = task.ran_ns
            yield boot.sys.write(task, boot.by_name[name], 4096)
            took.append((task.now_ns, task.ran_ns - before))

        return body

    for name in ("syslog", "root"):
        program(it, writer(name))
    it.clock.play(40 * MS)
    lock = it.files.list_lock
    (_, first), (_, second) = sorted(took)
    assert (lock.contended, lock.spun_ns) == (1, second - first)
    assert second - first == lock.hold_ns


@pytest.mark.parametrize("workload", ["web-server", "database", "file-server"])
def test_no_two_cpus_are_ever_inside(workload: str) -> None:
    """In normal running CPUs meet at the lock; their sections do not overlap, and spinning takes kernel time."""
    it = boot(f"micro.workload={workload}", "host.cpus=8", "micro.load=6")
    lock = it.nic.queue_lock
    take = lock.take
    sections: list[tuple[int, int, int]] = []

    def watched() -> int:
        spins_ns = take()
        begins = it.clock.now + spins_ns
        sections.append((begins, begins + lock.hold_ns, spins_ns))
        return spins_ns

    lock.take = watched  # type: ignore[method-assign]
    it.run(3.0)
    assert lock.contended > 0
    assert all(before[1] <= after[0] for before, after in pairwise(sections))
    assert lock.spun_ns == sum(spins_ns for _, _, spins_ns in sections)
    assert lock.contended == sum(spins_ns > 0 for _, _, spins_ns in sections)
    assert sum(cpu.kernel_ns for cpu in it.scheduler.cpus) > lock.spun_ns


# ---------------------------------------------------------------- programs in memory


def test_badness_counts_the_pages_of_files_that_a_process_maps() -> None:
    """oom_badness(): rss is anonymous, file and shared pages; what others map as well counts for each of them."""
    it = boot("micro.workload=idle")
    first, second, *_ = (process for process in it.pager.processes if process.comm == "daemon")
    assert first.mapped is second.mapped is it.by_name["/usr/bin/daemon"]
    first.anon += 100
    second.mapped = it.by_name["root"]
    assert crash.oom_victim(it, None) is second
    it.by_name["root"].cached = 0  # reclaimed: it does not count any more
    assert crash.oom_victim(it, None) is first


def test_a_program_that_was_reclaimed_is_read_again() -> None:
    it = boot("micro.workload=web-server")
    text = it.by_name["/usr/bin/nginx"]
    it.run(1.0)
    assert it.pager.major_faults == 0
    it.ending = None
    it.pager.give_back(it.pager._drop(text, text.cached))
    it.run(3.0)
    assert it.pager.major_faults > 0
    assert text.cached > 0
    assert it.pager.memory.check() == 0


def test_a_program_that_cannot_be_read_is_a_sigbus() -> None:
    it = boot("micro.workload=web-server", "micro.disk.medium=1")
    text = it.by_name["/usr/bin/nginx"]
    it.pager.give_back(it.pager._drop(text, text.cached))
    it.clock.play(500 * MS)
    assert [task.comm for task in it.tasks if task.state == "X"].count("nginx") > 0
    assert it.restarts > 0


# ---------------------------------------------------------------- priorities


def threads(it: Boot, comm: str) -> list[Task]:
    return [task for task in it.tasks if task.comm.startswith(comm)]


def test_the_stopper_of_each_cpu_runs_on_time_whoever_is_busy_there() -> None:
    """migration/N: every 4 s, on its own CPU, before everybody else; never again on a CPU that loops."""
    it = boot("micro.workload=build-farm", *OFF, faults=("soft_lockup@vfs_read:2400",))
    it.clock.play(3_900 * MS)
    assert all(cpu.current for cpu in it.scheduler.cpus), "the CPUs are busy"
    for beat in (4, 8, 12):
        it.clock.play(beat * 1_000 * MS + 10 * MS)
        stoppers = threads(it, "migration/")
        assert [task.cpu.number for task in stoppers] == [0, 1]
        assert all(task.cpu.is_lost or task.state == "S" for task in stoppers)
    (lost,) = (cpu.number for cpu in it.scheduler.cpus if cpu.is_lost)
    assert stoppers[lost].state == "R"
    assert stoppers[1 - lost].since_ns > 11_900 * MS


def test_a_backup_at_nice_19_takes_what_others_leave() -> None:
    """Alone it gets the rate that it asks for; on a busy machine the share of its weight, and half a CPU at nice 0."""
    shares = {}
    for workload, nice in (("idle", 19), ("build-farm", 19), ("build-farm", 0)):
        it = boot(f"micro.workload={workload}", "micro.backup=200", "micro.disk.read=10 us")
        (tar,) = threads(it, "tar")
        tar.weight = weight(nice)
        it.run(5.0)
        shares[workload, nice] = tar.ran_ns / it.clock.now
    assert shares["idle", 19] > 0.6
    assert shares["build-farm", 19] < 0.1
    assert shares["build-farm", 0] > 2 * shares["build-farm", 19]


def test_a_backup_fills_memory() -> None:
    it = boot("micro.workload=idle", "host.memory=2 GiB", "micro.backup=500", "micro.disk.read=10 us")
    before = it.by_name["root"].cached
    it.run(15.0)
    assert it.by_name["root"].cached > before
    assert it.pager.memory.free < it.pager.high * 2


# ---------------------------------------------------------------- zombies


def test_a_compiler_that_has_ended_is_a_zombie_until_make_has_waited() -> None:
    it = boot("micro.workload=build-farm", "host.memory=4 GiB")
    seen = set()
    while it.clock.now < 3_000 * MS:
        it.clock.play(it.clock._queue[0][0])
        seen |= {task.comm for task in it.tasks if task.state == "Z"}
    assert seen == {"cc1"}
    assert it.jobs > 10
    compilers, (make,) = threads(it, "cc1"), threads(it, "make")
    assert 2 * 2 - 1 <= len(compilers) <= 2 * 2, "one for each that has ended, and nothing is left of those"
    assert len(make.process.children) == len(compilers)
    assert it.restarts == 0


def test_compilers_end_with_their_make_and_systemd_starts_it_again() -> None:
    it = boot("micro.workload=build-farm", "host.memory=4 GiB")
    it.clock.play(200 * MS)
    before = {task.tid for task in threads(it, "cc1")}
    threads(it, "make")[0].kill()
    it.clock.play(2_000 * MS)
    assert it.restarts == 1
    assert {task.state for task in it.tasks if task.tid in before} == {"X"}
    assert sum(task.state != "X" for task in threads(it, "cc1")) == 4


def test_the_dead_leader_of_a_process_that_lives_on_is_a_zombie() -> None:
    """delay_group_leader(): it cannot be reaped before the last thread has ended. Any other thread reaps itself."""
    it = boot("micro.workload=database", *OFF)
    it.clock.play(10 * MS)
    leader, second, *others = threads(it, "postgres")
    process = leader.process
    process.restarts = False
    for task, state in ((second, "X"), (leader, "Z")):
        task._send = oopses
        task.state, task.is_stuck = "S", False
        task.wake()
        it.clock.play(it.clock.now + 5 * MS)
        assert task.state == state
    assert process.alive == len(others)
    for task in others:
        task.kill()
    it.clock.play(it.clock.now + 2_000 * MS)
    assert {task.state for task in process.threads} == {"X"}


def oopses(_: Any) -> Any:
    raise Oopsed
