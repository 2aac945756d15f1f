"""What a host that starts fresh at its entry does within [0, t], or until it first enters certain nodes.

First passages, mean times spent, mean numbers of entries, and the state at t. A graph that is a Markov chain is
solved as one (``ksim.exact.markov``: small probabilities keep their digits). Any other is a semi-Markov process:
its renewal equations are solved in transforms and inverted, and refused where the answer is not smooth at t.
t may be ``math.inf`` where ``until`` ends the story: that needs the means of the laws alone.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Hashable, Mapping
from functools import cached_property

from ksim.errors import GraphError, nearest
from ksim.exact.elimination import EXIT, Elimination
from ksim.exact.inversion import invert
from ksim.exact.markov import Chain, not_memoryless
from ksim.exact.reduce import reduced
from ksim.exact.solve import moments
from ksim.exact.transform import Complex, ways
from ksim.model.lifecycle import Lifecycle


class Interval:
    """Answers for one graph and one set of nodes ``until`` whose first entry stops everything.

    All answers raise NotSolvable, naming node or law, where there is none; GraphError for an unknown node.
    """

    def __init__(self, life: Lifecycle, until: Collection[str] = ()) -> None:
        self.life = life
        self._known(until)
        self.until = frozenset(until)
        self._after: dict[float, tuple[dict[str, float], dict[str, float], dict[str, float]]] = {}

    def _known(self, names: Collection[str]) -> None:
        for name in names:
            if name not in self.life.index:
                raise GraphError(f"'{name}' is not a node{nearest(name, self.life.index)}")

    def passage(self, t: float, by: Collection[str] | None = None) -> float:
        """P(a node of ``until`` was entered by t); with ``by``: and the first of them was one of these."""
        by = self.until if by is None else by
        self._known(by)
        if not self.until.issuperset(by):
            raise GraphError(f"'{sorted(set(by) - self.until)[0]}' is not among the nodes that end the story")
        return self.entries(by, t)

    def entries(self, nodes: Collection[str], t: float) -> float:
        """Mean number of entries into ``nodes`` during [0, t]; the start itself is not counted."""
        return self._sum(dict.fromkeys(nodes, 1.0), t, 0)

    def spent(self, weights: Mapping[str, float], t: float) -> float:
        """Mean of the time spent in nodes during [0, t], in seconds times their weights."""
        return self._sum(weights, t, 1)

    def at(self, weights: Mapping[str, float], t: float) -> float:
        """Mean weight of the node that the host is in at t (0 once stopped); weights 1: P(in one of these at t)."""
        return self._sum(weights, t, 2)

    def downtime(self, t: float) -> float:
        """Mean downtime during [0, t], in seconds."""
        down = self.life.layout.down
        return self.spent({name: 1.0 for name, d in zip(self.life.layout.names, down, strict=True) if d}, t)

    def _sum(self, weights: Mapping[str, float], t: float, which: int) -> float:
        self._known(weights)
        if not t >= 0.0:
            raise ValueError(f"t must not be below zero, and is {t!r}")
        if self.life.entry in self.until:
            raise GraphError(f"the entry '{self.life.entry}' cannot end the story that begins there")
        if not math.isinf(t) and not_memoryless(self.life):
            return self._inverted(weights, t, which)
        if t not in self._after:
            self._after[t] = self._to_the_end() if math.isinf(t) else self._markov(t)
        found = self._after[t][which]
        return math.fsum(weight * found.get(name, 0.0) for name, weight in weights.items())

    # ------------------------------------------------------------ Markov chains

    @cached_property
    def _chain(self) -> Chain:
        return Chain(self.life, self.until)

    def _markov(self, t: float) -> tuple[dict[str, float], dict[str, float], dict[str, float]]:
        at, spent = self._chain.after(t)
        sums: list[dict[str, list[float]]] = [{}, {}]
        for total, values in zip(sums, (spent, at), strict=True):
            for name, value in zip(self._chain.nodes, values.tolist(), strict=False):
                total.setdefault(name, []).append(value)
        by_node = [{name: math.fsum(values) for name, values in total.items()} for total in sums]
        return self._chain.entered(spent), by_node[0], by_node[1]

    # ------------------------------------------------------------ no limit of time

    def _to_the_end(self) -> tuple[dict[str, float], dict[str, float], dict[str, float]]:
        if not self.until:
            raise GraphError("without nodes that end the story there is no end to wait for")
        life, stopped = self.life, {self.life.index[name] for name in self.until}
        rows: list[dict[int, float]] = []
        found = [moments(node) for node in life.nodes]
        for number, node in enumerate(life.nodes):
            row: dict[int, float] = {}
            for edge, way in zip(node.ways, found[number], strict=True):
                to = life.index[edge.to]
                key = EXIT if to in stopped or number in stopped else to
                row[key] = row.get(key, 0.0) + way.p
            rows.append(row)
        visits = Elimination(rows).visits([1.0 if node.name == life.entry else 0.0 for node in life.nodes])
        entered: dict[str, list[float]] = {}
        spent: dict[str, float] = {}
        for number, node in enumerate(life.nodes):
            if number not in stopped:
                spent[node.name] = visits[number] * math.fsum(way.first for way in found[number])
                for edge, way in zip(node.ways, found[number], strict=True):
                    entered.setdefault(edge.to, []).append(visits[number] * way.p)
        return {name: math.fsum(values) for name, values in entered.items()}, spent, {}

    # ------------------------------------------------------------ any laws

    def _inverted(self, weights: Mapping[str, float], t: float, which: int) -> float:
        if t == 0.0:
            return weights.get(self.life.entry, 0.0) if which == 2 else 0.0

        def transforms(s: Complex) -> Complex:
            rows: dict[Hashable, Mapping[Hashable, Complex]] = {}
            rewards: dict[Hashable, Complex] = {}
            for node in self.life.nodes:
                if node.name in self.until:
                    continue
                found = ways(node, s)
                row: dict[Hashable, Complex] = {}
                for edge, way in zip(node.ways, found, strict=True):
                    if edge.to not in self.until:
                        row[edge.to] = row[edge.to] + way if edge.to in row else way
                rows[node.name] = row
                if which == 0:
                    counts = zip(node.ways, found, strict=True)
                    reward = sum((weights[edge.to] * way for edge, way in counts if edge.to in weights), 0.0 * s)
                else:
                    reward = weights.get(node.name, 0.0) * (1.0 - sum(found)) / s
                rewards[node.name] = reward / s if which < 2 else reward
            left, totals = reduced(rows, rewards, {self.life.entry})
            total, back = totals[self.life.entry], left[self.life.entry].get(self.life.entry)
            return total if back is None else total / (1.0 - back)

        what = ("entries into", "time spent in", "probability of")[which]
        names = ", ".join(f"'{name}'" for name in list(weights)[:3])
        laws = "".join(f" (because {law})" for law in not_memoryless(self.life)[:1])
        return float(invert(transforms, t, f"{what} {names}{laws}"))
