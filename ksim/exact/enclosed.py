"""Probabilities and quantiles of a time >= 0 that is known by lattice laws from below and from above.

Subclasses give the three cumulative laws on a lattice; here they become numbers with a proven error. The lattice
is fitted to the answer, which lies in its lower half, above a fifth.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import NamedTuple

import numpy as np

from ksim.chance.portable import Array
from ksim.errors import NotSolvable
from ksim.exact.lattice import DOWN, SPLIT, UP, Lattice, coarser, fitted

COARSE, FINE = 2**9, (2**13, 2**15)
"""Lattice points: to find the step; for the answer, the larger number where the smaller leaves too much open."""
NEAR = 1.001
"""Ratio of two times that need not be told apart when only the step of a lattice is sought."""
NUMERIC = 1e-9
"""Bound of the errors of rounding, folding and inversion in a probability."""
WANTED, WORST = 2e-3, 1e-2
"""Relative error of a quantile, and absolute error of a probability: worth more points; refused."""


class Enclosed(NamedTuple):
    """The truth lies within ``value`` +- ``error``: a bound, not an interval of confidence."""

    value: float
    error: float


class Enclosure(ABC):
    """A law of a time >= 0 in seconds, named ``what`` in refusals."""

    what: str

    @abstractmethod
    def _cumulative(self, on: Lattice, x: float) -> Array:
        """P(time <= k steps), rows DOWN, SPLIT, UP. What depends on the answer itself is taken at the answer x."""

    @property
    @abstractmethod
    def zero(self) -> float:
        """P(time = 0)."""

    @property
    @abstractmethod
    def _scale(self) -> float:
        """A time of about the right size."""

    @property
    def _longest(self) -> float:
        """No time is longer."""
        return math.inf

    @property
    def _fine(self) -> tuple[int, ...]:
        """Numbers of lattice points for the answer, the first that is good enough wins."""
        return FINE

    def exceeds(self, x: float) -> Enclosed:
        """P(time > x). Raises NotSolvable if that stays open by more than ``WORST``."""
        if x < 0.0:
            return Enclosed(1.0, 0.0)
        if x == 0.0:
            return Enclosed(1.0 - self.zero, NUMERIC)
        found = Enclosed(math.nan, math.inf)
        for points in self._fine:
            on = fitted(x, points)
            cumulative = self._cumulative(on, x)
            place, part = on.place(x)
            low, high = float(cumulative[UP, place]), float(cumulative[DOWN, place])
            between = _middles(cumulative[SPLIT])
            likely = (1.0 - part) * between[place] + part * between[place + 1]
            value = round(1.0 - min(max(float(likely), low), high), 12)
            found = Enclosed(value, _rounded_up(max(high - (1.0 - value), (1.0 - value) - low) + NUMERIC))
            if found.error <= WANTED:
                break
        if not found.error <= WORST:
            raise NotSolvable(f"P({self.what} > {x:g} s) is only known to {found.error:.1g}: the law jumps nearby")
        return Enclosed(min(max(found.value, 0.0), 1.0), found.error)

    def quantile(self, q: float) -> Enclosed:
        """The least x with P(time <= x) >= q, 0 < q < 1. Raises NotSolvable if it stays open by over ``WORST``."""
        if q <= self.zero - NUMERIC:
            return Enclosed(0.0, 0.0)
        found = Enclosed(math.nan, math.inf)
        scale = self._size(q)
        if scale == self._longest:
            return Enclosed(scale, _rounded_up((1.0 - 1.0 / NEAR) * scale))
        for points in self._fine:
            found = self._enclosed(q, fitted(scale, points))
            if found.error <= WANTED * found.value:
                return found
        if not found.error <= WORST * found.value:
            raise NotSolvable(
                f"the {q:g} quantile of the {self.what} is only known as {found.value:.4g} +- {found.error:.2g} s: "
                f"its law jumps nearby"
            )
        return found

    def _size(self, q: float) -> float:
        """The quantile to a few percent; the longest time of all if it is no shorter, as far as can be seen."""
        x, low, high = min(self._scale, 0.5 * self._longest), 0.0, self._longest
        for _ in range(100):
            on = fitted(x, COARSE)
            reached = self._cumulative(on, x)[SPLIT, : on.place(x)[0] + 1] >= q
            place = int(np.argmax(reached))
            if reached.any() and (place >= COARSE // 16 or x <= low * NEAR):
                return on.time(place)
            if reached.any():
                high, x = x, max(2.0 * max(place, 1) * on.step, math.sqrt(low * x))
            else:
                low, x = x, min(4.0 * x, math.sqrt(x * high))
                if low * NEAR >= self._longest:
                    return self._longest
        raise NotSolvable(f"the {q:g} quantile of the {self.what} is not found")

    def _enclosed(self, q: float, on: Lattice) -> Enclosed:
        x = self._middle(q, on)
        high = self._first(UP, q + NUMERIC, on, x)
        if high == on.points // 2:  # the coarse lattice had put the answer a little too low
            on = coarser(on)
            x = self._middle(q, on)
            high = self._first(UP, q + NUMERIC, on, x)
        # what depends on the answer is taken where it makes each bound hold: late for the lower, early for the upper
        low = self._first(DOWN, q - NUMERIC, on, on.time(high))
        high = self._first(UP, q + NUMERIC, on, on.time(low))
        if high == on.points // 2:
            return Enclosed(math.nan, math.inf)
        least, most = on.time(low), on.time(high)
        # on a grid of a thousandth of a step, where the rounding errors of an FFT do not show
        value = min(max(on.time(round(1000.0 * x / on.step), 3), least), most)
        return Enclosed(value, _rounded_up(max(most - value, value - least)))

    def _middle(self, q: float, on: Lattice) -> float:
        """Where the law between the two bounds reaches q, as far as half of the lattice."""
        x, half = self._scale, on.points // 2
        for _ in range(20):
            before, between = x, _middles(self._cumulative(on, x)[SPLIT, :half])
            reached = between >= q
            place = int(np.argmax(reached)) if reached.any() else half
            if place in (0, half):
                return on.time(place)
            part = (q - between[place - 1]) / (between[place] - between[place - 1])
            x = float((place - 1 + part) * on.step)
            if abs(x - before) <= on.step / 1024.0:
                break
        return x

    def _first(self, row: int, q: float, on: Lattice, x: float) -> int:
        """The first place where a law reaches q; half of the lattice if it is further."""
        reached = self._cumulative(on, x)[row, : on.points // 2] >= q
        return int(np.argmax(reached)) if reached.any() else on.points // 2


def _middles(cumulative: Array) -> Array:
    """A mass split between neighbours has half of its way to the next place: the law at k is halfway up its step."""
    return np.asarray(0.5 * (cumulative + np.append(0.0, cumulative[:-1])))


def _rounded_up(error: float) -> float:
    """In three digits, so that it reads as what it is: a bound."""
    if error == 0.0:
        return 0.0
    digits = 2 - math.floor(math.log10(error))
    return math.ceil(error * 10.0**digits) / 10.0**digits
