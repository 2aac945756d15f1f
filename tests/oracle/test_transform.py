"""Transforms of laws and races at complex arguments against Gauss-Legendre, and their inversion against known
functions of time."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings

from ksim.chance.distributions import Constant, Empirical, Exponential, Law, LogNormal, LogUniform, Uniform, Weibull
from ksim.errors import NotSolvable
from ksim.exact.inversion import CHECK, MAIN, euler, invert
from ksim.exact.race import race
from ksim.exact.transform import Complex, transform, ways
from ksim.model.lifecycle import Branch, Clock, Node, Service
from tests.strategies import laws

S = np.array([1e-6, 0.01 + 0.02j, 0.001 - 0.3j, 0.05 + 1.0j])
SMOOTH = [LogNormal(20.0, 0.8), Weibull(15.0, 0.7), Weibull(15.0, 3.0), Uniform(3.0, 40.0), LogUniform(0.5, 50.0)]


def by_quadrature(law: Law, s: complex) -> complex:
    """1 - s * (transform of the survival), by Gauss-Legendre in pieces short enough for law and oscillation."""
    end = float(law.quantile(np.array([1 - 1e-15]))[0])
    corners = [law.low, law.high] if isinstance(law, Uniform | LogUniform) else []
    cuts = np.unique([0.0, *np.linspace(0.0, end, 3000), *np.geomspace(1e-12, end, 300), *corners])
    x, w = np.polynomial.legendre.leggauss(20)
    half, middle = 0.5 * np.diff(cuts)[:, None], 0.5 * (cuts[1:] + cuts[:-1])[:, None]
    t = middle + half * x
    return complex(1.0 - s * (half * w * np.exp(-s * t) * law.survival(t)).sum())


@pytest.mark.parametrize("law", SMOOTH, ids=str)
def test_smooth_laws(law: Law) -> None:
    for s, found in zip(S.tolist(), transform(law, S).tolist(), strict=True):
        assert abs(found - by_quadrature(law, s)) < 1e-10


def test_closed_forms() -> None:
    assert transform(Constant(7.0), S) == pytest.approx(np.exp(-7.0 * S), rel=1e-15)
    assert transform(Exponential(7.0), S) == pytest.approx(1 / (1 + 7.0 * S), rel=1e-15)
    law = Empirical((1.0, 2.0, 2.0, 30.0))
    assert transform(law, S) == pytest.approx((np.exp(-S) + 2 * np.exp(-2 * S) + np.exp(-30 * S)) / 4, rel=1e-14)
    assert transform(Uniform(0.0, 2.0), np.zeros(1, dtype=complex))[0] == 1.0


def race_node(*clocks: Law) -> Node:
    return Node("r", "r", Service.UP, clocks=tuple(Clock(f"c{i}", law, "r") for i, law in enumerate(clocks)))


@settings(max_examples=40)
@given(laws(), laws(), laws())
def test_a_race_at_s_zero_is_its_probabilities_and_its_slope_the_mean(a: Law, b: Law, c: Law) -> None:
    node = race_node(a, b, c)
    try:
        expected = race([a, b, c])
        step = 1e-6 / sum(way.first for way in expected)
        found = ways(node, np.array([0.0, step], dtype=complex))
    except NotSolvable:
        assume(False)
    for way, (at_zero, near) in zip(expected, found, strict=True):
        assert at_zero == pytest.approx(way.p, abs=1e-9)
        assert ((at_zero - near) / step).real == pytest.approx(way.first, rel=1e-4, abs=1e-4 / step * 1e-6)


def test_a_race_by_hand() -> None:
    """Exponential against a timeout, and two exponentials."""
    rate, timeout = 1 / 30.0, 45.0
    rings, out = ways(race_node(Exponential(30.0), Constant(timeout)), S)
    assert rings == pytest.approx(rate / (rate + S) * (1 - np.exp(-(rate + S) * timeout)), rel=1e-10)
    assert out == pytest.approx(np.exp(-(rate + S) * timeout), rel=1e-12)
    one, two = ways(race_node(Exponential(30.0), Exponential(60.0)), S)
    assert one == pytest.approx((1 / 30) / (1 / 20 + S), rel=1e-15)
    assert two == pytest.approx((1 / 60) / (1 / 20 + S), rel=1e-15)


def test_branches_weigh_their_laws() -> None:
    branches = (Branch("r", Constant(3.0), 0.25), Branch("r", Exponential(5.0), 0.75))
    first, second = ways(Node("r", "r", Service.UP, branches), S)
    assert first == pytest.approx(0.25 * np.exp(-3 * S), rel=1e-15)
    assert second == pytest.approx(0.75 / (1 + 5 * S), rel=1e-15)


def test_what_oscillates_too_fast_is_refused_by_name() -> None:
    with pytest.raises(NotSolvable, match=r"node 'x': the transform of weibull\(shape=0.7"):
        transform(Weibull(15.0, 0.7), np.array([1e-6 + 1e5j]), "node 'x'")


# ---------------------------------------------------------------- back to functions of time


def known(name: str) -> tuple[object, object]:
    pairs = {
        "exponential decay": (lambda s: 1 / (s + 0.3), lambda t: math.exp(-0.3 * t)),
        "growing line": (lambda s: 1 / s**2, lambda t: t),
        "oscillation": (lambda s: s / (s**2 + 1), math.cos),
        "erlang": (
            lambda s: (1 / (1 + s)) ** 5 / s,
            lambda t: 1 - math.exp(-t) * sum(t**k / math.factorial(k) for k in range(5)),
        ),
    }
    return pairs[name]


@pytest.mark.parametrize("name", ["exponential decay", "growing line", "oscillation", "erlang"])
@pytest.mark.parametrize("t", [0.1, 3.0, 8.0])
def test_inversion(name: str, t: float) -> None:
    forward, back = known(name)
    assert invert(forward, t, name) == pytest.approx(back(t), abs=2e-11)  # type: ignore[operator,arg-type]


def test_the_bias_of_the_series_is_the_one_it_states() -> None:
    """f = 1 takes the whole bias: the sum of exp(-A n)."""
    for kind in (MAIN, CHECK, (1, 12.0, 30, 12)):
        one = euler(*kind)  # type: ignore[arg-type]
        assert (one.weights / one.nodes).real.sum() - 1.0 == pytest.approx(one.bias, abs=1e-12)


def test_a_time_just_before_is_had_from_the_same_transforms() -> None:
    one, t, part = euler(*MAIN), 4.0, 0.97
    values = 1 / (one.nodes / t + 0.3)
    assert (one.at(part) * values).real.sum() / t == pytest.approx(math.exp(-0.3 * part * t), abs=1e-11)


def test_a_jump_is_refused() -> None:
    def delayed(s: Complex) -> Complex:
        return np.exp(-2.0 * s) / s

    assert invert(delayed, 0.9, "step") == pytest.approx(0.0, abs=1e-10)
    with pytest.raises(NotSolvable, match=r"step: two inversions of its transform at t = 2 s differ"):
        invert(delayed, 2.0, "step")
