"""The micro reader against a bare SimPy loop: events and system calls per second, with a recorder and without.

./run pytest tests/benchmarks/test_micro_speed.py --benchmark-only
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import pytest
import simpy

from ksim.micro.cpu import CPU
from ksim.micro.machine import Boot
from ksim.micro.programs import WORKLOADS
from ksim.micro.task import Process, Task
from ksim.model.loader import load
from ksim.study.replicate import collector_paused

ROUNDS = 25
SLICE_S = 0.01
"""CPU time of one turn: short, so that both sides of a ratio meet the same noise of a shared machine."""
TASKS = 50


class Nothing:
    """A recorder that records nothing. Without one the same classes run, and nobody asks at each event."""

    cpu, task = CPU, Task

    def asked(self, request: object) -> None:
        """Keeps nothing."""

    def watch(self, boot: Boot) -> None:
        """Looks at nothing."""


class Bare:
    """The yardstick: 50 processes in a bare loop of ``yield env.timeout(1)``."""

    def __init__(self) -> None:
        self.env = simpy.Environment()
        for _ in range(TASKS):
            self.env.process(self.loop())

    def loop(self):
        while True:
            yield self.env.timeout(1)

    def turn(self) -> tuple[float, float]:
        """Events per second, twice: here every event is a call."""
        rate = TASKS * 130 / seconds(lambda: self.env.run(until=self.env.now + 130))
        return rate, rate


class Micro:
    """One boot, played on a slice at a time."""

    def __init__(self, boot: Boot) -> None:
        self.boot = boot
        self.slice_ns = 10_000
        while seconds(lambda: boot.clock.play(boot.clock.now + self.slice_ns)) < SLICE_S:
            self.slice_ns *= 2

    def turn(self) -> tuple[float, float]:
        """Events and system calls per second."""
        boot = self.boot
        events, calls = boot.clock.steps, boot.sys.count
        took = seconds(lambda: boot.clock.play(boot.clock.now + self.slice_ns))
        return (boot.clock.steps - events) / took, (boot.sys.count - calls) / took


def seconds(work: Callable[[], object]) -> float:
    """CPU time."""
    started = time.process_time()
    work()
    return time.process_time() - started


def workload(name: str, recorder: object = None) -> Micro:
    return Micro(Boot(load("rack-server", (f"micro.workload={name}",)).scenario, recorder=recorder))


def plain_calls(recorder: object = None) -> Micro:
    """Nothing but plain system calls: 50 tasks, each on a CPU of its own."""
    boot = Boot(load("rack-server", ("micro.workload=idle",)).scenario, recorder=recorder)

    def body(boot: Boot, task: Task):
        while True:
            yield boot.sys.plain(task)

    for number in range(TASKS):
        boot.spawn("calls", body, Process(boot.next_pid, f"calls{number}"))
    return Micro(boot)


CASES: dict[str, Callable[..., Micro]] = {
    "plain calls": plain_calls,
    **{name: lambda recorder=None, name=name: workload(name, recorder) for name in WORKLOADS},
}


@pytest.mark.parametrize("case", CASES)
def test_micro_events(benchmark, report, case: str) -> None:
    """One row of the table: medians over all rounds, the best rate in brackets."""
    bare, without, with_one = Bare(), CASES[case](), CASES[case](Nothing())
    rounds = []
    with collector_paused():  # as every study does
        for _ in range(ROUNDS):
            rounds.append((bare.turn(), without.turn(), with_one.turn()))
    raw, events, calls = ([r[0][0] for r in rounds], [r[1][0] for r in rounds], [r[1][1] for r in rounds])
    ratios = [a / b for a, b in zip(events, raw)]
    traced = [r[2][0] / r[1][0] for r in rounds]
    report(
        f"{case:<12} SimPy {statistics.median(raw) / 1e3:4.0f} ({max(raw) / 1e3:4.0f}) k events/s, micro "
        f"{statistics.median(events) / 1e3:4.0f} ({max(events) / 1e3:4.0f}) k: {statistics.median(ratios):.2f} "
        f"({max(events) / max(raw):.2f}) of it; {statistics.median(calls) / 1e3:4.0f} k system calls/s at "
        f"{statistics.median(events) / statistics.median(calls):.2f} events; with a recorder "
        f"{statistics.median(traced):.2f}"
    )
    benchmark.extra_info["ratio"] = statistics.median(ratios)
    benchmark.pedantic(without.turn, rounds=3)
