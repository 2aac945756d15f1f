"""The micro reader's CPUs alone on a clock: shares by weight, slices, real-time tasks, and no idle CPU beside work."""

from __future__ import annotations

from collections.abc import Generator
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from ksim.linux.sched import weight
from ksim.linux.vocabulary import Release
from ksim.micro.clock import Clock
from ksim.micro.cpu import Scheduler
from ksim.micro.task import Process, Program, Task

RELEASES: tuple[Release, ...] = ((6, 1), (6, 12))
PIECE = 100_000


def scheduler(clock: Clock, cpus: int, release: Release = (6, 12)) -> Scheduler:
    return Scheduler(clock, cpus, release=release, hz=250, switch_ns=2_000)


def task(on: Scheduler, tid: int, program: Program, **how: int) -> Task:
    return Task(on.clock, on, tid, "t", Process(tid, "t"), program, lambda task, oopsed: None, **how)


def hog(runs: list[tuple[int, int]] | None = None, piece: int = PIECE) -> Program:
    """Never sleeps; notes who ran a piece, and until when."""

    def program(task: Task) -> Generator[Any, Any, None]:
        while True:
            yield task.cpu.user(task, piece)
            if runs is not None:
                runs.append((task.now_ns, task.tid))

    return program


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("nices", [(0, 0, 0), (0, 5), (-5, 0, 3), (0, 19)])
def test_cpu_time_is_shared_by_weight(release: Release, nices: tuple[int, ...]) -> None:
    """At any moment nobody is further from his share than a few slices of virtual time."""
    on = scheduler(Clock(), 1, release)
    tasks = [task(on, tid, hog(), nice=nice) for tid, nice in enumerate(nices)]
    on.clock.play(20 * 10**9)
    total, weights = sum(t.ran_ns for t in tasks), sum(weight(nice) for nice in nices)
    for t in tasks:
        ideal = total * weight(t.nice) / weights
        assert abs(t.ran_ns - ideal) <= len(tasks) * (on.slice_ns + PIECE), f"nice {t.nice}"
    assert total + on.cpus[0].kernel_ns == pytest.approx(20 * 10**9, abs=PIECE + 4_000)


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("cpus", [1, 8])
def test_the_base_slice_bounds_a_run_while_others_wait(release: Release, cpus: int) -> None:
    on = scheduler(Clock(), cpus, release)
    runs: list[tuple[int, int]] = []
    for tid in range(3 * cpus):
        task(on, tid, hog(runs if tid % cpus == 0 else None))
    on.clock.play(10**9)
    longest = length = 0
    for (_, before), (_, who) in pairwise(runs):
        length = length + PIECE if who == before else PIECE
        longest = max(longest, length)
    assert on.slice_ns <= longest < on.slice_ns + PIECE


def test_a_real_time_task_goes_first() -> None:
    """It waits for the piece of work under way, whatever the nice value of whoever does it, and for no slice."""
    on = scheduler(Clock(), 1)
    late: list[int] = []

    def beats(task: Task) -> Generator[Any, Any, None]:
        while True:
            task.clock.after(5_000_000, task.wake)
            due = task.now_ns + 5_000_000
            yield task.sleep("S")
            late.append(task.now_ns - due)
            yield task.cpu.user(task, 1_000)

    for tid in range(4):
        task(on, tid, hog(), nice=-20)
    beat = task(on, 9, beats, rt=50)
    on.clock.play(2 * 10**9)
    assert len(late) > 300
    assert max(late) <= PIECE + 2 * on.switch_ns
    assert beat.ran_ns == pytest.approx(1_000 * len(late), abs=1_000)


def test_no_real_time_task_is_preempted_by_others() -> None:
    on = scheduler(Clock(), 1)
    runs: list[tuple[int, int]] = []
    low, high = task(on, 1, hog(runs), rt=10), task(on, 2, hog(runs), rt=20)
    other = task(on, 3, hog(runs), nice=-20)
    on.clock.play(10**9)
    assert other.ran_ns == 0
    assert low.ran_ns <= PIECE, "until the first look at the queue"
    assert high.ran_ns > 0.99 * 10**9


@pytest.mark.parametrize("cpus", [1, 3, 8])
def test_no_cpu_idles_while_a_task_waits(cpus: int) -> None:
    on, rng = scheduler(Clock(), cpus), np.random.default_rng(10)

    def bursts(task: Task) -> Generator[Any, Any, None]:
        while True:
            for _ in range(int(rng.integers(1, 20))):
                yield task.cpu.user(task, int(rng.integers(1_000, 300_000)))
            task.clock.after(int(rng.integers(1_000, 3_000_000)), task.wake)
            yield task.sleep("S")

    tasks = [task(on, tid, bursts, nice=tid % 7 - 3) for tid in range(2 * cpus + 1)]
    looks = 0
    while on.clock.now < 10**9:
        on.clock.play(on.clock._queue[0][0])
        waiting = sum(len(cpu.queue) for cpu in on.cpus)
        assert waiting == on.waiting
        assert not (waiting and on.idle), f"{on.clock.now} ns"
        assert len(on.idle) == sum(cpu.current is None for cpu in on.cpus)
        assert sum(t.state == "R" for t in tasks) == waiting + cpus - len(on.idle)
        looks += bool(waiting)
    assert looks > 500, "there was somebody waiting"


def test_a_task_that_changes_its_cpu_is_not_starved_there() -> None:
    """Virtual time is a queue's own: who comes from a CPU that was busy for long is no debtor on the other."""
    on = scheduler(Clock(), 2)
    waited: list[int] = []

    def moves(task: Task) -> Generator[Any, Any, None]:
        for _ in range(20_000):
            yield task.cpu.user(task, PIECE)
        task.clock.after(10**9, task.wake)
        due = task.now_ns + 10**9
        yield task.sleep("S")
        waited.append(task.now_ns - due)

    moved = task(on, 0, moves)
    on.clock.play(2_500_000_000)
    for tid in (2, 4, 6):  # two of them on CPU 0, so that it wakes on CPU 1
        task(on, tid, hog())
    on.clock.play(5_500_000_000)
    assert moved.cpu is on.cpus[1]
    assert waited
    assert waited[0] <= 3 * on.slice_ns
