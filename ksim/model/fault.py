"""A fault source: what strikes a running host, how often, and where the host is after the strike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from ksim.linux.taint import Taint
from ksim.model.impact import ImpactTable
from ksim.model.lifecycle import Budget, Clock
from ksim.model.plan import Alive, Plan
from ksim.model.schema import FaultSettings


class Struck(NamedTuple):
    """Where a strike finds the host: ``alive`` is the node it left, ``state`` what this boot has been through.

    ``fault`` is the name of the table ``[faults.NAME]``; ``node`` is a free name for the node of the strike,
    one for each alive node, and ``fault`` is the stream that these copies share.
    """

    fault: str
    node: str
    alive: str
    state: Alive

    @property
    def taint(self) -> Taint:
        """Taint of the kernel that is struck."""
        return (Taint.DIE if self.state.oopses else Taint.none()) | (Taint.WARN if self.state.warns else Taint.none())


def no_aftereffect(plan: Plan, settings: Any, fault: str, state: Alive) -> tuple[Clock, ...]:
    """What most faults add to a host that they left alive."""
    return ()


def given_rate(settings: Any) -> float:
    """What most faults strike by: the key ``rate``, per second."""
    return float(settings.rate)


def nothing_measured(table: ImpactTable) -> Mapping[str, Any]:
    """What most faults learn from a table of crash impacts."""
    return {}


@dataclass(frozen=True, slots=True)
class FaultSource:
    """One file of ``ksim/model/faults``. ``strike`` adds nodes to the plan and returns the first of them.

    ``aftereffect`` gives further clocks of a host in ``state``, which an earlier strike of this source left.
    ``rate``: strikes per second up, where that follows from more than the key of this name. ``measured``: the settings,
    by key, about which a table of crash impacts knows better than their defaults.
    """

    name: str
    summary: str
    budget: Budget
    settings: type[FaultSettings]
    strike: Callable[[Plan, Any, Struck], str]
    aftereffect: Callable[[Plan, Any, str, Alive], tuple[Clock, ...]] = no_aftereffect
    rate: Callable[[Any], float] = given_rate
    measured: Callable[[ImpactTable], Mapping[str, Any]] = nothing_measured
