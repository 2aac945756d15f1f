"""A fault source: what strikes a running host, how often, and where the host is after the strike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from ksim.model.lifecycle import Budget
from ksim.model.plan import Plan
from ksim.model.schema import FaultSettings


class Struck(NamedTuple):
    """Where a strike finds the host: ``alive`` is the node it left, after ``oopses`` survived oopses this boot.

    ``fault`` is the name of the table ``[faults.NAME]``; ``node`` is a free name for the node of the strike,
    one for each alive node, and ``fault`` is the stream that these copies share.
    """

    fault: str
    node: str
    alive: str
    oopses: int


@dataclass(frozen=True, slots=True)
class FaultSource:
    """One file of ``ksim/model/faults``. ``strike`` adds nodes to the plan and returns the first of them."""

    name: str
    summary: str
    budget: Budget
    settings: type[FaultSettings]
    strike: Callable[[Plan, Any, Struck], str]
