"""Small boots of the micro reader, and what their consoles say."""

from __future__ import annotations

from functools import cache

from ksim.micro.causes import parse_fault
from ksim.micro.machine import Boot
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


def boot(*overrides: str, faults: tuple[str, ...] = (), replication: int = 0) -> Boot:
    return Boot(scenario(overrides), replication, faults=[parse_fault(text) for text in faults])


@cache
def scenario(overrides: tuple[str, ...]) -> Scenario:
    return load("rack-server", (*SMALL, *overrides)).scenario


def lines(it: Boot) -> list[str]:
    return [line for entry in it.console for line in entry.lines]


def events(it: Boot) -> list[str]:
    return [entry.decision.strike.event.name for entry in it.console if entry.decision]
