"""Order-free sums: merging in any order is adding at once, and the numbers are those of exact arithmetic."""

import math
from fractions import Fraction
from statistics import mean, variance

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from ksim.evidence.sums import TICKS, Histogram, Moments

VALUES = st.floats(0, 1e9) | st.integers(0, 10).map(float)
PAIRS = st.lists(st.tuples(VALUES, VALUES), min_size=2, max_size=30)


def moments(pairs: list[tuple[float, float]]) -> Moments:
    found = Moments()
    for x, y in pairs:
        found.add(x, y)
    return found


def histogram(values: list[float]) -> Histogram:
    found = Histogram({})
    for value in values:
        found.add(value)
    return found


def ticks(x: float) -> Fraction:
    return Fraction(round(x * TICKS), TICKS)


@given(PAIRS, st.randoms(use_true_random=False), st.integers(1, 5))
def test_merging_in_any_order_is_adding_at_once(pairs, random, parts: int) -> None:
    shuffled = random.sample(pairs, len(pairs))
    whole, counts = Moments(), Histogram({})
    pieces = [shuffled[i::parts] for i in range(parts)]
    for piece in random.sample(pieces, parts):
        whole.merge(moments(piece))
        counts.merge(histogram([x for x, _ in piece]))
    assert whole == moments(pairs)
    assert counts == histogram([x for x, _ in pairs])
    assert counts.n == whole.n == len(pairs)


@given(PAIRS)
def test_mean_and_variance_are_exact(pairs) -> None:
    found, x = moments(pairs), [ticks(x) for x, _ in pairs]
    assert found.mean == float(mean(x))
    assert found.total == float(sum(x))
    assert found.variance == float(variance(x))


@given(PAIRS)
def test_ratio_and_the_variance_of_the_delta_method(pairs) -> None:
    x, y = [ticks(x) for x, _ in pairs], [ticks(y) for _, y in pairs]
    assume(sum(y) > 0)
    found, n = moments(pairs), len(pairs)
    ratio = sum(x) / sum(y)
    residuals = [a - ratio * b for a, b in zip(x, y, strict=True)]
    assert found.ratio == float(ratio)
    assert math.isclose(found.ratio_variance, float(variance(residuals) / (sum(y) / n) ** 2), rel_tol=1e-15)


@given(st.floats(1e-6, 1e9))
def test_a_tick_is_a_microsecond(value: float) -> None:
    assert abs(moments([(value, 0.0), (value, 0.0)]).mean - value) <= 0.5 / TICKS


@given(st.lists(st.floats(1e-9, 1e12) | st.just(0.0), min_size=1, max_size=50))
def test_order_statistics_are_off_by_at_most_one_part_in_2048(values: list[float]) -> None:
    found = histogram(values)
    for rank, exact in enumerate(sorted(values), 1):
        assert abs(found.order_statistic(rank) - exact) <= exact / 2048 * (1 + 1e-12)


def test_a_histogram_stays_small() -> None:
    rng = np.random.default_rng(1)
    found = histogram(rng.lognormal(5, 1, 50_000).tolist())
    assert len(found.counts) < 15_000
    assert found.n == 50_000
