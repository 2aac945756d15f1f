"""The downtime of a host in [0, T], T a year unless said otherwise: its whole law, for all outages or one budget.

The host starts fresh at its entry. Count only the downtime in question and call all other time *passing*: up,
degraded, or down for another budget's sake. The counted downtime reaches x before T just if less than T - x of
passing time has gone by until then, so

    P(D(T) <= x) = P(S(T - x) <= x),

where S(t) is the counted downtime begun in the first t of passing time, each outage to its end: a sum of jumps in
passing time, and the horizon has vanished. Its transform E[z^S(t)] solves renewal equations with the laws of
counted outages in z (``ksim.exact.lattice``) and the laws of passing time in q, dual to t. With one exponential
race that the host always comes back to it is exp(-rate t (1 - b(z))), b the transform of an outage; otherwise it is
inverted numerically in q (``ksim.exact.inversion``). Longer outages make S larger, longer passing times make S(t)
smaller: so the laws rounded down and up enclose the truth.

Source  two states, this way: Takacs, "On certain sojourn time problems in the theory of stochastic processes", 1957.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from functools import cached_property

import numpy as np

from ksim.chance.distributions import Exponential
from ksim.chance.portable import Array
from ksim.errors import NotSolvable
from ksim.exact import lattice
from ksim.exact.enclosed import FINE, Enclosure
from ksim.exact.inversion import euler
from ksim.exact.lattice import Lattice
from ksim.exact.passing import Passage, TwoClocks
from ksim.exact.reduce import Row
from ksim.exact.solve import Solution
from ksim.exact.transform import Complex
from ksim.units import YEAR_S

Kind = tuple[int, float, int, int]
MAIN, CHECK = (2, 24.0, 20, 12), (3, 26.0, 22, 12)
"""The sums by which passing time is inverted, and by which that is checked; see ``ksim.exact.inversion.euler``."""
CHECKED = 24
"""At how many z."""
SAME = 1.0 / 32.0
"""The passing time T - x is inverted from the transforms at T if x is at most this part of it."""
TOLERANCE = 1e-8
"""Largest difference of the two sums."""
FEW = 2**12
"""Lattice points where the transform has to be inverted anew at every z."""
CHUNK = 1 << 15
"""How many numbers are worked on at once."""
COUNTS = (32, 128, 512)
"""Twice the largest number of outages that is looked at."""
UNCOUNTED = 1e-9
"""Probability of more outages than that."""


class Downtime(Enclosure):
    """The law of the downtime in [0, T], in seconds. Raises NotSolvable where the inversion fails."""

    def __init__(self, solution: Solution, budget: str | None = None, horizon_s: float = YEAR_S) -> None:
        self.life = solution.life
        self.horizon_s = horizon_s
        self.what = f"{budget + ' ' if budget else ''}downtime in {horizon_s:g} s"
        self._clocks = TwoClocks(self.life, budget)
        self._mean_s = solution.unavailability * horizon_s
        self._jumps: dict[Lattice, Mapping[Hashable, Row]] = {}
        self._passages: dict[tuple[float, Kind], Passage] = {}
        self._last: tuple[Lattice, float, Array] | None = None

    @property
    def _scale(self) -> float:
        return min(max(self._mean_s, 1e-9 * self.horizon_s), 0.5 * self.horizon_s)

    @property
    def _longest(self) -> float:
        return self.horizon_s

    @property
    def _fine(self) -> tuple[int, ...]:
        return FINE if self._clocks.simple else (FEW,)

    @cached_property
    def zero(self) -> float:
        found = self._transform(self._clocks.jumps(lattice.at_once), self.horizon_s)
        return min(max(float(found.real.ravel()[0]), 0.0), 1.0)

    def _cumulative(self, on: Lattice, x: float) -> Array:
        if x >= self.horizon_s:
            return np.ones((3, on.points))
        if self._last is None or self._last[:2] != (on, x):
            if on not in self._jumps:
                self._jumps.clear()  # they are large, and asked for one lattice after the other
                self._jumps[on] = self._clocks.jumps(lambda node: lattice.ways(node, on))
            found = self._transform(self._jumps[on], self.horizon_s - x)
            found = np.broadcast_to(found, (3, on.points // 2 + 1))
            self._last = on, x, np.cumsum(on.masses(found), axis=-1)
        return self._last[2]

    def _transform(self, jumps: Mapping[Hashable, Row], t: float) -> Complex:
        """E[z^S(t)], for the z of the jumps."""
        entry, renews = self.life.entry, self._clocks.renews
        if renews is not None and isinstance(renews.law, Exponential):
            (home,) = self._clocks.groups
            start = np.array(1.0 + 0j) if entry == home else jumps[entry].get(home, np.array(0j))
            again = jumps[home, 0].get(home, np.array(0j))
            return np.asarray(start * np.exp((t / renews.law.mean) * (again - 1.0)))
        varying = [(key, to) for key, row in jumps.items() for to, way in row.items() if way.ndim]
        if len(varying) == 1:
            found = self._by_count(jumps, t, *varying[0])
            if found is not None:
                return found
        return self._checked(jumps, t, CHECKED)

    def _by_count(self, jumps: Mapping[Hashable, Row], t: float, key: Hashable, to: Hashable) -> Complex | None:
        """The same where z enters by one outage law b(z) alone: the sum of P(n outages count) b(z)^n.

        These probabilities are the coefficients of a generating function, had from its values on the unit circle.
        None if there are too many of them.
        """
        share = 1.0 - float(sum(way.real for other, way in jumps[key].items() if other != to))
        for points in COUNTS:
            circle = np.exp(2j * np.pi / points * np.arange(points // 2 + 1))
            plain = {**jumps, key: {**jumps[key], to: share * circle}}
            counts = np.fft.irfft(self._checked(plain, t, points)[0].conj(), points)
            if np.abs(counts[points // 2 :]).sum() <= UNCOUNTED:
                b = jumps[key][to] / share
                total = np.full_like(b, counts[points // 2 - 1])
                for n in range(points // 2 - 2, -1, -1):
                    total = total * b + counts[n]
                return total
        return None

    def _checked(self, jumps: Mapping[Hashable, Row], t: float, checked: int) -> Complex:
        found = self._inverted(jumps, t, MAIN)
        some = np.unique(np.linspace(0, found.shape[-1] - 1, checked).astype(np.int64))
        few = {key: {to: way[..., some] if way.ndim else way for to, way in row.items()} for key, row in jumps.items()}
        gap = float(np.abs(found[..., some] - self._inverted(few, t, CHECK)).max())
        if not gap <= TOLERANCE:
            raise NotSolvable(f"{self.what}: two inversions of its transform differ by {gap:.1g} ({self._culprit()})")
        return found

    def _inverted(self, jumps: Mapping[Hashable, Row], t: float, kind: Kind) -> Complex:
        # the function of t is complex: the terms of the other half-plane do not mirror those of this one
        base = self.horizon_s if t >= (1.0 - SAME) * self.horizon_s else t
        if (base, kind) not in self._passages:
            if len(self._passages) >= 8:
                self._passages.clear()
            self._passages[base, kind] = self._clocks.passage(euler(*kind).nodes / base).mirrored()
        passage, one = self._passages[base, kind], euler(*kind).at(t / base)
        weights = np.concatenate([one, one.conj()]) * (0.5 / base)
        size = max(way.size for row in jumps.values() for way in row.values())
        total: Complex = np.zeros((1, 1), dtype=np.complex128)
        for first in range(0, len(weights), max(1, CHUNK // size)):
            some = slice(first, first + max(1, CHUNK // size))
            total = total + (weights[some, None, None] * self._clocks.renewed(jumps, passage, some)).sum(axis=0)
        return total

    def _culprit(self) -> str:
        """The first law that can make it depend on T abruptly."""
        laws = [
            f"node '{node.name}' lasts {edge.law}"
            for node, down in zip(self.life.nodes, self.life.layout.down, strict=True)
            for edge in node.ways
            if not down and edge.law.mean > 0.0 and not isinstance(edge.law, Exponential)
        ]
        return laws[0] if laws else "its law is not smooth in the horizon"
