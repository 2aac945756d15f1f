"""Laws: quantile, survival and moments of one law belong together, and its text is the law itself."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from ksim.chance.distributions import (
    Constant,
    Empirical,
    Exponential,
    Law,
    LogNormal,
    LogUniform,
    Outcomes,
    Uniform,
    Weibull,
    lognormal_of_mean,
    scaled,
    variance,
    weibull_of_mean,
)
from ksim.chance.grammar import parse_law
from ksim.errors import UnitError
from tests.strategies import LAWS, laws

GRID = np.concatenate([[0.0, 2.0**-53, 1e-9], np.linspace(1e-3, 1 - 1e-3, 501), [1 - 1e-9, 1 - 2.0**-53]])
CONTINUOUS = laws([kind for kind in LAWS if kind not in ("constant", "empirical")])


def scipy_twin(law: Law):
    """The same law by other people."""
    match law:
        case Exponential(mean):
            return stats.expon(scale=mean)
        case LogNormal(median, sigma):
            return stats.lognorm(sigma, scale=median)
        case Weibull(scale, shape):
            return stats.weibull_min(shape, scale=scale)
        case Uniform(low, high):
            return stats.uniform(low, high - low)
        case LogUniform(low, high):
            return stats.loguniform(low, high)
    raise TypeError(law)


@given(laws())
def test_quantile_increases_weakly(law: Law) -> None:
    values = law.quantile(GRID)
    assert (np.diff(values) >= 0).all()
    assert (values >= 0).all()
    assert np.isfinite(values).all()


@given(laws())
def test_survival_is_the_other_side_of_quantile(law: Law) -> None:
    values = law.quantile(GRID)
    # F(q(u)) >= u and F(q(u) - epsilon) <= u, for continuous and discrete laws alike
    assert (law.survival(values * (1 + 1e-13)) <= 1 - GRID + 1e-10).all()
    assert (law.survival(values * (1 - 1e-13)) >= 1 - GRID - 1e-10).all()


@given(laws())
def test_survival_decreases_from_one_to_zero(law: Law) -> None:
    t = np.concatenate([[-1.0, 0.0], np.geomspace(1e-9, 1e9, 400) * law.mean])
    survival = law.survival(t)
    assert (np.diff(survival) <= 1e-15).all()
    assert survival[0] == survival[1] == 1.0
    assert survival[-1] <= 1e-6


@given(CONTINUOUS)
def test_moments_are_the_integrals_of_the_survival(law: Law) -> None:
    y = np.linspace(math.log(law.mean) - 40, math.log(law.mean) + 30, 40_001)
    survival = law.survival(np.exp(y))
    for k, moment in ((1, law.mean), (2, law.second_moment)):
        integral = np.trapezoid(k * np.exp(k * y) * survival, y)
        assert math.isclose(integral, moment, rel_tol=2e-4)


@given(CONTINUOUS)
def test_agrees_with_scipy(law: Law) -> None:
    twin = scipy_twin(law)
    assert math.isclose(law.mean, twin.mean(), rel_tol=1e-11)
    assert math.isclose(law.second_moment, twin.moment(2), rel_tol=1e-10)
    u = GRID[3:-2]
    assert np.allclose(law.quantile(u), twin.ppf(u), rtol=1e-11, atol=0)
    t = twin.ppf(u)
    assert np.allclose(law.survival(t), twin.sf(t), rtol=1e-9, atol=1e-12)


@given(LAWS["empirical"] | LAWS["constant"])
def test_discrete_laws_are_their_values(law: Law) -> None:
    values = law.values if isinstance(law, Empirical) else (law.value,)  # type: ignore[attr-defined]
    assert math.isclose(law.mean, math.fsum(values) / len(values), rel_tol=1e-15)
    assert law.atoms == tuple(sorted(set(values)))
    drawn = law.quantile((np.arange(len(values)) + 0.5) / len(values))
    assert sorted(drawn.tolist()) == sorted(values)
    at = np.array(values)
    assert law.survival(at).tolist() == [sum(v > t for v in values) / len(values) for t in values]


@given(laws())
def test_the_text_of_a_law_is_the_law(law: Law) -> None:
    assert parse_law(str(law)) == law


@given(laws(), st.floats(0.1, 10.0))
def test_scaled(law: Law, factor: float) -> None:
    longer = scaled(law, factor)
    assert np.allclose(longer.quantile(GRID), factor * law.quantile(GRID), rtol=1e-13)
    assert math.isclose(longer.mean, factor * law.mean, rel_tol=1e-13)
    assert math.isclose(variance(longer), factor**2 * variance(law), rel_tol=1e-9, abs_tol=1e-9 * longer.second_moment)
    assert (scaled(law, 2.0).quantile(GRID) == 2.0 * law.quantile(GRID)).all()


@given(st.floats(0.001, 1e6), st.floats(0.4, 10.0))
def test_laws_of_a_given_mean(mean: float, spread: float) -> None:
    assert math.isclose(weibull_of_mean(mean, spread).mean, mean, rel_tol=1e-13)
    assert math.isclose(lognormal_of_mean(mean, min(spread, 3.0)).mean, mean, rel_tol=1e-13)
    assert weibull_of_mean(mean, 1.0) == Exponential(mean)
    assert lognormal_of_mean(mean, 0.0) == Constant(mean)


# ---------------------------------------------------------------- texts


@pytest.mark.parametrize(
    ("text", "law"),
    [
        ("90 s", Constant(90.0)),
        ("0", Constant(0.0)),
        (" exponential( mean = 30 s ) ", Exponential(30.0)),
        ("lognormal(median=2 min, sigma=0.5)", LogNormal(120.0, 0.5)),
        ("lognormal(sigma=0, mean=5 s)", Constant(5.0)),
        ("weibull(shape=2, scale=1 h)", Weibull(3600.0, 2.0)),
        ("weibull(shape=1, mean=1 h)", Exponential(3600.0)),
        ("uniform(0 s, 6 s)", Uniform(0.0, 6.0)),
        ("loguniform(1 ms, 1 s)", LogUniform(0.001, 1.0)),
        ("empirical(3 s, 1 s, 3 s)", Empirical((1.0, 3.0, 3.0))),
    ],
)
def test_texts(text: str, law: Law) -> None:
    assert parse_law(text) == law


@pytest.mark.parametrize(
    "text",
    ["exponential()", "exponential(30 s)", "exponential(mean=0 s)", "exponential(mean=1 s, mean=2 s)", "gauss(1 s)"]
    + ["lognormal(mean=1 s)", "lognormal(mean=1 s, median=1 s, sigma=1)", "lognormal(mean=1 s, sigma=5)"]
    + ["lognormal(mean=1 s, sigma=nan)", "weibull(shape=0, mean=1 s)", "uniform(2 s, 1 s)", "uniform(1 s, 1 s)"]
    + ["loguniform(0 s, 1 s)", "empirical()", "empirical(1 s,)", "uniform(1 s)", "eval(1)", "__import__('os')", "("],
)
def test_refused_texts(text: str) -> None:
    with pytest.raises(UnitError):
        parse_law(text)


@given(st.text() | st.from_regex(r"(exponential|weibull|uniform|empirical)\([a-z=0-9 .,]{0,20}\)"))
def test_any_text_is_a_law_or_a_unit_error(text: str) -> None:
    try:
        law = parse_law(text)
    except UnitError:
        return
    assert 0.0 <= law.mean < math.inf


# ---------------------------------------------------------------- branches


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=8), st.floats(0, 1, exclude_max=True))
def test_outcomes_are_the_inverse_of_the_running_sum(weights: list[int], u: float) -> None:
    probabilities = tuple(weight / sum(weights) for weight in weights)
    outcomes = Outcomes.of(probabilities)
    index = outcomes.index(u)
    assert outcomes.cumulative[-1] == 1.0
    assert 0 <= index < len(weights)
    assert outcomes.indices(np.array([u])) == [index]
    assert math.fsum(probabilities[:index]) <= u + 1e-12
    assert u - 1e-12 <= math.fsum(probabilities[: index + 1])


def test_outcomes_never_take_what_cannot_happen() -> None:
    edge = Outcomes.of((0.0, 0.5, 0.0, 0.5))
    assert edge.indices(np.array([0.0, 0.25, 0.5, 1 - 2.0**-53])) == [1, 1, 3, 3]
    assert Outcomes.of((1.0,)).index(0.999) == 0
