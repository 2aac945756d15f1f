"""The life of a host as a graph: what it can be doing, for how long, and what comes next.

A node is either a *choice* (branches: probability, dwell, target) or a *race* (clocks: the first to ring
decides). Time and outcome may depend on each other: each branch has a dwell of its own, and a race lasts as
long as its first clock. All clocks of a race start afresh when the node is entered, so the graph is a
semi-Markov process and can be solved. Memory is unrolled into nodes: a second try is a second node.

An *outage* is a stretch of nodes whose service is down. It belongs to the ``cause`` written on the branch or
clock that began it, and through the cause to a budget: software, hardware or planned.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

from ksim.chance.distributions import Law
from ksim.errors import GraphError, nearest
from ksim.evidence.transition import Layout

if TYPE_CHECKING:
    import networkx as nx


class Service(enum.Enum):
    """What the users of the host get."""

    UP = "up"
    DEGRADED = "degraded"
    DOWN = "down"


class Budget(enum.Enum):
    """Who answers for an outage. Hardware repairs would drown every software policy if counted together."""

    SOFTWARE = "software"
    HARDWARE = "hardware"
    PLANNED = "planned"


@dataclass(frozen=True, slots=True)
class Branch:
    """One way out of a choice: taken with probability ``p``, after ``dwell``."""

    to: str
    dwell: Law
    p: float = 1.0
    cause: str = ""

    @property
    def law(self) -> Law:
        return self.dwell


@dataclass(frozen=True, slots=True)
class Clock:
    """One runner of a race: rings ``after`` a time drawn at entry. Its name is its stream and its process."""

    name: str
    after: Law
    to: str
    cause: str = ""

    @property
    def law(self) -> Law:
        return self.after


@dataclass(frozen=True, slots=True)
class Node:
    """One state. ``phase`` is the row that its time belongs to in tables (several nodes may share one).

    ``event`` is counted at each entry ("panic", "vmcore", "kill", "damage"); ``work_lost_s`` is the host's work
    that an entry throws away, in seconds of the whole host. Exactly one of ``branches`` and ``clocks`` is
    filled; ``branches`` is ordered, and so are ``clocks``: at equal times the clock named first wins.
    """

    name: str
    phase: str
    service: Service
    branches: tuple[Branch, ...] = ()
    clocks: tuple[Clock, ...] = ()
    event: str = ""
    stream: str = ""
    work_lost_s: float = 0.0

    @property
    def draws(self) -> str:
        """Name of the random streams of this node: unrolled copies of one state share them."""
        return self.stream or self.name

    @property
    def ways(self) -> tuple[Branch | Clock, ...]:
        return self.branches or self.clocks


@dataclass(frozen=True)
class Lifecycle:
    """A checked graph. ``entry`` is the state at time 0 and after every recovery; ``budgets`` maps causes.

    ``notes`` are remarks for the reader, ``facts`` numbers that the settings decide without any chance, by name:
    (value, unit). ``rewards`` are what a stay earns beside up and down, by name: (one rate per node in their order,
    unit of the rate); a rate per second counts what happens at that intensity, a level is averaged over time.
    """

    entry: str
    nodes: tuple[Node, ...]
    budgets: Mapping[str, Budget]
    notes: tuple[str, ...] = field(default=(), compare=False)
    facts: Mapping[str, tuple[float, str]] = field(default_factory=dict, compare=False)
    rewards: Mapping[str, tuple[tuple[float, ...], str]] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        check(self)

    @cached_property
    def index(self) -> dict[str, int]:
        return {node.name: i for i, node in enumerate(self.nodes)}

    def __getitem__(self, name: str) -> Node:
        return self.nodes[self.index[name]]

    @cached_property
    def layout(self) -> Layout:
        """The same graph in numbers; edges stand in the order of the nodes and of their ways."""
        edges = [(node, way) for node in self.nodes for way in node.ways]
        return Layout(
            entry=self.index[self.entry],
            names=tuple(node.name for node in self.nodes),
            phases=tuple(node.phase for node in self.nodes),
            down=tuple(node.service is Service.DOWN for node in self.nodes),
            degraded=tuple(node.service is Service.DEGRADED for node in self.nodes),
            events=tuple(node.event for node in self.nodes),
            work_lost_s=tuple(node.work_lost_s for node in self.nodes),
            source=tuple(self.index[node.name] for node, _ in edges),
            target=tuple(self.index[way.to] for _, way in edges),
            causes=tuple(way.cause for _, way in edges),
            budgets={cause: budget.value for cause, budget in self.budgets.items()},
            rewards={name: rates for name, (rates, _) in self.rewards.items()},
        )

    @cached_property
    def graph(self) -> nx.DiGraph[str]:
        """networkx view: node attributes ``phase, service, event``; edge attribute ``ways`` (Branch or Clock)."""
        import networkx as nx  # late: it takes longer to import than a lifecycle to be solved

        graph: nx.DiGraph[str] = nx.DiGraph(entry=self.entry)
        for node in self.nodes:
            graph.add_node(node.name, phase=node.phase, service=node.service.value, event=node.event)
        for node in self.nodes:
            for way in node.ways:
                if graph.has_edge(node.name, way.to):
                    graph.edges[node.name, way.to]["ways"].append(way)
                else:
                    graph.add_edge(node.name, way.to, ways=[way])
        return graph


PROBABILITY_SLACK = 1e-9
"""How far the probabilities of a choice may be from 1 in sum: rounding of decimal fractions, no more."""


def check(life: Lifecycle) -> None:
    """Raises GraphError for the first broken rule, naming the node."""
    names = [node.name for node in life.nodes]
    known: set[str] = set()
    for name in names:
        if name in known:
            raise GraphError(f"node '{name}' is there twice")
        known.add(name)
    if life.entry not in known:
        raise GraphError(f"the entry '{life.entry}' is not a node (nodes: {', '.join(names)})")
    if life[life.entry].service is Service.DOWN:
        raise GraphError(f"the entry '{life.entry}' must have a service that is up")
    for node in life.nodes:
        _check_node(life, node)
    reached = _reached(life.entry, [(node.name, way.to) for node in life.nodes for way in node.ways])
    for name in names:
        if name not in reached:
            raise GraphError(f"node '{name}' cannot be reached from '{life.entry}'")
    back = [(way.to, node.name) for node in life.nodes for way in node.ways if _can_happen(way)]
    returning = _reached(life.entry, back)
    for name in names:
        if name not in returning:
            raise GraphError(f"node '{name}' never leads back to '{life.entry}': it would stay there for ever")
    _check_time_passes(life)
    _check_streams(life)
    for name, (rates, _) in life.rewards.items():
        if len(rates) != len(life.nodes) or not all(map(math.isfinite, rates)):
            raise GraphError(f"reward '{name}' must have one finite rate per node")


def _reached(start: str, edges: Iterable[tuple[str, str]]) -> set[str]:
    """Where edges lead to from ``start``, and ``start`` itself."""
    after: dict[str, list[str]] = {}
    for source, target in edges:
        after.setdefault(source, []).append(target)
    found, todo = {start}, [start]
    while todo:
        new = set(after.get(todo.pop(), ())) - found
        found |= new
        todo += new
    return found


def _can_happen(way: Branch | Clock) -> bool:
    return isinstance(way, Clock) or way.p > 0.0


def _check_node(life: Lifecycle, node: Node) -> None:
    if bool(node.branches) == bool(node.clocks):
        raise GraphError(f"node '{node.name}' must have either branches or clocks")
    for way in node.ways:
        if way.to not in life.index:
            raise GraphError(
                f"node '{node.name}' leads to '{way.to}', which is not a node{nearest(way.to, life.index)}"
            )
        if not (math.isfinite(way.law.mean) and way.law.mean >= 0.0):
            raise GraphError(f"'{node.name}' -> '{way.to}' lasts {way.law.mean} s")
        begins_outage = node.service is not Service.DOWN and life[way.to].service is Service.DOWN
        if begins_outage and way.cause not in life.budgets:
            raise GraphError(f"'{node.name}' -> '{way.to}' begins an outage: its cause '{way.cause}' has no budget")
    clock_names = [clock.name for clock in node.clocks]
    if len(set(clock_names)) < len(clock_names):
        raise GraphError(f"two clocks of node '{node.name}' have the same name")
    if not 0.0 <= node.work_lost_s < math.inf:
        raise GraphError(f"node '{node.name}' loses {node.work_lost_s} s of work")
    if node.branches:
        for branch in node.branches:
            if not 0.0 <= branch.p <= 1.0:
                raise GraphError(f"'{node.name}' -> '{branch.to}' has probability {branch.p:g}, not within 0 to 1")
        total = math.fsum(branch.p for branch in node.branches)
        if abs(total - 1.0) > PROBABILITY_SLACK:
            raise GraphError(f"the probabilities of node '{node.name}' sum to {total:.12g}, not to 1")


def _check_time_passes(life: Lifecycle) -> None:
    after = {node.name: [way.to for way in node.ways if way.law.mean == 0.0] for node in life.nodes}
    for name in after:
        cycle = _cycle(name, after)
        if cycle:
            raise GraphError(f"no time passes around the cycle {' -> '.join(cycle)}")


def _cycle(start: str, after: Mapping[str, list[str]]) -> list[str]:
    """The nodes of a way from ``start`` back to it, or none."""
    came_from: dict[str, str] = {}
    todo = [start]
    while todo:
        node = todo.pop()
        for target in after[node]:
            if target == start:
                cycle = [node]
                while cycle[-1] != start:
                    cycle.append(came_from[cycle[-1]])
                return cycle[::-1]
            if target not in came_from:
                came_from[target] = node
                todo.append(target)
    return []


def _check_streams(life: Lifecycle) -> None:
    """What shares a stream must draw the same things from it."""
    laws: dict[str, object] = {}
    for node in life.nodes:
        if node.branches:
            ways = tuple((branch.p, branch.dwell) for branch in node.branches)
            if laws.setdefault(node.draws, ways) != ways:
                raise GraphError(f"node '{node.name}' shares the draws of '{node.draws}' but not its branches")
        for clock in node.clocks:
            if laws.setdefault(f"clock {clock.name}", clock.after) != clock.after:
                raise GraphError(f"clock '{clock.name}' has two different laws, one of them at '{node.name}'")


def trimmed(life_nodes: Iterable[Node], entry: str) -> tuple[Node, ...]:
    """The nodes reachable from ``entry`` by ways that can happen (probability above zero), in their order.

    Builders may add every node they know and leave out nothing: what these settings make impossible goes here.
    """
    nodes = {}
    for node in life_nodes:
        nodes[node.name] = replace(node, branches=tuple(branch for branch in node.branches if branch.p > 0.0))
    keep, todo = {entry}, [entry]
    while todo:
        for way in nodes[todo.pop()].ways:
            if way.to not in keep:
                keep.add(way.to)
                todo.append(way.to)
    return tuple(node for node in nodes.values() if node.name in keep)
