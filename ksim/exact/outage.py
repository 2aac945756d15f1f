"""The length of one outage: from the failure of the service to its return, over all outages of the long run.

Outages begin at a node with the share of all beginnings that the cycle from entry to entry gives it, and end at
the first node whose service is not down; in between the law is a product of transforms along every path.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import cached_property

import numpy as np

from ksim.chance.portable import Array
from ksim.errors import NotSolvable
from ksim.exact.enclosed import Enclosure
from ksim.exact.lattice import Lattice, at_once, ways
from ksim.exact.reduce import Row, reduced
from ksim.exact.solve import Solution
from ksim.exact.transform import Complex
from ksim.model.lifecycle import Lifecycle, Node

OUTAGE = "an outage"
Ways = Callable[[Node], Sequence[Complex]]


def row_of(node: Node, ways: Ways) -> dict[Hashable, Complex]:
    """The transforms of the ways out of a node, by target."""
    row: dict[Hashable, Complex] = {}
    for edge, way in zip(node.ways, ways(node), strict=True):
        row[edge.to] = row[edge.to] + way if edge.to in row else way
    return row


def down_rows(life: Lifecycle, ways: Ways) -> dict[Hashable, Mapping[Hashable, Complex]]:
    """The rows of the nodes whose service is down."""
    return {node.name: row_of(node, ways) for node, down in zip(life.nodes, life.layout.down, strict=True) if down}


class OutageLength(Enclosure):
    """The law of the length of an outage of one budget, or of any. Raises NotSolvable if there are none."""

    def __init__(self, solution: Solution, budget: str | None = None) -> None:
        self.life = solution.life
        self.what = f"length of {budget + ' ' if budget else ''}outages"
        moments = solution.outages(budget)
        if moments is None:
            raise NotSolvable(f"there are no {budget or ''} outages")
        self._mean_s = moments.mean_s
        starts = solution.outage_starts(budget)
        total = math.fsum(starts.values())
        self._starts = {name: count / total for name, count in starts.items()}
        self._known: dict[Lattice, Array] = {}

    @property
    def _scale(self) -> float:
        return self._mean_s

    @cached_property
    def zero(self) -> float:
        return float(self._whole(at_once).real)

    def _cumulative(self, on: Lattice, x: float) -> Array:
        if on not in self._known:
            self._known[on] = np.cumsum(on.masses(self._whole(lambda node: ways(node, on))), axis=-1)
        return self._known[on]

    def _whole(self, ways: Ways) -> Complex:
        """The transform of the length."""
        starts: Row = {name: np.array(share + 0j) for name, share in self._starts.items()}
        rows: dict[Hashable, Mapping[Hashable, Complex]] = {OUTAGE: starts, **down_rows(self.life, ways)}
        row = reduced(rows, {}, {OUTAGE})[0][OUTAGE]
        return sum(row.values(), np.array(0j))
