"""Asserts about random numbers that say how often they are wrong.

Each has ``false_fail``: P(it fails although the model is right), and ``false_pass``: P(it passes although the model
is off by ``detects``). From these two the smallest sample size follows; with fewer samples the assert refuses
(``Underpowered``) before it looks at the data, so a test can never pass by being blind. The standard deviation
comes from the exact solver, never from the sample.

Every call pays its ``false_fail`` into one budget of the whole suite (``SUITE_BUDGET``, summed by the union bound
and checked at the end of the session by conftest.py): with fresh seeds the suite would fail by chance at most
that often. Seeds are fixed, so in fact a failure is always a change of the code. No retries.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from math import ceil, fsum, log, sqrt
from statistics import NormalDist

import numpy as np
from scipy import stats

SUITE_BUDGET = 1e-3
FALSE_FAIL = 1e-6
FALSE_PASS = 1e-3

z = NormalDist().inv_cdf
Cdf = Callable[[np.ndarray], np.ndarray]


class Underpowered(Exception):
    """The test is badly designed: too few samples to see what it claims to see. No verdict on the model."""


@dataclass
class Budget:
    """What the statistical asserts of this session have spent. ``is_open`` is off in tests of the tests."""

    spent: float = 0.0
    asserts: int = 0
    is_open: bool = True

    def spend(self, false_fail: float, asserts: int = 1) -> None:
        if self.is_open:
            self.spent += false_fail
            self.asserts += asserts


BUDGET = Budget()


@contextmanager
def uncharged() -> Iterator[None]:
    """For tests of the tests and for mutants, which are meant to fail."""
    before, BUDGET.is_open = BUDGET.is_open, False
    try:
        yield
    finally:
        BUDGET.is_open = before


# ---------------------------------------------------------------- means


def mean_n(sd: float, detects: float, false_fail: float = FALSE_FAIL, false_pass: float = FALSE_PASS) -> int:
    """Samples that a test of the mean needs to see a shift of ``detects``."""
    return ceil(((z(1 - false_fail / 2) + z(1 - false_pass)) * sd / detects) ** 2)


def mean_score(x: Sequence[float], expected: float, sd_exact: float) -> float:
    """Standard normal if the mean is ``expected`` and the central limit theorem holds at this n."""
    return (fsum(x) / len(x) - expected) / (sd_exact / sqrt(len(x)))


def assert_mean(
    x: Sequence[float],
    expected: float,
    sd_exact: float,
    *,
    detects: float,
    false_fail: float = FALSE_FAIL,
    false_pass: float = FALSE_PASS,
    what: str = "mean",
) -> None:
    """z-test of independent ``x``: fails with P ``false_fail`` if right, passes with P ``false_pass`` if off by
    ``detects`` (absolute).

    Both rates are those of the normal law. With skewness g and n samples the far tail of the sum is heavier: at
    |z| = 4.9 by a factor of about 1 + g (4.9^3 - 3 * 4.9) / (6 sqrt(n)), 1.4 for g = 6 and n = 70 000.
    """
    need = mean_n(sd_exact, detects, false_fail, false_pass)
    if len(x) < need:
        raise Underpowered(f"{what}: {len(x)} samples, needs {need} to see a shift of {detects:g} (sd {sd_exact:g})")
    BUDGET.spend(false_fail)
    score, limit = mean_score(x, expected, sd_exact), z(1 - false_fail / 2)
    assert abs(score) <= limit, (
        f"{what}: mean {fsum(x) / len(x):.9g} of {len(x)}, expected {expected:.9g}: z = {score:.2f}, limit {limit:.2f}"
    )


# ---------------------------------------------------------------- counts


@cache
def count_limits(n: int, p: float, false_fail: float) -> tuple[int, int]:
    """The smallest and the largest count that pass; exact binomial tails of at most ``false_fail`` / 2 each."""
    law = stats.binom(n, p)
    low, high = int(law.ppf(false_fail / 2)), int(law.isf(false_fail / 2))
    while low > 0 and law.cdf(low - 1) > false_fail / 2:
        low -= 1
    while high < n and law.sf(high) > false_fail / 2:
        high += 1
    return low, high


@cache
def count_false_pass(n: int, p: float, detects: float, false_fail: float) -> float:
    """The larger of P(pass) under p + detects and p - detects (as far as these are probabilities)."""
    low, high = count_limits(n, p, false_fail)
    passes = 0.0
    for other in (p - detects, p + detects):
        if -1e-12 <= other <= 1.0 + 1e-12:
            law = stats.binom(n, min(max(other, 0.0), 1.0))
            passes = max(passes, float(law.cdf(high) - law.cdf(low - 1)))
    return passes


def assert_count(
    k: int,
    n: int,
    p: float,
    *,
    detects: float,
    false_fail: float = FALSE_FAIL,
    false_pass: float = FALSE_PASS,
    what: str = "count",
) -> None:
    """``k`` of ``n`` independent trials of probability ``p``, by exact binomial tails.

    Fails with P <= ``false_fail`` if right; passes with P <= ``false_pass`` if the probability is p - ``detects``
    or p + ``detects``. ``detects=p`` sees a branch that is missing, or twice as frequent.
    """
    passes = count_false_pass(n, p, detects, false_fail)
    if passes > false_pass:
        raise Underpowered(f"{what}: {n} trials, {p:g} +- {detects:g} would pass with P = {passes:.2g}")
    BUDGET.spend(false_fail)
    low, high = count_limits(n, p, false_fail)
    assert low <= k <= high, f"{what}: {k} of {n}, expected {low} to {high} (p = {p:g})"


# ---------------------------------------------------------------- whole laws


def cdf_n(detects: float, false_fail: float = FALSE_FAIL, false_pass: float = FALSE_PASS) -> int:
    """Samples with which a distance of ``detects`` between two cdfs is seen (DKW one way, Hoeffding the other)."""
    return ceil(((sqrt(log(2 / false_fail) / 2) + sqrt(log(1 / false_pass) / 2)) / detects) ** 2)


def cdf_distance(x: Sequence[float], cdf: Cdf, slack: float = 0.0) -> float:
    """sup |F_n - F|, jumps included; times within ``slack`` of each other count as equal."""
    values, counts = np.unique(np.asarray(x, dtype=np.float64), return_counts=True)
    after = np.cumsum(counts) / len(x)
    before = after - counts / len(x)
    over = after - cdf(values + slack)
    under = cdf(np.nextafter(values - slack, -np.inf)) - before
    return float(max(over.max(), under.max()))


def assert_cdf(
    x: Sequence[float],
    cdf: Cdf,
    *,
    detects: float,
    slack: float = 0.0,
    false_fail: float = FALSE_FAIL,
    false_pass: float = FALSE_PASS,
    what: str = "law",
) -> None:
    """Independent ``x`` come from ``cdf``, by the Dvoretzky-Kiefer-Wolfowitz band sqrt(log(2 / false_fail) / 2n).

    The band holds for any law, discrete ones too (there it fails even less often than ``false_fail``). Passes with
    P <= ``false_pass`` if the true cdf is ``detects`` away somewhere (Hoeffding at that point). ``slack`` is the
    resolution of ``x``, for differences of large times; it makes the test milder, never stricter.
    """
    need = cdf_n(detects, false_fail, false_pass)
    if len(x) < need:
        raise Underpowered(f"{what}: {len(x)} samples, needs {need} to see a distance of {detects:g}")
    BUDGET.spend(false_fail)
    distance, band = cdf_distance(x, cdf, slack), sqrt(log(2 / false_fail) / (2 * len(x)))
    assert distance <= band, f"{what}: distance {distance:.4g} of {len(x)} samples, the band is {band:.4g}"
