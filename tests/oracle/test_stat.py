"""Tests of the tests: the statistical asserts reject what they claim to detect, and are honest under the null."""

from functools import partial

import numpy as np
import pytest
from scipy import stats

from tests import stat
from tests.stat import Underpowered, assert_cdf, assert_count, assert_mean, uncharged


def normal_cdf(x: np.ndarray) -> np.ndarray:
    return stats.norm.cdf(x)


def rejected(check: object, *args: object, **keys: object) -> bool:
    with uncharged():
        try:
            check(*args, **keys)  # type: ignore[operator]
        except AssertionError:
            return True
    return False


RNG = partial(np.random.default_rng, 20260101)
LOOSE = {"false_fail": 0.01, "false_pass": 0.01}
"""Rates at which 1000 trials show whether they are kept."""


def share_rejected(trial: object, trials: int = 1000) -> float:
    rng = RNG()
    return sum(trial(rng) for _ in range(trials)) / trials  # type: ignore[operator]


@pytest.mark.parametrize(("shift", "low", "high"), [(0.0, 0.003, 0.02), (0.3, 0.98, 1.0), (-0.3, 0.98, 1.0)])
def test_mean_keeps_both_rates(shift: float, low: float, high: float) -> None:
    n = stat.mean_n(1.0, 0.3, **LOOSE)
    share = share_rejected(lambda rng: rejected(assert_mean, rng.normal(shift, 1, n), 0.0, 1.0, detects=0.3, **LOOSE))
    assert low <= share <= high


@pytest.mark.parametrize(("p", "low", "high"), [(0.1, 0.0005, 0.02), (0.15, 0.98, 1.0), (0.05, 0.98, 1.0)])
def test_count_keeps_both_rates(p: float, low: float, high: float) -> None:
    n = next(n for n in range(100, 5000, 50) if stat.count_false_pass(n, 0.1, 0.05, 0.01) <= 0.01)
    share = share_rejected(lambda rng: rejected(assert_count, int(rng.binomial(n, p)), n, 0.1, detects=0.05, **LOOSE))
    assert low <= share <= high


@pytest.mark.parametrize(("shift", "low", "high"), [(0.0, 0.0, 0.015), (0.26, 0.98, 1.0), (-0.26, 0.98, 1.0)])
def test_cdf_keeps_both_rates(shift: float, low: float, high: float) -> None:
    # two normal laws 0.26 apart have cdfs 0.1034 apart
    n = stat.cdf_n(0.1, **LOOSE)
    share = share_rejected(lambda rng: rejected(assert_cdf, rng.normal(shift, 1, n), normal_cdf, detects=0.1, **LOOSE))
    assert low <= share <= high


def test_at_the_default_rates_a_shift_by_detects_is_seen() -> None:
    rng = RNG()
    n = stat.mean_n(2.0, 0.1)
    assert rejected(assert_mean, rng.normal(5.1, 2, n), 5.0, 2.0, detects=0.1)
    assert not rejected(assert_mean, rng.normal(5.0, 2, n), 5.0, 2.0, detects=0.1)
    assert rejected(assert_count, 0, 9500, 0.01, detects=0.01), "a branch that never happens"
    assert rejected(assert_count, 180, 9500, 0.01, detects=0.01), "a branch twice as frequent"
    assert not rejected(assert_count, 90, 9500, 0.01, detects=0.01)
    m = stat.cdf_n(0.05)
    assert rejected(assert_cdf, rng.uniform(0, 1.06, m), partial(np.clip, a_min=0, a_max=1), detects=0.05)


def test_p_values_are_uniform_under_the_null() -> None:
    rng = RNG()
    scores = [stat.mean_score(rng.exponential(3.0, 2000), 3.0, 3.0) for _ in range(3500)]
    with uncharged():
        assert_cdf(scores, normal_cdf, detects=0.08)
    scaled = [
        np.sqrt(500) * stat.cdf_distance(rng.random(500), partial(np.clip, a_min=0, a_max=1)) for _ in range(3500)
    ]
    with uncharged():
        assert_cdf(scaled, stats.kstwo(500, scale=np.sqrt(500)).cdf, detects=0.08)


@pytest.mark.parametrize(("n", "p"), [(10, 0.5), (1000, 0.01), (5000, 1e-9), (300, 1.0), (200, 0.999)])
def test_count_limits_are_exact(n: int, p: float) -> None:
    low, high = stat.count_limits(n, p, 0.001)
    law = stats.binom(n, p)
    assert law.cdf(low - 1) <= 0.0005
    assert law.sf(high) <= 0.0005
    assert low == 0 or law.cdf(low) > 0.0005
    assert high == n or law.sf(high - 1) > 0.0005


def test_too_few_samples_are_refused_before_the_data_are_seen() -> None:
    nonsense = [float("nan")] * 100
    with pytest.raises(Underpowered, match="needs 6"):
        assert_mean(nonsense, 0.0, 1.0, detects=0.1)
    with pytest.raises(Underpowered):
        assert_count(0, 100, 0.01, detects=0.01)
    with pytest.raises(Underpowered, match="needs 2"):
        assert_cdf(nonsense, normal_cdf, detects=0.1)
    assert not issubclass(Underpowered, AssertionError), "or a mutant could be 'killed' by a bad design"


def test_discrete_laws_and_their_jumps() -> None:
    def die(x: np.ndarray) -> np.ndarray:
        return np.clip(np.floor(x), 0, 6) / 6

    n = stat.cdf_n(0.1)
    rng = RNG()
    assert not rejected(assert_cdf, rng.integers(1, 7, n), die, detects=0.1)
    assert rejected(assert_cdf, rng.integers(1, 6, n), die, detects=0.1)
    assert stat.cdf_distance([1, 2, 3, 4, 5, 6], die) == pytest.approx(0, abs=1e-15)
    assert stat.cdf_distance([2.0] * 6, lambda x: np.where(x >= 2, 1.0, 0.0)) == 0.0
    for near in (2 + 1e-9, 2 - 1e-9):
        assert stat.cdf_distance([near] * 6, lambda x: np.where(x >= 2, 1.0, 0.0)) == 1.0
        assert stat.cdf_distance([near] * 6, lambda x: np.where(x >= 2, 1.0, 0.0), slack=2e-9) == 0.0


def test_every_assert_pays_into_the_budget() -> None:
    with uncharged():
        before = stat.BUDGET.spent
        assert_count(50, 100, 0.5, detects=0.5)
        assert stat.BUDGET.spent == before
        stat.BUDGET.is_open = True
        assert_count(50, 100, 0.5, detects=0.5, false_fail=1e-9)
        stat.BUDGET.is_open = False
        assert stat.BUDGET.spent == pytest.approx(before + 1e-9)
