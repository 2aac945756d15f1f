"""The lifecycle in numbers, as walkers follow it: stops, the ways out of them, and the streams that they draw from.

Both walkers, SimPy's and the one in machine code, are built from this, so that they draw the same numbers by the same
names: ``clock NAME`` for the clocks of races, ``branch NODE`` for the way out of a choice, ``dwell NODE I`` for the
time until then.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from ksim.chance.distributions import Law, Outcomes
from ksim.model.lifecycle import Lifecycle, Node


class Stop(NamedTuple):
    """A node as a walker meets it. ``branch`` and ``durations`` are streams, ``targets`` nodes, all by number.

    ``branch`` is None where there is but one way, ``clocks`` is empty where the node is a choice. The edges of the
    layout that leave the node are ``first_edge`` and those that follow.
    """

    branch: int | None
    durations: tuple[int, ...]
    targets: tuple[int, ...]
    first_edge: int
    clocks: tuple[str, ...]


@dataclass(frozen=True)
class Course:
    """``stops`` in the order of the nodes; ``streams`` by number: the name of the draws, and their law."""

    entry: int
    stops: tuple[Stop, ...]
    streams: tuple[tuple[str, Law | Outcomes], ...]


def course(life: Lifecycle) -> Course:
    """Numbers the streams of a lifecycle in the order in which its nodes name them."""
    streams: dict[str, Law | Outcomes] = {}
    numbers: dict[str, int] = {}

    def stream(name: str, law: Law | Outcomes) -> int:
        streams.setdefault(name, law)
        return numbers.setdefault(name, len(numbers))

    def stop(node: Node, first_edge: int) -> Stop:
        branch = None
        if node.clocks:
            durations = [stream(f"clock {clock.name}", clock.after) for clock in node.clocks]
        else:
            laws = [branch.dwell for branch in node.branches]
            # branches of one law share one stream: which of them is taken does not change the dwell
            durations = [stream(f"dwell {node.draws} {laws.index(law)}", law) for law in laws]
            if len(laws) > 1:
                branch = stream(f"branch {node.draws}", Outcomes.of(tuple(way.p for way in node.branches)))
        targets = tuple(life.index[way.to] for way in node.ways)
        return Stop(branch, tuple(durations), targets, first_edge, tuple(clock.name for clock in node.clocks))

    stops, edge = [], 0
    for node in life.nodes:
        stops.append(stop(node, edge))
        edge += len(node.ways)
    return Course(life.index[life.entry], tuple(stops), tuple(streams.items()))
