"""The law of an outage: V7 and V10 of the field data, every shipped base, and bounds that hold."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from scipy import optimize, stats

from ksim.chance.distributions import Constant, Exponential, Law, LogNormal
from ksim.errors import NotSolvable
from ksim.exact.enclosed import WORST
from ksim.exact.outage import OutageLength
from ksim.exact.solve import Solution, solvable
from ksim.model.base import shipped
from ksim.model.compose import lifecycle, recovery_strategies
from ksim.model.lifecycle import Branch, Budget, Lifecycle, Node, Service
from ksim.model.loader import load
from ksim.study.replicate import Job, replicate
from ksim.units import YEAR_S
from tests.oracle.histogram import above, edge_near
from tests.oracle.test_solve import solution
from tests.stat import assert_count
from tests.strategies import lifecycles

LEVELS = (0.5, 0.95, 0.99)


def stages(*laws: Law) -> Solution:
    """Outages that pass through these stages."""
    nodes = [Node("up", "up", Service.UP, (Branch("d0", Exponential(1e7), 1.0, "c"),))]
    for i, law in enumerate(laws):
        to = f"d{i + 1}" if i + 1 < len(laws) else "up"
        nodes.append(Node(f"d{i}", "down", Service.DOWN, (Branch(to, law),)))
    return Solution(Lifecycle("up", tuple(nodes), {"c": Budget.SOFTWARE}))


def v10(x: float) -> float:
    """P(300 s + lognormal(ln 45, 0.25) + exponential(30 s) <= x), by Gauss-Legendre over the lognormal."""
    if x <= 300.0:
        return 0.0
    points, weights = np.polynomial.legendre.leggauss(60)
    cuts = np.linspace(0.0, x - 300.0, 40)
    half, middle = 0.5 * np.diff(cuts)[:, None], 0.5 * (cuts[1:] + cuts[:-1])[:, None]
    y = middle + half * points
    return float((half * weights * stats.lognorm(0.25, scale=45.0).pdf(y) * -np.expm1(-(x - 300.0 - y) / 30)).sum())


def test_v10_sum_of_stages() -> None:
    law = OutageLength(stages(Constant(300.0), LogNormal(45.0, 0.25), Exponential(30.0)))
    assert v10(368.91) == pytest.approx(0.5, abs=1e-4)  # the published median
    for q in LEVELS:
        truth = optimize.brentq(lambda x, q=q: v10(x) - q, 301.0, 900.0, xtol=1e-10)
        found = law.quantile(q)
        assert abs(found.value - truth) <= found.error
        assert found.error <= 2e-3 * truth
        # the value between the bounds is a hundred times better than they say
        assert found.value == pytest.approx(truth, rel=1e-5)
    for x in (310.0, 340.0, 368.91, 420.0, 600.0):
        exceeds = law.exceeds(x)
        assert abs(exceeds.value - (1.0 - v10(x))) <= exceeds.error <= 2e-3
        assert exceeds.value == pytest.approx(1.0 - v10(x), abs=1e-5)


V7 = {
    "full_reboot": [(1.0, 375.0)],
    "kdump": [(0.9, 455.0), (0.1, 675.0)],
    "kdump_kexec": [(0.9 * 0.95, 160.0), (0.1, 675.0), (0.9 * 0.05, 760.0)],
}


@pytest.mark.parametrize("strategy", V7)
def test_v7_constants_are_not_smeared(strategy: str) -> None:
    """Outages of a few lengths: quantiles without any error, and probabilities right at the jumps."""
    law, ways = OutageLength(solution(f"v7_crash_path_{strategy}")), V7[strategy]
    below = 0.0
    for p, length in ways:
        if p < 1.0:
            assert law.quantile(below + 0.5 * p) == (length, 0.0)
        below += p
        assert law.exceeds(length).value == pytest.approx(1.0 - below, abs=2e-9)
        assert law.exceeds(length - 0.5).value == pytest.approx(1.0 - below + p, abs=2e-9)


def test_a_quantile_at_the_edge_of_a_jump_is_refused() -> None:
    """P(length <= 455 s) is 0.9: whether the 0.9 quantile is 455 s or 675 s hangs on the last bit."""
    with pytest.raises(NotSolvable, match=r"the 0.9 quantile of the length of outages is only known as .*jumps nearby"):
        OutageLength(solution("v7_crash_path_kdump")).quantile(0.9)


def test_there_must_be_outages() -> None:
    with pytest.raises(NotSolvable, match="there are no hardware outages"):
        OutageLength(stages(Constant(3.0)), "hardware")


@settings(max_examples=25)
@given(lifecycles())
def test_mean_from_the_law(life: Lifecycle) -> None:
    """The integral of P(length > x) between its bounds is the mean that the moments give."""
    assume(not solvable(life))
    found = Solution(life)
    moments = found.outages()
    assume(moments is not None)
    assert moments is not None
    assume(moments.sd_s < 3 * moments.mean_s)
    law = OutageLength(found)
    try:
        x = np.linspace(0.0, moments.mean_s + 30 * moments.sd_s, 40)
        values = [law.exceeds(float(one)) for one in x]
    except NotSolvable:
        assume(False)
    # a falling function lies between its step functions from the left and from the right
    width = x[1] - x[0]
    most = width * math.fsum(v.value + v.error for v in values[:-1])
    least = width * math.fsum(v.value - v.error for v in values[1:])
    rest = moments.sd_s**2 / (30 * moments.sd_s) if moments.sd_s else 0.0  # Cantelli beyond the last x
    assert least - 1e-9 <= moments.mean_s <= most + rest + 1e-9


REPLICATIONS, HORIZON_S = 3000, 100 * YEAR_S
"""Of a hundred years: the horizon cuts off one outage in 10^4 at most."""


@pytest.mark.parametrize("strategy", recovery_strategies())
@pytest.mark.parametrize("base", shipped())
def test_every_shipped_base_against_the_compiled_reader(base: str, strategy: str) -> None:
    life = lifecycle(load(base).scenario, strategy)
    ledger = replicate(Job({"x": life}, 11, HORIZON_S, REPLICATIONS, "compiled")).ledgers["x"]
    found = Solution(life)
    for group in ("", "software_"):
        law, lengths = OutageLength(found, group.rstrip("_") or None), ledger.lengths[group]
        for q in LEVELS:
            answer = law.quantile(q)
            assert answer.error <= WORST * answer.value
            edge = edge_near(answer.value)
            p = law.exceeds(edge)
            assert_count(
                above(lengths, edge),
                lengths.n,
                p.value,
                detects=min(0.015, 0.4 * p.value),
                false_fail=1e-7,
                what=f"{group}outages longer than {edge:g} s",
            )
