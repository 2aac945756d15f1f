"""Races of clocks against hand formulas and scipy's adaptive quadrature."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import integrate, special

from ksim.chance.distributions import Constant, Empirical, Exponential, Law, LogNormal, LogUniform, Uniform, Weibull
from ksim.errors import NotSolvable
from ksim.exact.race import Way, race
from tests.strategies import laws

EXACT = {"rel": 1e-9, "abs": 1e-12}


def close(found: list[Way], expected: list[tuple[float, float, float]], **tolerance: float) -> None:
    for way, wanted in zip(found, expected, strict=True):
        assert (way.p, way.first, way.second) == pytest.approx(wanted, **(tolerance or EXACT))


# ---------------------------------------------------------------- by hand


def test_exponentials_share_by_rate() -> None:
    means = [10.0, 40.0, 1e9]
    total = sum(1 / m for m in means)
    close(race([Exponential(m) for m in means]), [(1 / m / total, 1 / m / total**2, 2 / m / total**3) for m in means])


def test_a_lone_clock_keeps_its_moments() -> None:
    law = LogNormal(100.0, 1.2)
    close(race([law]), [(1.0, law.mean, law.second_moment)])


@pytest.mark.parametrize("first", [0, 1])
def test_ties_of_constants_go_to_the_first_named(first: int) -> None:
    ways = race([Constant(5.0), Constant(5.0), Constant(9.0)])
    close(ways, [(1.0, 5.0, 25.0), (0.0, 0.0, 0.0), (0.0, 0.0, 0.0)])
    laws = [Constant(5.0), Exponential(10.0)]
    p = math.exp(-0.5)
    swapped = race(laws[::-1])[::-1] if first else race(laws)
    assert swapped[0].p == pytest.approx(p, rel=1e-12)


def test_atoms_of_empirical_laws_tie_too() -> None:
    a, b = Empirical((1.0, 2.0, 2.0, 5.0)), Empirical((2.0, 3.0))
    # a wins at 1 always, at 2 always (first named), never at 5
    close(race([a, b]), [(0.75, 1.25, 2.25), (0.25, 0.25 * 2.5, 0.25 * 6.5)])
    # b named first wins the tie at 2: P = 1/2 * P(a >= 2) = 3/8; at 3: 1/2 * P(a > 3) = 1/8
    close(race([b, a]), [(0.5, 0.75 + 0.375, 1.5 + 1.125), (0.5, 0.25 + 0.5, 0.25 + 1.0)])


def test_exponential_against_a_timeout() -> None:
    mean, timeout = 30.0, 45.0
    out = math.exp(-timeout / mean)
    first = mean - out * (mean + timeout)
    second = 2 * mean**2 - out * (2 * mean**2 + 2 * mean * timeout + timeout**2)
    close(
        race([Exponential(mean), Constant(timeout)]),
        [(1 - out, first, second), (out, out * timeout, out * timeout**2)],
    )


def test_lognormal_dump_against_its_timeout() -> None:
    median, sigma, timeout = 18.35, 0.8, 40.0
    z = math.log(timeout / median) / sigma
    ncdf = special.ndtr
    first = median * math.exp(sigma**2 / 2) * ncdf(z - sigma)
    second = median**2 * math.exp(2 * sigma**2) * ncdf(z - 2 * sigma)
    late = ncdf(-z)
    close(
        race([LogNormal(median, sigma), Constant(timeout)]),
        [(ncdf(z), first, second), (late, late * timeout, late * timeout**2)],
    )


def test_two_uniforms() -> None:
    # U(0, 2) against U(1, 3): the second wins iff it is in (1, 2) and below the first: 1/8
    ways = race([Uniform(0.0, 2.0), Uniform(1.0, 3.0)])
    assert [way.p for way in ways] == pytest.approx([7 / 8, 1 / 8], abs=1e-13)
    # E[second; wins] = integral over 1..2 of t (2 - t) / 4 dt
    assert ways[1].first == pytest.approx(1 / 6, abs=1e-13)


def test_two_weibulls_of_one_shape_share_like_exponentials() -> None:
    a, b = Weibull(100.0, 0.75), Weibull(300.0, 0.75)
    ways = race([a, b])
    assert ways[0].p == pytest.approx(1 / (1 + 3**-0.75), rel=1e-11)
    whole = Weibull((100.0**-0.75 + 300.0**-0.75) ** (-1 / 0.75), 0.75)
    assert sum(way.first for way in ways) == pytest.approx(whole.mean, rel=1e-10)
    assert sum(way.second for way in ways) == pytest.approx(whole.second_moment, rel=1e-10)


def test_exponential_mixtures_race_as_one_and_share_the_prize() -> None:
    clocks: list[Law] = [Exponential(100.0), LogNormal(50.0, 0.5), Exponential(25.0)]
    ways = race(clocks)
    merged = race([LogNormal(50.0, 0.5), Exponential(20.0)])
    assert ways[1] == merged[0]
    close(
        [ways[0], ways[2]], [tuple(s * m for m in (merged[1].p, merged[1].first, merged[1].second)) for s in (0.2, 0.8)]
    )


def test_tiny_probabilities_keep_their_relative_precision() -> None:
    ways = race([Exponential(1e12), Constant(1.0), Constant(2.0)])
    assert ways[0].p == pytest.approx(1e-12, rel=1e-6)
    assert ways[2] == Way(0.0, 0.0, 0.0)


# ---------------------------------------------------------------- by quadrature


def density(law: Law, t: float) -> float:
    """By hand, without ksim: derivative of the distribution function."""
    match law:
        case Exponential(mean):
            return math.exp(-t / mean) / mean
        case LogNormal(median, sigma):
            z = math.log(t / median) / sigma
            return math.exp(-z * z / 2) / (t * sigma * math.sqrt(2 * math.pi))
        case Weibull(scale, shape):
            x = t / scale
            return shape / scale * x ** (shape - 1) * math.exp(-(x**shape))
        case Uniform(low, high):
            return 1 / (high - low) if low < t < high else 0.0
        case LogUniform(low, high):
            return 1 / (t * math.log(high / low)) if low < t < high else 0.0
    raise TypeError(law)


def corners(law: Law) -> list[float]:
    if isinstance(law, Uniform | LogUniform):
        return [law.low, law.high]
    return list(law.atoms) or [float(law.quantile(np.array(u))) for u in (0.001, 0.1, 0.3, 0.5, 0.7, 0.9, 0.999)]


def by_quadrature(field: list[Law], i: int, k: int) -> float:
    """E[T^k; i wins] as an integral over time; for continuous i."""
    law, others = field[i], [other for j, other in enumerate(field) if j != i]

    def integrand(y: float) -> float:
        t = math.exp(y)
        survive = math.prod(float(other.survival(np.array(t))) for other in others)
        return t**k * density(law, t) * survive * t

    points = sorted({math.log(c) for each in field for c in corners(each)})
    ends = [points[0] - 25.0, *points, points[-1] + 6.0]
    return math.fsum(integrate.quad(integrand, a, b, epsabs=1e-13, limit=100)[0] for a, b in itertools.pairwise(ends))


PAIRS: list[list[Law]] = [
    [LogNormal(300.0, 0.5), Exponential(400.0)],
    [LogNormal(300.0, 0.5), Uniform(100.0, 500.0), Exponential(1000.0)],
    [Weibull(4380.0, 0.75), LogNormal(6000.0, 1.2), Exponential(8760.0)],
    [LogUniform(0.01, 100.0), Exponential(2.0), Constant(50.0)],
    [LogUniform(1.0, 100.0), Uniform(0.5, 20.0), Empirical((3.0, 30.0))],
    [Weibull(10.0, 3.0), Weibull(12.0, 0.6), LogNormal(8.0, 0.3)],
]


@pytest.mark.parametrize("field", PAIRS, ids=lambda field: "-".join(type(law).__name__ for law in field))
def test_against_adaptive_quadrature(field: list[Law]) -> None:
    ways = race(field)
    for i, law in enumerate(field):
        if not law.atoms:
            for k, found in enumerate((ways[i].p, ways[i].first, ways[i].second)):
                assert found == pytest.approx(by_quadrature(field, i, k), rel=1e-7, abs=1e-10)
    assert math.fsum(way.p for way in ways) == pytest.approx(1.0, abs=1e-10)


# ---------------------------------------------------------------- always


@settings(max_examples=60)
@given(st.lists(laws(), min_size=2, max_size=4))
def test_any_race_is_a_distribution_or_an_honest_refusal(field: list[Law]) -> None:
    try:
        ways = race(field)
    except NotSolvable:
        assume(False)
    assert math.fsum(way.p for way in ways) == pytest.approx(1.0, abs=1e-8)
    for way, law in zip(ways, field, strict=True):
        assert 0.0 <= way.p <= 1.0 + 1e-12
        assert way.first <= law.mean * (1 + 1e-9)
        assert way.first**2 <= way.second * way.p * (1 + 1e-6) + 1e-12, "Cauchy and Schwarz"
    mean = math.fsum(way.first for way in ways)
    assert mean == pytest.approx(mean_of_the_minimum(field), rel=1e-3)


def mean_of_the_minimum(field: list[Law]) -> float:
    """By the trapezoid rule over the product of the survivals: coarse, but of another kind."""
    shortest = min(law.mean for law in field)
    t = np.concatenate([[0.0], np.geomspace(1e-6, 1e4, 60_001) * shortest])
    survival = np.ones_like(t)
    for law in field:
        survival = survival * law.survival(t)
    return float(np.trapezoid(survival, t))


@given(st.lists(laws(), min_size=2, max_size=3), st.integers(0, 2))
def test_order_matters_only_for_ties(field: list[Law], turn: int) -> None:
    times = [t for law in field for t in law.atoms]
    assume(len(set(times)) == len(times) or len(times) == 0)
    assume(sum(bool(law.atoms) for law in field) <= 1)
    k = turn % len(field)
    try:
        ways, turned = race(field), race(field[k:] + field[:k])
    except NotSolvable:
        assume(False)
    back = turned[-k:] + turned[:-k] if k else turned
    close(back, [(way.p, way.first, way.second) for way in ways], rel=1e-8, abs=1e-11)
