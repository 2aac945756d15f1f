"""Estimates with intervals, computed from the ledger's sums. Too little data gives no interval, never a guess.

An interval that is not symmetric (Wilson's, order statistics) is reported by its longer arm, so that
``value +- half_width`` always covers it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

from ksim.evidence.sums import Histogram, Moments
from ksim.study.special import special


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with the half-width of its confidence interval; ``half_width`` None: too little data.

    ``n`` is the number of independent observations behind it; 0 for an exact value, whose half-width is 0 or,
    where the value is enclosed, a bound of its error.
    """

    value: float
    half_width: float | None
    confidence: float
    n: int
    unit: str
    method: str


def exact(value: float, unit: str) -> Estimate:
    """A value without sampling error."""
    return Estimate(value, 0.0, 1.0, 0, unit, "exact")


def enclosed(value: float, error: float, unit: str) -> Estimate:
    """A value without sampling error that is known to +- ``error``, for certain."""
    return Estimate(value, error, 1.0, 0, unit, "exact")


@cache
def t_quantile(degrees: int, confidence: float) -> float:
    """Two-sided quantile of Student's t."""
    return float(special().stdtrit(degrees, 0.5 + confidence / 2.0))


@cache
def normal_quantile(confidence: float) -> float:
    """Two-sided quantile of the normal law."""
    return float(special().ndtri(0.5 + confidence / 2.0))


def mean(moments: Moments, scale: float, unit: str, confidence: float, method: str = "simulated") -> Estimate:
    """Mean over replications, times ``scale``; Student's t."""
    n = moments.n
    half = None
    if n >= 2:
        half = scale * t_quantile(n - 1, confidence) * math.sqrt(moments.variance / n)
    return Estimate(scale * moments.mean, half, confidence, n, unit, method)


def ratio(moments: Moments, unit: str, confidence: float) -> Estimate | None:
    """Ratio of two sums over replications (seconds per outage) by the delta method; None without any y."""
    if moments.y == 0:
        return None
    half = None
    if moments.n >= 2 and moments.total_y >= MIN_OUTAGES:
        half = t_quantile(moments.n - 1, confidence) * math.sqrt(max(0.0, moments.ratio_variance) / moments.n)
    return Estimate(moments.ratio, half, confidence, round(moments.total_y), unit, "simulated")


MIN_OUTAGES = 10
"""Below this many outages the delta method says nothing that can be trusted."""


def proportion(k: int, n: int, confidence: float) -> Estimate | None:
    """k of n, with Wilson's interval; None if n is 0."""
    if n == 0:
        return None
    z = normal_quantile(confidence)
    p = k / n
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    arm = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return Estimate(p, max(middle + arm - p, p - (middle - arm)), confidence, n, "1", "simulated")


def quantile(lengths: Histogram, q: float, unit: str, confidence: float, scale: float = 1.0) -> Estimate | None:
    """The q-quantile, times ``scale``, by order statistics; no half-width where n is too small for a limit."""
    n = lengths.n
    if n == 0:
        return None
    value = lengths.order_statistic(max(1, math.ceil(q * n)))
    low, high = _ranks(n, q, confidence)
    half = None
    if low >= 1 and high <= n:
        half = scale * max(lengths.order_statistic(high) - value, value - lengths.order_statistic(low))
    return Estimate(scale * value, half, confidence, n, unit, "simulated")


def _ranks(n: int, q: float, confidence: float) -> tuple[int, int]:
    """Ranks whose order statistics enclose the q-quantile with at least this confidence (0 or n+1: none do)."""
    bdtr = special().bdtr
    tail = (1.0 - confidence) / 2.0
    low, high = 0, n + 1
    # P(X_(r) > quantile) = P(fewer than r values below it) = bdtr(r - 1, n, q)
    a, b = 0, n
    while a < b:
        middle = (a + b + 1) // 2
        if bdtr(middle - 1, n, q) <= tail:
            a = middle
        else:
            b = middle - 1
    low = a
    a, b = 1, n + 1
    while a < b:
        middle = (a + b) // 2
        if 1.0 - bdtr(middle - 1, n, q) <= tail:
            b = middle
        else:
            a = middle + 1
    high = a
    return low, high
