"""Memory pressure at micro scale: a program leaks, clients wait, and the OOM killer takes a process or the machine.

Model    One boot with ``micro.memory.leak`` above 0, played second by second until some seconds after the first kill,
         a panic, or ``micro.span``. A second is *stalled* if fewer than half as many calls of clients were answered in
         it as in a second of the first three.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ksim.linux.watermarks import PAGE_BYTES
from ksim.micro.machine import Boot
from ksim.micro.programs import WORKLOADS
from ksim.model.scenario import Scenario
from ksim.model.schema_micro import Micro
from ksim.study.pool import pieces_of, work_on
from ksim.units import to_ns, to_s

AFTER_S = 5
"""Played after the first kill: who else dies of the same shortage."""
CALM_S = 3


@dataclass(frozen=True, slots=True)
class Pressure:
    """How one leak ended. ``killed_s``: from its start to the first kill or panic; None: neither came.

    ``worst_s``: the longest that a client waited for an answer that came.
    """

    killed_s: float | None
    panicked: bool
    service_killed: bool
    stalled_s: int
    worst_s: float
    swapped_out_bytes: int


def press(scenario: Scenario, replication: int) -> Pressure:
    """One boot. Raises ScenarioError where the workload does not fit into the machine."""
    micro = scenario.micro or Micro()
    boot = Boot(scenario, replication)
    answered: list[int] = []
    before, last_s = 0, int(micro.span)
    killed_s: float | None = None
    second = 0
    while second < last_s and boot.ending is None:
        second += 1
        boot.clock.play(to_ns(float(second)))
        answered.append(boot.nic.completed - before)
        before = boot.nic.completed
        if killed_s is None and boot.pager.oom_kills:
            last_s = min(last_s, second + AFTER_S)
            killed_s = next(
                to_s(entry.at_ns)
                for entry in boot.console
                if entry.decision is not None and entry.decision.strike.event.name == "oom"
            )
    panicked = boot.ending is not None
    if boot.ending is not None:
        killed_s = to_s(boot.ending.at_ns)
        answered.pop()  # cut short
    comm = WORKLOADS[micro.workload].comm
    dead = {victim.partition("[")[0] for victim in boot.oom_killed}
    calm = sum(answered[:CALM_S]) / CALM_S
    return Pressure(
        killed_s=killed_s,
        panicked=panicked,
        service_killed=comm in dead,
        stalled_s=sum(2 * count < calm for count in answered[CALM_S:]),
        worst_s=to_s(boot.nic.worst_ns),
        swapped_out_bytes=boot.pager.swapped_out * PAGE_BYTES,
    )


class Presser:
    """The worker of ``ksim.study.pool`` for these boots."""

    def __init__(self, scenarios: Sequence[Scenario]) -> None:
        self._scenarios = scenarios

    def run(self, first: int, count: int) -> list[Pressure]:
        n = len(self._scenarios)
        return [press(self._scenarios[i % n], i // n) for i in range(first, first + count)]


def press_all(scenarios: Sequence[Scenario], replications: int, workers: int) -> list[list[Pressure]]:
    """``replications`` boots of each scenario, on common random numbers. Raises KsimError if a worker dies."""
    n = len(scenarios)
    found: dict[int, Pressure] = {}
    for (first, _), piece in work_on(scenarios, Presser, pieces_of(n * replications, 1), workers):
        found[first] = piece[0]
    return [[found[r * n + i] for r in range(replications)] for i in range(n)]
