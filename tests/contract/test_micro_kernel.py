"""What the kernel of one boot does beside failing: signals, contexts, locks that two CPUs want, zombies, priorities."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from ksim.micro.machine import Boot
from ksim.micro.task import Process, Task
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
    assert task.state == "X"


def test_writers_behind_a_dead_flusher_stand_still_and_khungtaskd_does_not_see_them() -> None:
    """TASK_KILLABLE, and awake every 200 ms: no hung task. The flusher itself is one, where it hangs."""
    died = boot(*SLOW, *OFF, faults=("bug@wb_workfn:1",))
    ending = died.run(30.0)
    assert ending.kind == "hung"
    assert throttled(died)
    assert sum("waits for writeback of dead kworker" in text for text in ending.stuck) == len(throttled(died))
    hangs = boot(*SLOW, *OFF, "kernel.hung_task_timeout_secs=5", faults=("hung_task@wb_workfn:1",))
    ending = hangs.run(30.0)
    assert sum("waits for writeback of stuck kworker" in text for text in ending.stuck) == len(throttled(hangs)) > 0
    seen = {e.decision.strike.task.comm for e in hangs.console if e.decision}
    assert events(hangs)
    assert set(events(hangs)) == {"hung_task"}
    assert seen == {"kworker/u8:1-flush"}
    assert all(e.decision.strike.hung_tasks == 1 for e in hangs.console if e.decision)
