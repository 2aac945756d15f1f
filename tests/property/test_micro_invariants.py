"""One boot, always: what holds at any stop, for every workload, machine, seed and fault."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ksim.errors import ScenarioError
from ksim.micro.causes import FAULTS, parse_fault
from ksim.micro.machine import Boot, Ending
from ksim.micro.watchdog import LOOPS
from ksim.model.loader import load
from ksim.model.scenario import Scenario
from ksim.model.schema_micro import WorkloadName

WORKLOADS: tuple[str, ...] = WorkloadName.__args__  # type: ignore[attr-defined]
STRIKING = tuple(name for name in FAULTS if FAULTS[name].kind == "event")
PIECE_NS = 5_000_000
"""No piece of work is longer: a tick, or the faults of a program that leaks."""


@st.composite
def scenarios(draw: st.DrawFn, faulty: bool = True) -> Scenario:
    odds = st.sampled_from([0.0, 1e-3, 0.1] if faulty else [0.0])
    overrides = {
        "seed": draw(st.integers(0, 2**32)),
        "host.cpus": draw(st.integers(1, 6)),
        "host.memory": f"{draw(st.sampled_from([2, 4, 16]))} GiB",
        "linux.cmdline": "quiet",
        "kernel.panic_on_oops": draw(st.integers(0, 1)),
        "micro.workload": draw(st.sampled_from(WORKLOADS)),
        "micro.load": draw(st.sampled_from([0.0, 0.1, 0.3])),
        "micro.disk.kind": draw(st.sampled_from(["nvme", "scsi"])),
        "micro.disk.channels": draw(st.sampled_from([1, 8])),
        "micro.disk.file_system": draw(st.sampled_from(["ext4", "xfs"])),
        "micro.disk.errors": draw(st.sampled_from(["continue", "remount-ro", "panic"])),
        "micro.disk.lost": draw(odds),
        "micro.disk.medium": draw(odds),
        "micro.disk.timeout": draw(st.sampled_from(["100 ms", "30 s"])),
        "micro.disk.abort_works": draw(st.sampled_from([0.0, 0.5, 1.0])),
        "micro.disk.reset_works": draw(st.sampled_from([0.0, 0.5])),
        "micro.nic.hang": draw(odds),
        "micro.nic.drop": draw(odds),
        "micro.nic.flap": draw(odds),
        "micro.nic.carrier": draw(st.sampled_from(["10 ms", "2 s"])),
        "micro.memory.swap": draw(st.sampled_from(["0 B", "256 MiB"])),
        "micro.backup": draw(st.sampled_from([0.0, 0.0, 20.0])),
        "micro.memory.leak": draw(st.sampled_from([0.0, 0.0, 1000.0])),
    }
    return load("rack-server", tuple(f"{key}={value}" for key, value in overrides.items())).scenario


def boot(scenario: Scenario, *faults: str, replication: int = 0) -> Boot:
    """Workloads that do not fit into the drawn memory are no examples, nor are errors of the other file system."""
    try:
        return Boot(scenario, replication, faults=[parse_fault(text) for text in faults])
    except ScenarioError as error:
        assume("GiB" not in str(error) and "no such error" not in str(error) and "one each" not in str(error))
        raise


def told(boot: Boot) -> list[tuple[Any, ...]]:
    """The console, and nothing that depends on when it was read."""
    return [
        (e.at_ns, e.cpu, e.lines, e.decision and (e.decision.strike.event.name, e.decision.rule, e.decision.prints))
        for e in boot.console
    ]


def state(boot: Boot) -> tuple[Any, ...]:
    """All that one boot has come to."""
    return (
        boot.clock.now,
        boot.clock.steps,
        boot.pager.memory,
        boot.disk.issued, boot.disk.completed, boot.disk.failed, boot.disk.timeouts, boot.disk.busy_ns,
        boot.nic.issued, boot.nic.completed, boot.nic.lost, boot.nic.latency_ns, boot.nic.retransmits,
        [(t.tid, t.state, t.since_ns, t.ran_ns, t.vruntime) for t in boot.tasks],
        [(f.cached, f.dirty, f.written, f.durable, f.acked) for f in boot.files.files],
        [(c.user_ns, c.kernel_ns, c.irq_ns, c.switches) for c in boot.scheduler.cpus],
        boot.sys.count, boot.jobs, boot.restarts, boot.failed_calls,
        told(boot),
    )  # fmt: skip


def without_steps(boot: Boot) -> tuple[Any, ...]:
    return (state(boot)[0], *state(boot)[2:])


def check(boot: Boot) -> None:
    """The laws of conservation."""
    memory, disk, nic, clock = boot.pager.memory, boot.disk, boot.nic, boot.clock
    assert memory.check() == 0
    classes = vars(memory)
    assert min(classes.values()) >= 0, classes
    assert memory.private <= memory.cache
    assert memory.swap_used <= memory.swap_total
    assert sum(file.cached for file in boot.files.files) == memory.cache
    assert sum(file.dirty for file in boot.files.files) == memory.dirty
    living = {p.pid: p for task in boot.tasks if (p := task.process) and not p.is_kernel}
    on_its_way = memory.anon - sum(process.anon for process in living.values())
    assert on_its_way >= 0
    assert on_its_way == 0 or boot.pager._swapping, "pages that are being swapped out belong to nobody any more"
    assert sum(process.swapped for process in living.values()) == memory.swap_used
    assert sum(process.tables for process in living.values()) == memory.tables
    assert disk.issued == disk.completed + disk.failed + disk.in_flight
    assert len(disk.busy) <= disk.channels
    assert nic.issued == nic.completed + nic.lost + nic.in_flight
    unheard = sum(len(ring) for ring in nic.unheard.values())
    assert nic.in_flight >= len(nic.ring) + unheard + len(nic.socket.calls) + len(nic.sending)
    for file in boot.files.files:
        assert 0 <= file.flying <= file.dirty <= file.cached <= file.pages
        assert file.written == file.durable + file.lost + file.dirty
        assert file.acked <= file.durable, "what fsync promised is on disk"
    if not boot.oops.oopses:
        held = [(lock, task) for task in boot.tasks for lock in task.held]
        assert all(task.state != "X" for _, task in held), "only an oops leaves a lock behind"
        assert all(task in lock.owners for lock, task in held)
    spent = sum(c.user_ns + c.kernel_ns + c.irq_ns for c in boot.scheduler.cpus)
    assert spent <= (clock.now + PIECE_NS) * len(boot.scheduler.cpus)
    waiting = [task for cpu in boot.scheduler.cpus for task in cpu.queue]
    assert len(waiting) == boot.scheduler.waiting
    movable = [task for task in waiting if not task.is_bound]
    assert not (movable and boot.scheduler.idle), "no CPU is idle while a task waits that could run there"
    assert all(task.cpu.number == int(task.comm.rpartition("/")[2]) for task in boot.tasks if task.rt)
    assert math.fsum(boot.impact().pages.values()) == pytest.approx(1.0, abs=1e-12)
    assert min(boot.impact().pages.values()) >= 0.0


@settings(max_examples=50)
@given(scenarios(), st.lists(st.tuples(st.sampled_from(sorted(FAULTS)), st.integers(1, 400)), max_size=2))
def test_nothing_is_lost_at_any_stop(scenario: Scenario, faults: list[tuple[str, int]]) -> None:
    it = boot(scenario, *(f"{name}:{nth}" for name, nth in faults))
    for tenth in (1, 3, 7, 20):
        it.clock.play(tenth * 100_000_000)
        check(it)


@settings(max_examples=25)
@given(scenarios(), st.sampled_from(sorted(FAULTS)), st.integers(1, 100))
def test_nothing_happens_after_the_end(scenario: Scenario, fault: str, nth: int) -> None:
    it = boot(scenario, f"{fault}:{nth}")
    ending = it.run(0.5)
    before = state(it)
    assert ending.kind in ("survived", "panicked", "hung")
    assert (ending.decision is not None and ending.decision.panics) == (ending.kind == "panicked")
    assert (ending.kind == "hung") == (bool(ending.stuck) and ending.kind != "panicked")
    assert ending.struck_ns <= ending.at_ns == it.clock.now
    if ending.kind == "panicked":
        it.clock.play(2 * 10**9)
        assert state(it) == before
    assert it.run(2.0) is ending


@settings(max_examples=20)
@given(scenarios(), st.sampled_from(sorted(FAULTS)))
def test_one_seed_is_one_story(scenario: Scenario, fault: str) -> None:
    first, second = boot(scenario, f"{fault}:30"), boot(scenario, f"{fault}:30")
    endings: list[Ending] = [first.run(0.4), second.run(0.4)]
    assert endings[0] == endings[1]
    assert first.console == second.console
    assert state(first) == state(second)


@pytest.mark.parametrize("workload", WORKLOADS)
def test_another_replication_is_another_story(workload: str) -> None:
    scenario = load("rack-server", (f"micro.workload={workload}", "host.cpus=2")).scenario
    first, second = boot(scenario), boot(scenario, replication=1)
    first.run(1.5)
    second.run(1.5)
    assert state(first) != state(second)


@settings(max_examples=20)
@given(scenarios(), st.sampled_from(sorted(FAULTS)))
def test_a_longer_run_only_adds(scenario: Scenario, fault: str) -> None:
    """A run to 0.3 s and on to 0.6 s is the run to 0.6 s; its console begins with that of the short one."""
    short, long = boot(scenario, f"{fault}:40"), boot(scenario, f"{fault}:40")
    short.clock.play(300_000_000)
    before = told(short)
    long.clock.play(600_000_000)
    assert told(long)[: len(before)] == before
    short.clock.play(600_000_000)
    assert state(short) == state(long)


@settings(max_examples=20)
@given(scenarios(faulty=False))
def test_what_cannot_happen_changes_nothing(scenario: Scenario) -> None:
    """Probability 0, and one so small that it never comes true: the same path, bit for bit."""
    micro = scenario.micro
    assert micro is not None
    rare = micro.model_copy(
        update={
            "disk": micro.disk.model_copy(update={"lost": 1e-15, "medium": 1e-15, "abort_works": 0.3}),
            "nic": micro.nic.model_copy(update={"hang": 1e-15, "drop": 1e-15, "flap": 1e-15}),
        }
    )
    never, hardly = boot(scenario), boot(scenario.model_copy(update={"micro": rare}))
    never.run(0.4)
    hardly.run(0.4)
    assert state(never) == state(hardly)


@settings(max_examples=40)
@given(scenarios(faulty=False), st.sampled_from(sorted(FAULTS)))
def test_an_armed_fault_changes_nothing_before_it_strikes(scenario: Scenario, fault: str) -> None:
    plain, armed = boot(scenario), boot(scenario, f"{fault}:1000000000")
    plain.run(0.4)
    armed.run(0.4)
    assert without_steps(plain) == without_steps(armed)


@pytest.mark.parametrize(("workload", "load_"), [("web-server", 8), ("database", 4), ("file-server", 8)])
def test_nor_on_a_busy_machine(workload: str, load_: int) -> None:
    """Where interrupts fall into system calls, and a reply meets a queue of others."""
    overrides = (f"micro.workload={workload}", f"micro.load={load_}", "host.cpus=2", "linux.cmdline=quiet")
    scenario = load("rack-server", overrides).scenario
    plain, armed = boot(scenario), boot(scenario, "ubsan:1000000000")
    plain.run(0.3)
    armed.run(0.3)
    assert without_steps(plain) == without_steps(armed)


@settings(max_examples=25)
@given(scenarios(faulty=False), st.sampled_from(STRIKING), st.integers(1, 300))
def test_a_fault_changes_nothing_before_its_pass(scenario: Scenario, fault: str, nth: int) -> None:
    """Up to the moment at which it strikes, the two boots are one."""
    struck = boot(scenario, f"{fault}:{nth}")
    struck.run(0.4)
    before = max(0, (struck.oops.struck_ns or 400_000_000) - 1)
    plain, again = boot(scenario), boot(scenario, f"{fault}:{nth}")
    plain.clock.play(before)
    again.clock.play(before)
    assert without_steps(plain) == without_steps(again)


@pytest.mark.parametrize("fault", LOOPS)
def test_a_lost_cpu_is_lost(fault: str) -> None:
    """Who looped or was interrupted there never goes on, wherever the fault struck."""
    overrides = ("micro.workload=database", "host.memory=8 GiB", "host.cpus=2", "linux.cmdline=quiet", "micro.load=2")
    it = boot(load("rack-server", overrides).scenario, f"{fault}@blk_mq_complete_request:5")
    it.clock.play(200_000_000)
    lost = [cpu for cpu in it.scheduler.cpus if cpu.is_lost]
    assert lost
    before = [(cpu.user_ns, cpu.kernel_ns, cpu.switches) for cpu in lost]
    it.clock.play(400_000_000)
    assert [(cpu.user_ns, cpu.kernel_ns, cpu.switches) for cpu in lost] == before
