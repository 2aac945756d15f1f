"""Portable functions against references of higher precision (decimal) and other people's code (math, scipy)."""

import math
from decimal import Decimal, localcontext

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special

from ksim.chance import portable

NORMAL = st.floats(1e-300, 1e300)


def relative_error(found: float, exact: Decimal) -> float:
    return float(abs((Decimal(found) - exact) / exact)) if exact else abs(found)


@given(NORMAL | st.floats(0.5, 2.0) | st.floats(1 - 1e-9, 1 + 1e-9))
def test_log(x: float) -> None:
    with localcontext(prec=50):
        assert relative_error(float(portable.log(np.array(x))), Decimal(x).ln()) <= 4e-16


@given(st.floats(-700, 700) | st.floats(-1, 1))
def test_exp(x: float) -> None:
    with localcontext(prec=50):
        assert relative_error(float(portable.exp(np.array(x))), Decimal(x).exp()) <= 4e-16 * (1 + abs(x) / 10)


def test_exp_beyond_the_range_of_a_float() -> None:
    found = portable.exp(np.array([1e9, 710.0, -1e9, -760.0, -745.0]))
    assert found.tolist() == [math.inf, math.inf, 0.0, 0.0, 5e-324]


@given(st.floats(1e-100, 1e100), st.floats(-2, 2))
def test_power(x: float, exponent: float) -> None:
    found = float(portable.power(np.array(x), exponent))
    assert math.isclose(found, math.pow(x, exponent), rel_tol=1e-15 * (2 + abs(exponent * math.log(x))))


def test_power_of_zero() -> None:
    assert portable.power(np.array([0.0, 0.0, 1.0]), 0.7).tolist() == [0.0, 0.0, 1.0]


@given(st.floats(0.05, 60.0))
def test_gamma(x: float) -> None:
    assert math.isclose(portable.gamma(x), math.gamma(x), rel_tol=5e-14)


def normal_cdf(x: Decimal) -> tuple[Decimal, Decimal]:
    """Phi(x) and its density by the Taylor series in 60 digits."""
    two_pi = Decimal("6.28318530717958647692528676655900576839433879875021164194989")
    density = (-x * x / 2).exp() / two_pi.sqrt()
    term = total = x
    k = 1
    while abs(term) > Decimal(10) ** -55:
        term *= x * x / (2 * k + 1)
        total += term
        k += 1
    return Decimal("0.5") + density * total, density


@given(st.integers(1, 2**53 - 1) | st.integers(1, 10**6) | st.integers(2**53 - 10**6, 2**53 - 1))
def test_normal_quantile(numerator: int) -> None:
    u = numerator * 2.0**-53
    x = Decimal(float(portable.normal_quantile(np.array(u))))
    with localcontext(prec=60):
        cdf, density = normal_cdf(x)
        error = float((cdf - Decimal(u)) / density)  # one Newton step from the true quantile
    assert abs(error) <= 2e-15 * max(abs(float(x)), 1e-300) + 1e-16 * (numerator == 2**52)


def test_normal_quantile_of_zero_is_finite() -> None:
    assert portable.normal_quantile(np.array([0.0]))[0] == pytest.approx(special.ndtri(2.0**-54), rel=1e-14)


@given(st.floats(-38, 37))
def test_normal_survival(x: float) -> None:
    assert math.isclose(float(portable.normal_survival(np.array(x))), special.ndtr(-x), rel_tol=2e-13)


def test_scalars_and_arrays_give_the_same_bits() -> None:
    x = np.geomspace(1e-5, 30, 1001)
    for function in (portable.log, portable.exp, portable.normal_survival):
        assert function(x).tolist() == [float(function(np.array(v))) for v in x]
        assert function(x[::-7]).tolist() == function(x)[::-7].tolist()
