"""What a reader emits: transitions, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple


class Transition(NamedTuple):
    """At ``time_s`` the host left ``source`` for ``target``; ``cause`` where that began an outage."""

    time_s: float
    source: str
    target: str
    cause: str


@dataclass(frozen=True)
class Layout:
    """The lifecycle in numbers, as readers and the ledger use it: nodes 0..n-1, edges 0..m-1 in graph order.

    ``rewards``: by name, the rate at which each node earns.
    """

    entry: int
    names: tuple[str, ...]
    phases: tuple[str, ...]
    down: tuple[bool, ...]
    degraded: tuple[bool, ...]
    events: tuple[str, ...]
    work_lost_s: tuple[float, ...]
    source: tuple[int, ...]
    target: tuple[int, ...]
    causes: tuple[str, ...]
    budgets: Mapping[str, str]
    rewards: Mapping[str, tuple[float, ...]] = field(default_factory=dict)


@dataclass(slots=True)
class Path:
    """One replication: at ``times[i]`` (seconds, never decreasing) the host went along edge ``edges[i]``."""

    times: list[float] = field(default_factory=list)
    edges: list[int] = field(default_factory=list)

    def transitions(self, layout: Layout) -> Iterator[Transition]:
        for time, edge in zip(self.times, self.edges, strict=True):
            source, target = layout.source[edge], layout.target[edge]
            yield Transition(time, layout.names[source], layout.names[target], layout.causes[edge])
