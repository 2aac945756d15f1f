"""A fault source: what strikes a running host, how often, and where the host is after the strike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from ksim.linux.taint import Taint
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


@dataclass(frozen=True, slots=True)
class FaultSource:
    """One file of ``ksim/model/faults``. ``strike`` adds nodes to the plan and returns the first of them.

    ``aftereffect`` gives further clocks of a host in ``state``, which an earlier strike of this source left.
    """

    name: str
    summary: str
    budget: Budget
    settings: type[FaultSettings]
    strike: Callable[[Plan, Any, Struck], str]
    aftereffect: Callable[[Plan, Any, str, Alive], tuple[Clock, ...]] = no_aftereffect
