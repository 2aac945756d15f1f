"""A disk and a network card that fail under one boot, and what waits for them: as Linux would have it."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from typing import Any

import pytest

from ksim.linux.block import command_fails
from ksim.micro.blkdev import Request
from ksim.micro.filesystem import JOURNAL_PAGES
from ksim.micro.machine import Boot
from ksim.micro.task import Process, Task
from tests.contract.micro_boots import OFF, ON, boot, events, lines

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


@pytest.mark.parametrize("kind", ["nvme", "scsi"])
@pytest.mark.parametrize(
    ("mount", "ends_as"),
    [
        (("micro.disk.errors=continue",), "read-only"),
        (("micro.disk.errors=remount-ro",), "read-only"),
        (("micro.disk.errors=panic",), "panicked"),
        (("micro.disk.file_system=xfs", "micro.disk.errors=panic"), "read-only"),
    ],
)
def test_a_dying_disk(kind: str, mount: tuple[str, ...], ends_as: str) -> None:
    it = boot("micro.workload=database", f"micro.disk.kind={kind}", *mount, faults=("disk_dies:20",))
    struck = None
    while struck is None or it.clock.now < struck + 10**9:
        it.clock.play(it.clock.now + 10_000_000)
        struck = struck or (it.clock.now if any(r.due_ns - r.began_ns == 30 * 10**9 for r in it.disk.busy) else None)
    assert not it.disk.is_offline
    expected = command_fails("nvme" if kind == "nvme" else "scsi", aborts_work=False).waits_s
    it.clock.play(struck + math.floor((expected - 0.1) * 1e9))
    assert not it.disk.is_offline
    it.clock.play(struck + math.ceil((expected + 1.0) * 1e9))
    assert it.disk.is_offline
    ending = it.run(150.0)
    assert it.disk.failed > 0
    assert any("I/O error" in line for line in lines(it))
    assert ending.kind == ("panicked" if ends_as == "panicked" else "survived")
    assert it.files.is_read_only
    assert f"{it.disk.name} is offline" in ending.damage
    if ends_as != "panicked":
        assert it.failed_calls > 0, "EIO or EROFS"
        assert it.disk.in_flight == 0
        assert not [task for task in it.tasks if task.state == "D"], "nobody waits for it any more"
    if ends_as == "panicked":
        assert ending.decision is not None
        assert ending.decision.rule == "errors_panic"


def test_a_fsync_behind_a_failed_commit_fails_at_once() -> None:
    """Whoever waits for the commit that failed hears of it; nobody runs in circles."""
    it = boot("micro.workload=database", "micro.disk.errors=continue")
    wal, heard = it.by_name["wal"], []

    def body(boot: Boot, task: Task) -> Generator[Any, Any, None]:
        yield boot.sys.write(task, wal, 4096)
        heard.append((yield boot.sys.fsync(task, wal)))

    def breaks(request: Request) -> Request:
        request.failed = True
        return request

    new_request = it.files._new_request

    def failing(op: Any, pages: int, done: Any) -> Request:
        request = new_request(op, pages, done)
        if pages == JOURNAL_PAGES:
            request.done = lambda request: done(breaks(request))
        return request

    it.files._new_request = failing
    it.spawn("syncer", body, Process(99, "syncer"))
    it.clock.play(100_000_000)
    assert heard == [False]
    assert it.files.failed_tid > it.files.committed_tid


@pytest.mark.parametrize("errors", ["continue", "remount-ro", "panic"])
def test_a_commit_that_fails_aborts_the_journal(errors: str) -> None:
    """Not jbd2 but the next who wants to change something says so; errors=continue saves nobody."""
    it = boot("micro.workload=database", f"micro.disk.errors={errors}", faults=("flush_error:2",))
    while not it.files.is_read_only:
        it.clock.play(it.clock.now + 100_000)
    assert lines(it)[-1] == f"Aborting journal on device {it.disk.name}-8."
    assert events(it) == []
    ending = it.run(30.0)
    assert events(it) == ["ext4_abort"]
    assert ending.kind == ("panicked" if errors == "panic" else "survived")
    (decision,) = (entry.decision for entry in it.console if entry.decision)
    assert decision.strike.task.comm == "postgres"
    assert it.failed_calls > 0 or errors == "panic"


def test_what_the_disk_did_not_take_is_not_durable() -> None:
    it = boot("micro.workload=database", "micro.disk.errors=continue", faults=("disk_dies:20",))
    it.run(120.0)
    wal = it.by_name["wal"]
    assert wal.lost > 0
    assert wal.acked <= wal.durable < wal.written


def test_a_bad_sector_is_an_error_of_one_read() -> None:
    it = boot("micro.workload=database", faults=("bad_sector:5",))
    assert it.run(20.0).kind == "survived"
    assert (it.disk.failed, it.failed_calls, it.disk.timeouts) == (1, 1, 0)
    assert any("critical medium error" in line for line in lines(it))


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


@pytest.mark.parametrize("release", ["5.14", "6.12"])
def test_a_hanging_network_card_comes_back(release: str) -> None:
    """TX watchdog after 5 s, link down, link up; no knob makes it a panic today."""
    knobs = ON if release == "6.12" else OFF
    it = boot("micro.workload=web-server", f"linux.release={release}", *knobs, faults=("nic_hang:30",))
    while not it.nic.is_hung:
        it.clock.play(it.clock.now + 1_000_000)
    struck, before = it.clock.now, it.nic.completed
    it.clock.play(struck + 4_990_000_000)
    assert it.nic.completed == before
    assert it.console == []
    it.clock.play(struck + 5_000_000_000)
    assert not it.nic.is_up
    assert "NETDEV WATCHDOG" in lines(it)[0]
    assert "down" in lines(it)[1].lower()
    ending = it.run(40.0)
    up = it.console[-1]
    assert "up" in up.lines[0].lower()
    assert 1.0 <= (up.at_ns - it.console[1].at_ns) / 1e9 <= 10.0
    assert ending.kind == "survived"
    assert it.nic.resets == 1
    assert it.nic.completed > before
    assert not it.nic.sending


@pytest.mark.parametrize(("driver", "says"), [("ixgbe", True), ("virtio_net", False)])
def test_a_link_that_flaps(driver: str, says: bool) -> None:
    """Carrier off: packets that arrive are lost and sent again, replies wait; nobody resets anything."""
    it = boot("micro.load=0.5", f"micro.nic.driver={driver}", "micro.nic.carrier=2 s", faults=("link_flap:30",))
    while it.nic.is_up:
        it.clock.play(it.clock.now + 100_000)
    struck, before, again = it.clock.now, it.nic.completed, it.nic.retransmits
    it.clock.play(struck + 1_990_000_000)
    assert not it.nic.is_up
    assert it.nic.completed == before
    assert it.nic.retransmits > again
    assert [line[-12:] for line in lines(it)] == (["Link is Down"] if says else [])
    it.clock.play(struck + 2_010_000_000)
    assert it.nic.is_up
    assert it.nic.completed > before
    assert ("Link is Up" in lines(it)[-1]) if says else not it.console
    assert it.run(20.0).kind == "survived"
    assert (it.nic.flaps, it.nic.resets, it.nic.lost, len(it.nic.sending)) == (1, 0, 0, 0)


def test_a_queue_that_hangs_is_not_seen_without_carrier() -> None:
    """dev_watchdog() looks at cards with a carrier only; when it is back, the queue still hangs."""
    it = boot("micro.nic.carrier=8 s", faults=("nic_hang:30", "link_flap:33"))
    it.run(7.0)
    assert (it.nic.is_up, it.nic.is_hung, it.nic.resets) == (False, True, 0)
    it.ending = None
    assert it.run(40.0).kind == "survived"
    assert (it.nic.resets, it.nic.is_hung, it.nic.is_up) == (1, False, True)


@pytest.mark.parametrize(("release", "kind"), [("5.14", "panicked"), ("6.12", "survived")])
def test_the_tx_watchdog_was_a_warning_once(release: str, kind: str) -> None:
    """WARN_ONCE until 6.8: taint W, and a panic under panic_on_warn; a plain line since."""
    it = boot(f"linux.release={release}", "kernel.panic_on_warn=1", faults=("nic_hang:3",))
    assert it.run(20.0).kind == kind
    assert it.nic.resets == 1
    assert ("warn" in events(it)) == (kind == "panicked")


def test_a_shut_down_wakes_throttled_writers_once() -> None:
    it = boot("micro.workload=idle")
    it.run(0.1)
    task = next(task for task in it.tasks if task.comm == "kthreadd")
    it.files._throttled.append(task)
    it.files.shut_down()
    it.clock.play(it.clock.now + 10**6)
    since_ns = task.since_ns
    it.pager.memory.dirty += 1
    file = it.files.files[0]
    file.dirty, file.flying = file.dirty + 1, file.flying + 1
    it.files._written(file, 1, False)  # a write that was under way: it wakes nobody out of another sleep
    assert (task.state, task.since_ns) == ("S", since_ns)


def test_a_cluster_of_swap_is_read_once() -> None:
    it = boot("micro.workload=database", "micro.memory.swap=1 GiB")
    pager, task = it.pager, next(task for task in it.tasks if task.comm == "postgres")
    process = task.process
    process.anon, process.swapped = 0, 8
    free = pager.memory.free

    def first(task: Task, pages: int) -> Generator[Any, Any, bool]:
        process.swapped = 3  # another thread took some of it while this one waited for memory
        pager.memory.free -= pages
        yield from ()
        return True

    pager.take, pager.allocate = (lambda pages: False), first  # type: ignore[method-assign]
    pager.memory.swap_used = 3
    next(pager.revisit(task, 1))
    assert (process.swapped, process.anon, pager.memory.swap_used, free - pager.memory.free) == (0, 3, 0, 3)


def test_a_killed_task_does_not_wait_for_room_in_the_ring() -> None:
    it = boot("micro.nic.driver=virtio_net", "micro.load=1", faults=("nic_hang:1",))
    it.run(2.0)
    waiting = [task for task in it.tasks if task.waits_for == "sk_stream_wait_memory"]
    assert waiting, "the ring is not full"
    lost, task = it.nic.lost, waiting[0]
    task.process.restarts = False
    task.kill()
    it.ending = None
    it.run(2.1)
    assert (task.state, it.nic.lost) == ("X", lost + 1)


@pytest.mark.parametrize(
    ("fault", "sees"),
    [
        ("write_error:3", lambda it: it.failed_calls == 1 and not it.files.is_read_only),
        ("flush_error:1", lambda it: it.files.is_read_only),
        ("packet_lost:50", lambda it: it.nic.retransmits == 1),
    ],
)
def test_the_nth_operation_fails(fault: str, sees: Callable[[Boot], bool]) -> None:
    it = boot("micro.workload=database", "micro.nic.drop=0", faults=(fault,))
    it.run(10.0)
    assert it.oops.never_struck() == []
    assert sees(it)
