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

    @property
    def renews(self) -> Group | None:
        """The one exponential group that all passing time is made of, where that is so."""
        only = [group for groups in self.groups.values() for group in groups]
        if len(only) == 1 and isinstance(only[0].law, Exponential) and not self._passing:
            return only[0]
        return None

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
        met = {edge.to for name in self._passing for edge in self.life[name].ways} | {self.life.entry}
        return reduced(rows, {}, keep | (met & {node.name for node in self._instant}))[0]

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


def renewed(entry: str, groups: Mapping[str, Sequence[Group]], jumps: Mapping[Hashable, Row], at: Passage, i: int
            ) -> Complex:  # fmt: skip
    """The transform in t of E[z^S(t)] at the q with number ``i``, S(t) the time counted in passing time t."""
    q = at.q[i]
    rows: dict[Hashable, Mapping[Hashable, Complex]] = {key: row for key, row in jumps.items() if key not in at.groups}
    rewards: dict[Hashable, Complex] = {}
    for name, found in groups.items():
        row: Row = {}
        for number in range(len(found)):
            dwell = at.groups[name, number][i]
            for to, way in jumps[name, number].items():
                row[to] = row[to] + dwell * way if to in row else dwell * way
        rows[name] = row
        rewards[name] = (1.0 - sum(at.groups[name, number][i] for number in range(len(found)))) / q
    for key, reduced_row in at.rows.items():
        rows[key] = {to: way[i] for to, way in reduced_row.items()}
        rewards[key] = at.rewards[key][i]
    rows, rewards = reduced(rows, rewards, {entry})
    back = rows[entry].get(entry)
    found_: Complex = np.asarray(rewards[entry] if back is None else rewards[entry] / (1.0 - back))
    return found_


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
