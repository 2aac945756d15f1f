"""A graph seen by two clocks: *counted* time, that of outages of one budget or of all, and *passing* time, the rest.

Passing time is up time, degraded time and the time of outages for another budget's sake. A down node can be met in
both kinds of outages: it counts under the key ``counted(name)`` and passes under its own name. Transforms of
counted time are over a lattice (z), those of passing time over complex numbers q.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ksim.chance.distributions import Constant, Exponential, Law
from ksim.exact import transform
from ksim.exact.outage import Ways, row_of
from ksim.exact.reduce import Row, reduced
from ksim.exact.transform import Complex
from ksim.model.lifecycle import Branch, Clock, Lifecycle, Node

NOW = Constant(0.0)


def counted(name: Hashable) -> Hashable:
    """The key of a down node within a counted outage."""
    return "counted", name


@dataclass(frozen=True)
class Group:
    """Ways out of an up node that share the transform of their dwell: ``law`` times ``p``, or else way ``way``.

    ``shares``: where they lead, in parts of 1.
    """

    shares: Mapping[Hashable, float]
    p: float
    law: Law | None
    way: int = 0


@dataclass(frozen=True)
class Passage:
    """Passing time at some q: transforms by (node, group); rows and rewards where passing outages begin.

    A reward is the transform of the passing time that a visit takes.
    """

    q: Complex
    groups: Mapping[Hashable, Complex]
    rows: Mapping[Hashable, Row]
    rewards: Mapping[Hashable, Complex]

    def mirrored(self) -> Passage:
        """The same with the conjugate q after them: the transforms of real things are conjugates there, too."""

        def twice(values: Complex) -> Complex:
            return np.concatenate([values, values.conj()])

        return Passage(
            twice(self.q),
            {key: twice(value) for key, value in self.groups.items()},
            {key: {to: twice(way) for to, way in row.items()} for key, row in self.rows.items()},
            {key: twice(value) for key, value in self.rewards.items()},
        )


class TwoClocks:
    """One graph, and the budget whose outages count (None: all)."""

    def __init__(self, life: Lifecycle, budget: str | None) -> None:
        self.life, self._budget = life, budget
        self._down = dict(zip(life.layout.names, life.layout.down, strict=True))
        up = [node for node in life.nodes if not self._down[node.name]]
        self.groups = {node.name: self._grouped(node) for node in up if not _is_instant(node)}
        """The up nodes that take time."""
        self._instant = [node for node in up if _is_instant(node)]
        self._begun = {edge.to for node in up for edge in node.ways if self._down[edge.to] and self._passes(edge)}
        todo, self._passing = sorted(self._begun), set(self._begun)
        while todo:
            new = {edge.to for edge in life[todo.pop()].ways if self._down[edge.to]} - self._passing
            self._passing |= new
            todo += sorted(new)

        met = {edge.to for name in self._passing for edge in life[name].ways} | {life.entry}
        self._met = met & {node.name for node in self._instant}
        """Instant nodes that passing time leads to; the others are parts of ways."""

    @property
    def renews(self) -> Group | None:
        """The one exponential group that all passing time is made of, where that is so."""
        only = [group for groups in self.groups.values() for group in groups]
        if len(only) == 1 and isinstance(only[0].law, Exponential) and not self._passing:
            return only[0]
        return None

    @property
    def simple(self) -> bool:
        """Whether all counted outages follow one dwell in one node: then they have one law between them."""
        counting = [
            number
            for groups in self.groups.values()
            for number, group in enumerate(groups)
            if not all(to in self.groups or to in self._begun for to in group.shares)
        ]
        return len(self.groups) == 1 and len(counting) <= 1 and not self._met

    def _passes(self, edge: Branch | Clock) -> bool:
        return self._budget is not None and self.life.layout.budgets[edge.cause] != self._budget

    def _key(self, edge: Branch | Clock) -> Hashable:
        """Where a way out of an up node leads."""
        return counted(edge.to) if self._down[edge.to] and not self._passes(edge) else edge.to

    def _grouped(self, node: Node) -> list[Group]:
        keys = [self._key(edge) for edge in node.ways]
        if node.clocks and all(isinstance(clock.after, Exponential) for clock in node.clocks):
            rates = [1.0 / clock.after.mean for clock in node.clocks]
            total = math.fsum(rates)
            return [Group(_merged(keys, [rate / total for rate in rates]), 1.0, Exponential(1.0 / total))]
        if node.clocks:
            return [Group({key: 1.0}, 1.0, None, way) for way, key in enumerate(keys)]
        whole = math.fsum(branch.p for branch in node.branches)
        groups = []
        for law in dict.fromkeys(branch.dwell for branch in node.branches):
            shares = [branch.p if branch.dwell == law else 0.0 for branch in node.branches]
            p = math.fsum(shares)
            if p > 0.0:
                groups.append(Group(_merged(keys, [share / p for share in shares]), p / whole, law))
        return groups

    def jumps(self, ways: Ways) -> dict[Hashable, Row]:
        """What counted outages do, for the transforms ``ways`` of their dwells.

        Keys are (up node, group), and instant up nodes that passing time meets; targets are up nodes and down
        nodes that pass.
        """
        rows: dict[Hashable, Mapping[Hashable, Complex]] = {}
        for node in self.life.nodes:
            if self._down[node.name]:
                rows[counted(node.name)] = {
                    counted(to) if self._down[str(to)] else to: way for to, way in row_of(node, ways).items()
                }
        keep: set[Hashable] = set()
        for name, groups in self.groups.items():
            for number, group in enumerate(groups):
                rows[name, number] = _plain(group.shares)
                keep.add((name, number))
        for node in self._instant:
            total = math.fsum(branch.p for branch in node.branches)
            shares = [branch.p / total for branch in node.branches]
            rows[node.name] = _plain(_merged([self._key(edge) for edge in node.ways], shares))
        return reduced(rows, {}, keep | self._met)[0]

    def passage(self, q: Complex) -> Passage:
        """Passing time at ``q``. Raises NotSolvable where a transform cannot be had."""
        values: dict[Hashable, Complex] = {}
        for name, groups in self.groups.items():
            races = transform.ways(self.life[name], q) if any(group.law is None for group in groups) else []
            for number, group in enumerate(groups):
                law = group.law
                values[name, number] = (
                    races[group.way]
                    if law is None
                    else np.asarray(group.p * transform.transform(law, q, f"node '{name}'"))
                )
        rows: dict[Hashable, Mapping[Hashable, Complex]] = {}
        rewards: dict[Hashable, Complex] = {}
        for node in self.life.nodes:
            if node.name in self._passing:
                row = row_of(node, lambda node: transform.ways(node, q))
                rows[node.name] = row
                rewards[node.name] = (1.0 - sum(row.values())) / q
        return Passage(q, values, *reduced(rows, rewards, self._begun))

    def renewed(self, jumps: Mapping[Hashable, Row], at: Passage, some: slice) -> Complex:
        """The transform in t of E[z^S(t)] at ``some`` q, S(t) the time counted in passing time t.

        The q come as an axis before two of the jumps.
        """
        rows: dict[Hashable, Mapping[Hashable, Complex]] = {
            key: row for key, row in jumps.items() if key not in at.groups
        }
        rewards: dict[Hashable, Complex] = {}
        for name, groups in self.groups.items():
            row: Row = {}
            stays = np.ones((1, 1, 1), dtype=np.complex128)
            for number in range(len(groups)):
                dwell = _column(at.groups[name, number], some)
                stays = stays - dwell
                for to, way in jumps[name, number].items():
                    row[to] = row[to] + dwell * way if to in row else dwell * way
            rows[name] = row
            rewards[name] = stays / _column(at.q, some)
        for key, passing in at.rows.items():
            rows[key] = {to: _column(way, some) for to, way in passing.items()}
            rewards[key] = _column(at.rewards[key], some)
        entry = self.life.entry
        left, total = reduced(rows, rewards, {entry})
        # without any passing time S(t) is never reached: the downtime is all there is
        found, back = total.get(entry, np.zeros((1, 1, 1), dtype=np.complex128)), left[entry].get(entry)
        with np.errstate(divide="ignore", invalid="ignore"):
            return found if back is None else found / (1.0 - back)


def _column(values: Complex, some: slice) -> Complex:
    return values[some, None, None]


def _is_instant(node: Node) -> bool:
    return not node.clocks and all(branch.dwell == NOW for branch in node.branches)


def _merged(keys: Sequence[Hashable], shares: Sequence[float]) -> dict[Hashable, float]:
    found: dict[Hashable, float] = {}
    for key, share in zip(keys, shares, strict=True):
        if share > 0.0:
            found[key] = found.get(key, 0.0) + share
    return found


def _plain(shares: Mapping[Hashable, float]) -> Row:
    return {to: np.array(share + 0j) for to, share in shares.items()}
