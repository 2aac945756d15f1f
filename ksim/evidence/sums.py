"""Sums that do not depend on the order: fixed-point integers, so workers may finish in any order.

Values are rounded to ticks of 2^-20 (a microsecond, for seconds) before they are summed; the sums themselves
are exact, whatever their number. Everything here merges and takes a bounded amount of memory.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

TICKS = 2**20
"""In one unit: a tick of time is about a microsecond, a count is this many ticks."""


def ticks(x: float) -> int:
    """The nearest whole number of ticks."""
    return round(x * TICKS)


def seconds(n: int) -> float:
    """The time that ``n`` ticks are, rounded once."""
    return n / TICKS


@dataclass(slots=True)
class Moments:
    """Count, sum and sum of squares of ``x``, and the products with a companion ``y`` where one is given."""

    n: int = 0
    x: int = 0
    xx: int = 0
    y: int = 0
    yy: int = 0
    xy: int = 0

    def add(self, x: float, y: float = 0.0) -> None:
        self.add_ticks(ticks(x), ticks(y) if y else 0)

    def add_ticks(self, x: int, y: int = 0) -> None:
        """The same for values that are in ticks already."""
        self.n += 1
        self.x += x
        self.xx += x * x
        if y:
            self.y += y
            self.yy += y * y
            self.xy += x * y

    def merge(self, other: Moments) -> None:
        self.n += other.n
        self.x += other.x
        self.xx += other.xx
        self.y += other.y
        self.yy += other.yy
        self.xy += other.xy

    @property
    def total(self) -> float:
        return float(Fraction(self.x, TICKS))

    @property
    def total_y(self) -> float:
        return float(Fraction(self.y, TICKS))

    @property
    def mean(self) -> float:
        return float(Fraction(self.x, TICKS * self.n))

    @property
    def variance(self) -> float:
        """Sample variance (n - 1), exact up to its last rounding. Needs n >= 2."""
        return float(Fraction(self.n * self.xx - self.x * self.x, TICKS * TICKS * self.n * (self.n - 1)))

    @property
    def ratio(self) -> float:
        """sum x / sum y."""
        return float(Fraction(self.x, self.y))

    @property
    def ratio_variance(self) -> float:
        """Sample variance of x - ratio * y, over the squared mean of y: the delta method's variance times n."""
        r = Fraction(self.x, self.y)
        squares = self.xx - 2 * r * self.xy + r * r * self.yy
        return float(squares * self.n * self.n / ((self.n - 1) * Fraction(self.y) ** 2))


BINS_PER_OCTAVE = 1024
"""A quantile read from a Histogram is off by at most 1 / 2048 of its value, besides chance."""


@dataclass(slots=True)
class Histogram:
    """Counts in bins of constant relative width: any number of durations in a few thousand integers."""

    counts: dict[int, int]

    @staticmethod
    def empty() -> Histogram:
        return Histogram({})

    def add(self, value: float) -> None:
        if value > 0.0:
            mantissa, exponent = math.frexp(value)
            key = (exponent + 1100) * BINS_PER_OCTAVE + int((mantissa - 0.5) * 2 * BINS_PER_OCTAVE)
        else:
            key = 0
        self.counts[key] = self.counts.get(key, 0) + 1

    def merge(self, other: Histogram) -> None:
        for key, count in other.counts.items():
            self.counts[key] = self.counts.get(key, 0) + count

    @property
    def n(self) -> int:
        return sum(self.counts.values())

    def at_most(self, value: float) -> int:
        """How many of the values are at most ``value``, to the width of a bin."""
        return sum(count for key, count in self.counts.items() if _middle(key) <= value)

    def order_statistic(self, rank: int) -> float:
        """The ``rank``-th smallest value (1-based), as the middle of its bin."""
        seen = 0
        for key in sorted(self.counts):
            seen += self.counts[key]
            if seen >= rank:
                return _middle(key)
        raise IndexError(f"rank {rank} of {seen} values")


def _middle(key: int) -> float:
    if key == 0:
        return 0.0
    exponent, step = divmod(key, BINS_PER_OCTAVE)
    return math.ldexp(0.5 + (step + 0.5) / (2 * BINS_PER_OCTAVE), exponent - 1100)
