"""Every key of ``[micro]``, and the vm.* sysctls that the pager reads, move what Linux would move, and that way.

The list of keys is walked from the models: a new key without a case fails here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from pydantic import BaseModel

from ksim.micro.causes import parse_fault
from ksim.micro.filesystem import WRITE_PAGES
from ksim.micro.machine import Boot
from ksim.model.loader import load
from ksim.model.schema_micro import Micro


class Case(NamedTuple):
    """``sees`` goes up (``sign`` 1) or down from ``low`` to ``high``, in ``span_s`` of a boot with ``given``."""

    low: str
    high: str
    sees: Callable[[Boot], Any]
    sign: int = 1
    given: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()
    span_s: float | None = 2.0


DATABASE, FILES = ("micro.workload=database", "micro.load=0.3"), ("micro.workload=file-server", "micro.load=3")
LOST = (*DATABASE, "micro.disk.lost=0.02", "micro.disk.timeout=100 ms")
STUBBORN = (*DATABASE, "micro.load=0.02", "micro.disk.kind=scsi", "micro.disk.abort_works=0", "micro.disk.timeout=1 s")
TIGHT = ("micro.workload=file-server", "micro.load=1", "host.memory=2 GiB", "micro.memory.leak=150")


def latency(boot: Boot) -> float:
    """Mean of the calls answered so far, and how many are not: a stalled machine answers only the quick ones."""
    return boot.nic.latency_ns / max(1, boot.nic.completed)


def died(boot: Boot) -> list[str]:
    return [victim.partition("[")[0] for victim in boot.oom_killed]


CASES: dict[str, Case] = {
    "workload": Case("idle", "web-server", lambda b: b.nic.issued),
    "load": Case("0.1", "1.0", lambda b: b.nic.issued),
    "backup": Case("0.0", "50.0", lambda b: b.disk.reads),
    "span": Case("0.5 s", "1.5 s", lambda b: b.clock.now, span_s=None),
    "disk.kind": Case(  # NVMe waits 30 s for its abort before it resets; SCSI aborts at once, and its reset takes 10 s
        "scsi", "nvme", lambda b: b.nic.worst_ns, 1,
        (*DATABASE, "micro.load=0.02", "micro.disk.abort_works=0", "micro.disk.reset_works=1"), ("disk_lost:20",), 90.0,
    ),
    "disk.channels": Case("1", "16", latency, -1, (*DATABASE, "micro.disk.read=4 ms")),
    "disk.read": Case("100 us", "10 ms", latency, 1, DATABASE),
    "disk.bandwidth": Case("50 MB/s", "5 GB/s", latency, -1, DATABASE),
    "disk.write": Case("30 us", "10 ms", latency, 1, DATABASE),
    "disk.flush": Case("30 us", "10 ms", latency, 1, DATABASE),
    "disk.timeout": Case("50 ms", "500 ms", latency, 1, (*LOST, "micro.disk.abort_works=1")),
    "disk.lost": Case("0.0", "0.05", lambda b: b.disk.timeouts, 1, (*DATABASE, "micro.disk.timeout=100 ms")),
    "disk.medium": Case("0.0", "0.05", lambda b: b.failed_calls, 1, DATABASE),
    "disk.write_error": Case("0.0", "0.2", lambda b: b.failed_calls, 1, (*DATABASE, "micro.disk.errors=continue")),
    "disk.flush_error": Case("0.0", "0.05", lambda b: b.files.is_read_only, 1, DATABASE),
    "disk.abort_works": Case("0.0", "1.0", lambda b: b.disk.resets, -1, (*LOST, "micro.disk.kind=scsi")),
    "disk.reset_works": Case("0.0", "1.0", lambda b: b.disk.is_offline, -1, STUBBORN, ("disk_lost:20",), 70.0),
    "disk.file_system": Case(  # with errors=panic ext4 panics, XFS shuts down all the same
        "xfs", "ext4", lambda b: b.ending is not None and b.ending.kind == "panicked", 1,
        (*STUBBORN, "micro.disk.reset_works=0", "micro.disk.errors=panic"), ("disk_lost:20",), 75.0,
    ),
    "disk.errors": Case(
        "continue", "panic", lambda b: b.ending is not None and b.ending.kind == "panicked", 1,
        (*STUBBORN, "micro.disk.reset_works=0"), ("disk_lost:20",), 75.0,
    ),
    "nic.driver": Case(  # mlx5 waits 15 s before it resets the card, ixgbe 5 s
        "mlx5_core", "ixgbe", lambda b: b.nic.resets, 1, ("micro.load=0.1",), ("nic_hang:50",), 7.0
    ),
    "nic.hang": Case("0.0", "0.01", lambda b: b.nic.resets, 1, ("micro.load=0.1",), (), 7.0),
    "nic.flap": Case("0.0", "0.001", lambda b: b.nic.flaps),
    "nic.carrier": Case("1 s", "6 s", lambda b: b.nic.completed, -1, ("micro.load=0.1",), ("link_flap:50",), 9.0),
    "nic.drop": Case("0.0", "0.05", lambda b: b.nic.retransmits),
    "nic.reset": Case("1 s", "6 s", lambda b: b.nic.completed, -1, ("micro.load=0.1",), ("nic_hang:50",), 9.0),
    "memory.swap": Case("0 B", "1 GiB", lambda b: b.pager.swapped_out, 1, TIGHT, (), 10.0),
    "memory.leak": Case("0.0", "100.0", lambda b: b.pager.memory.anon),
    "memory.zero": Case("0.0", "0.3", lambda b: b.impact().pages["zero"]),
}  # fmt: skip
SYSCTLS: dict[str, Case] = {
    "swappiness": Case("0", "100", lambda b: b.pager.swapped_out, 1, (*TIGHT, "micro.memory.swap=1 GiB"), (), 10.0),
    "dirty_ratio": Case(
        "1", "60", lambda b: b.pager.memory.dirty, 1,
        (*FILES, "host.memory=2 GiB", "vm.dirty_background_ratio=50", "micro.disk.write=1 s", "micro.disk.channels=64"),
    ),
    "dirty_background_ratio": Case(
        "1", "40", lambda b: b.disk.issued - b.disk.reads, -1, (*FILES, "vm.dirty_ratio=60"), (), 4.0
    ),
    "min_free_kbytes": Case("65536", "262144", lambda b: b.pager.memory.free, 1, TIGHT, (), 10.0),
    "oom_kill_allocating_task": Case(
        "0", "1", lambda b: "cc1" in died(b), 1,
        ("micro.workload=build-farm", "host.memory=3 GiB", "micro.memory.leak=400"), (), 12.0,
    ),
}  # fmt: skip


def leaves(model: type[BaseModel], prefix: str = "") -> set[str]:
    found: set[str] = set()
    for name, field in model.model_fields.items():
        kind: Any = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            found |= leaves(kind, f"{prefix}{name}.")
        else:
            found.add(prefix + name)
    return found


def test_every_key_has_a_case() -> None:
    assert leaves(Micro) == set(CASES)


def seen(case: Case, setting: str) -> Any:
    base = ("host.memory=16 GiB", "host.cpus=2", "linux.cmdline=quiet", "micro.load=0.3")
    scenario = load("rack-server", (*base, *case.given, setting)).scenario
    boot = Boot(scenario, faults=[parse_fault(text) for text in case.faults])
    boot.run(case.span_s)
    return case.sees(boot)


def check(case: Case, key: str) -> None:
    low, high = (seen(case, f"{key}={value}") for value in (case.low, case.high))
    assert (high - low) * case.sign > 0.01 * abs(low), f"{key}: {low} -> {high}"


@pytest.mark.parametrize("key", sorted(CASES))
def test_key_moves_the_boot(key: str) -> None:
    check(CASES[key], f"micro.{key}")


@pytest.mark.parametrize("name", sorted(SYSCTLS))
def test_sysctl_moves_the_boot(name: str) -> None:
    check(SYSCTLS[name], f"vm.{name}")


def test_without_swappiness_nothing_is_swapped_while_there_is_cache() -> None:
    assert seen(SYSCTLS["swappiness"], "vm.swappiness=0") == 0


def test_the_hard_limit_holds_writers_back() -> None:
    """Dirty memory is at the limit, give or take one write of each thread and two requests of the flusher."""
    case = SYSCTLS["dirty_ratio"]
    over = seen(case._replace(sees=lambda b: b.pager.memory.dirty - b.pager.dirty_limits()[1]), "vm.dirty_ratio=2")
    assert -2 * WRITE_PAGES <= over <= 16 * 32
