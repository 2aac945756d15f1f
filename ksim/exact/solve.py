"""The exact answers of a lifecycle graph: a semi-Markov process that starts afresh at its entry.

Long-run measures by renewal-reward theory over the cycle from entry to entry; moments of outages on the graph
of the down nodes; nothing is sampled. Times in seconds, rates per second.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

from ksim.errors import NotSolvable
from ksim.exact.elimination import EXIT, Elimination
from ksim.exact.race import Way, race
from ksim.model.lifecycle import Lifecycle, Node


@dataclass(frozen=True, slots=True)
class OutageMoments:
    """Outages of a group of causes: how many per second, mean and standard deviation of their length."""

    rate: float
    mean_s: float
    sd_s: float


def solvable(life: Lifecycle) -> list[str]:
    """Why the exact reader cannot answer, node by node; empty if it can."""
    reasons, found = [], []
    for node in life.nodes:
        try:
            found.append(moments(node))
        except NotSolvable as error:
            reasons.append(str(error))
    return reasons or _stuck(life, found)


def _stuck(life: Lifecycle, ways: list[list[Way]]) -> list[str]:
    """The nodes that never lead back to the entry, since the clock that would never wins its race."""
    before: dict[str, set[str]] = {node.name: set() for node in life.nodes}
    for node, found in zip(life.nodes, ways, strict=True):
        for edge, way in zip(node.ways, found, strict=True):
            if way.p > 0.0:
                before[edge.to].add(node.name)
    returning, todo = {life.entry}, [life.entry]
    while todo:
        new = before[todo.pop()] - returning
        returning |= new
        todo += new
    return [
        f"node '{node.name}' never leads back to '{life.entry}': some clock on the way always loses its race"
        for node in life.nodes
        if node.name not in returning
    ]


def moments(node: Node) -> list[Way]:
    """The ways out of a node, in their order. Raises NotSolvable."""
    if node.clocks:
        return race([clock.after for clock in node.clocks], f"node '{node.name}'")
    total = math.fsum(branch.p for branch in node.branches)
    return [
        Way(
            branch.p / total,
            branch.p / total * branch.dwell.mean,
            branch.p / total * branch.dwell.second_moment,
        )
        for branch in node.branches
    ]


class Solution:
    """Solves at once what every question needs, and the rest when asked. Raises NotSolvable."""

    def __init__(self, life: Lifecycle) -> None:
        self.life = life
        self.layout = life.layout
        self._ways = [moments(node) for node in life.nodes]
        for reason in _stuck(life, self._ways):
            raise NotSolvable(reason)
        self._edges = [
            (source, way, target, cause)
            for source, way, target, cause in zip(
                self.layout.source, chain(*self._ways), self.layout.target, self.layout.causes, strict=True
            )
        ]
        self._mean = [math.fsum(way.first for way in ways) for ways in self._ways]
        entry = self.layout.entry
        self._cycle = Elimination(self._rows({entry}))
        starts = [0.0] * len(life.nodes)
        starts[entry] = 1.0
        self.visits = self._cycle.visits(starts)
        """Mean number of visits to each node between two entries."""
        self.cycle_s = math.fsum(v * m for v, m in zip(self.visits, self._mean, strict=True))

    def _rows(self, exits: set[int]) -> list[dict[int, float]]:
        rows: list[dict[int, float]] = [{} for _ in self.life.nodes]
        for source, way, target, _ in self._edges:
            key = EXIT if target in exits else target
            rows[source][key] = rows[source].get(key, 0.0) + way.p
        return rows

    # ------------------------------------------------------------ time shares

    def _down(self) -> list[float]:
        return [1.0 if down else 0.0 for down in self.layout.down]

    @cached_property
    def unavailability(self) -> float:
        """Long-run share of time with the service down."""
        return math.fsum(self._mean[i] * self.visits[i] for i, d in enumerate(self.layout.down) if d) / self.cycle_s

    @cached_property
    def degraded(self) -> float:
        """Long-run share of time with a degraded service."""
        spent = [self._mean[i] * self.visits[i] for i, d in enumerate(self.layout.degraded) if d]
        return math.fsum(spent) / self.cycle_s

    def event_rate(self, event: str) -> float:
        """Entries per second into nodes that count ``event``."""
        return math.fsum(v for v, e in zip(self.visits, self.layout.events, strict=True) if e == event) / self.cycle_s

    def reward(self, name: str) -> float:
        """Long-run mean of the reward ``name``, per second or as a level."""
        rates = self.layout.rewards[name]
        return math.fsum(v * m * r for v, m, r in zip(self.visits, self._mean, rates, strict=True)) / self.cycle_s

    @property
    def work_lost(self) -> float:
        """Seconds of the host's work that are thrown away, per second."""
        return math.fsum(v * lost for v, lost in zip(self.visits, self.layout.work_lost_s, strict=True)) / self.cycle_s

    def _total(self, rates: list[float]) -> tuple[list[float], list[float]]:
        """First and second moment of the reward from each node to the next entry, earned at ``rates``."""
        exits = {self.layout.entry}
        first = self._cycle.expected([rate * mean for rate, mean in zip(rates, self._mean, strict=True)])
        rewards = [0.0] * len(rates)
        for source, way, target, _ in self._edges:
            onward = 0.0 if target in exits else first[target]
            rewards[source] += rates[source] ** 2 * way.second + 2.0 * rates[source] * way.first * onward
        return first, self._cycle.expected(rewards)

    @cached_property
    def downtime_variance_rate(self) -> float:
        """Long-run variance of accumulated downtime, s^2 per second (renewal-reward central limit theorem)."""
        _, second = self._total([d - self.unavailability for d in self._down()])
        return second[self.layout.entry] / self.cycle_s

    def downtime_s(self, horizon_s: float) -> float:
        """Expected downtime within [0, horizon], starting at the entry.

        Exact up to terms that vanish as the horizon grows past a few cycles' memory (second-order renewal
        theorem); for an exponential time to the first failure that is at once.
        """
        entry, cycle = self.layout.entry, self.cycle_s
        _, squares = self._total([1.0] * len(self.life.nodes))
        elapsed = [0.0] * len(self.life.nodes)
        for source, way, target, _ in self._edges:
            if target != entry:
                elapsed[target] += self.visits[source] * way.first
        age = self._cycle.visits(elapsed)  # sum over visits of the time since the cycle began
        moment = math.fsum(
            age[i] * self._mean[i] + 0.5 * self.visits[i] * math.fsum(way.second for way in self._ways[i])
            for i, down in enumerate(self.layout.down)
            if down
        )
        down_per_cycle = self.unavailability * cycle
        return self.unavailability * horizon_s + down_per_cycle * squares[entry] / (2.0 * cycle**2) - moment / cycle

    # ------------------------------------------------------------ outages

    @cached_property
    def _outage(self) -> Elimination:
        """Down nodes only: everything else is an exit."""
        up = {i for i, down in enumerate(self.layout.down) if not down}
        rows = self._rows(up)
        for i in up:
            rows[i] = {EXIT: 1.0}
        return Elimination(rows)

    @cached_property
    def _starts(self) -> dict[str, list[float]]:
        """By cause: how often per cycle an outage begins at each node."""
        down = self.layout.down
        starts: dict[str, list[float]] = {}
        for source, way, target, cause in self._edges:
            if down[target] and not down[source]:
                starts.setdefault(cause, [0.0] * len(down))[target] += self.visits[source] * way.p
        return starts

    def begins(self, cause: str) -> float:
        """Outages of one cause per second."""
        return math.fsum(self._starts.get(cause, ())) / self.cycle_s

    def _causes(self, budget: str | None) -> list[str]:
        return [cause for cause in self._starts if budget in (None, self.layout.budgets[cause])]

    def outage_starts(self, budget: str | None = None) -> dict[str, float]:
        """How often per cycle an outage of this budget, or of any, begins at each node."""
        found: dict[str, list[float]] = {}
        for cause in self._causes(budget):
            for name, count in zip(self.layout.names, self._starts[cause], strict=True):
                if count:
                    found.setdefault(name, []).append(count)
        return {name: math.fsum(counts) for name, counts in found.items()}

    def outages(self, budget: str | None = None) -> OutageMoments | None:
        """Outages of one budget, or all; None if there are none."""
        causes = self._causes(budget)
        starts = [math.fsum(self._starts[cause][i] for cause in causes) for i in range(len(self.life.nodes))]
        count = math.fsum(starts)
        if count == 0.0:
            return None
        down = self._down()
        first = self._outage.expected([d * m for d, m in zip(down, self._mean, strict=True)])
        rewards = [0.0] * len(down)
        for source, way, target, _ in self._edges:
            if down[source]:
                rewards[source] += way.second + 2.0 * way.first * first[target] * down[target]
        second = self._outage.expected(rewards)
        mean = math.fsum(s * x for s, x in zip(starts, first, strict=True)) / count
        square = math.fsum(s * x for s, x in zip(starts, second, strict=True)) / count
        return OutageMoments(count / self.cycle_s, mean, math.sqrt(max(0.0, square - mean * mean)))

    def downtime_by_cause(self) -> dict[str, dict[str, float]]:
        """Long-run share of time down, by cause of the outage and phase."""
        found: dict[str, dict[str, float]] = {}
        for cause, starts in self._starts.items():
            phases = found.setdefault(cause, {})
            for i, v in enumerate(self._outage.visits(starts)):
                if self.layout.down[i]:
                    phase = self.layout.phases[i]
                    phases[phase] = phases.get(phase, 0.0) + v * self._mean[i] / self.cycle_s
        return found
