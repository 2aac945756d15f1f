"""Interval and first-passage measures against published values (C1-C3, V1, V3 of the field data) and closed forms."""

import math

import numpy as np
import pytest
from scipy import special, stats

from ksim.chance.distributions import Constant, Empirical, Exponential, Law, LogNormal, Uniform, weibull_of_mean
from ksim.errors import GraphError, NotSolvable
from ksim.exact.interval import Interval
from ksim.exact.markov import Chain, poisson
from ksim.exact.solve import Solution
from ksim.model.lifecycle import Branch, Budget, Clock, Lifecycle, Node, Service
from ksim.units import HOUR_S, MINUTE_S, YEAR_S
from tests.oracle.chains import REPAIRED, cluster, controller, failed
from tests.oracle.test_solve import solution

UP, DEGRADED, DOWN = Service.UP, Service.DEGRADED, Service.DOWN
SOFT = {"c": Budget.SOFTWARE}


def alternating(up: Law, down: Law) -> Lifecycle:
    nodes = (Node("up", "up", UP, (Branch("down", up, 1.0, "c"),)), Node("down", "down", DOWN, (Branch("up", down),)))
    return Lifecycle("up", nodes, SOFT)


def in_a_row(*laws: Law) -> Lifecycle:
    """n0, n1, ... for these times, then down for a second."""
    names = [*(f"n{i}" for i in range(len(laws))), "end"]
    nodes = [
        Node(names[i], "up", UP, (Branch(names[i + 1], law, 1.0, "c" if i == len(laws) - 1 else ""),))
        for i, law in enumerate(laws)
    ]
    return Lifecycle("n0", (*nodes, Node("end", "down", DOWN, (Branch("n0", Exponential(1.0)),))), SOFT)


# ---------------------------------------------------------------- published


def test_c1_premium_quality_in_the_long_run() -> None:
    found = Solution(cluster(2).life)
    assert 1 - found.unavailability - found.degraded == pytest.approx(0.9999615335623628, abs=1e-15)


def test_c2_within_2000_h() -> None:
    chain, horizon_s = cluster(2), 2000 * HOUR_S
    every = Interval(chain.life)
    below = chain.where(lambda state: not state.connected(1))
    assert every.spent(below, horizon_s) / HOUR_S == pytest.approx(0.00465919240548, rel=1e-11)
    assert every.downtime(horizon_s) == every.spent(below, horizon_s)
    assert Interval(chain.life, below).passage(horizon_s) == pytest.approx(0.00115839557526, rel=1e-11)
    at_work = chain.where(lambda state: 100 * (state.left + state.right) / 4)
    assert every.at(at_work, 20 * HOUR_S) == pytest.approx(99.8764355825, rel=1e-12)
    rates = chain.where(lambda state: REPAIRED.get(state.repaired, 0.0) / HOUR_S)
    assert every.spent(rates, horizon_s) == pytest.approx(17.3697782838, rel=1e-11)


C3 = {
    "io": 0.24252058277362362,
    "main": 0.048417523169789894,
    "sensors": 0.6213837036832706,
    "actuators": 0.08767819037331588,
}


def test_c3_until_it_shuts_down() -> None:
    chain = controller()
    end = Interval(chain.life, chain.where(lambda x: bool(failed(x))))
    for why, expected in C3.items():
        assert end.passage(math.inf, chain.where(lambda x, why=why: failed(x) == why)) == pytest.approx(
            expected, rel=1e-14
        )
    assert end.passage(math.inf) == pytest.approx(1.0, rel=1e-14)
    danger = chain.where(lambda x: 1 in (x.i, x.o))
    calm = chain.where(lambda x: 1 not in (x.i, x.o))
    assert end.spent(calm, math.inf) / HOUR_S == pytest.approx(423.8443172811176, rel=1e-14)
    assert end.spent(danger, math.inf) / HOUR_S == pytest.approx(0.2931856862419295, rel=1e-14)


def test_v1_expected_downtime_of_the_first_t() -> None:
    """lam / (lam + mu) (T - (1 - e^-(lam + mu) T) / (lam + mu)), for T from a tenth of a repair to ten years."""
    life = solution("v1_two_state").life
    fails, repairs = 1 / (4380 * HOUR_S), 1 / (10 * MINUTE_S)
    total = fails + repairs
    for t in (60.0, 6000.0, 1e5, YEAR_S, 10 * YEAR_S):
        expected = fails / total * (t + math.expm1(-total * t) / total)
        assert Interval(life).downtime(t) == pytest.approx(expected, rel=1e-13 if t > 100 else 1e-11)
    assert Interval(life).downtime(YEAR_S) / MINUTE_S == pytest.approx(19.99885851, abs=5e-9)


def test_v3_renewal_function() -> None:
    """Weibull 0.75, mean 4380 h, 8760 h: 2.362432 failures, against 2 exponential ones."""
    life = alternating(weibull_of_mean(4380 * HOUR_S, 0.75), Constant(0.0))
    assert Interval(life).entries(["down"], YEAR_S) == pytest.approx(2.362432, abs=5e-7)
    steady = alternating(Exponential(4380 * HOUR_S), Constant(0.0))
    assert Interval(steady).entries(["down"], YEAR_S) == pytest.approx(2.0, rel=1e-13)


# ---------------------------------------------------------------- Markov chains


@pytest.mark.parametrize("x", [1e-3, 1.0, 30.0])
def test_a_tiny_probability_keeps_its_digits(x: float) -> None:
    """Five stages of 1 s each in x s: gamma(5, x), 8e-18 for the smallest."""
    life = in_a_row(*[Exponential(1.0)] * 5)
    assert Interval(life, ["end"]).passage(x) == pytest.approx(special.gammainc(5, x), rel=1e-13)


def test_steps_and_squares_agree() -> None:
    """The same chain by both ways of computing: 25 000 mean steps."""
    chain = Chain(cluster(1).life)
    start = np.zeros(chain.size)
    start[0] = 1.0
    leave = np.bincount(chain._sources, chain._rates, chain.size).astype(float)
    top, t = float(leave.max()), 500 * HOUR_S
    one = chain._by_steps(start, leave, top, t)
    two = chain._by_squares(start, leave, top, t, math.ceil(math.log2(top * t)))
    for a, b in zip(one, two, strict=True):
        assert b == pytest.approx(a, rel=3e-13, abs=0.0)


def test_instant_nodes_are_passed_and_counted() -> None:
    """Up 1/8 s; at a failure, at once: 1/4 crash (counted, 2 s), 3/4 glitch (counted) back up at once."""
    nodes = (
        Node("up", "up", UP, clocks=(Clock("fault", Exponential(8.0), "which"),)),
        Node("which", "up", UP, (Branch("crash", Constant(0.0), 0.25, "c"), Branch("glitch", Constant(0.0), 0.75))),
        Node("glitch", "up", UP, (Branch("up", Constant(0.0)),)),
        Node("crash", "down", DOWN, (Branch("up", Exponential(2.0)),)),
    )
    found, t = Interval(Lifecycle("up", nodes, SOFT)), 50.0
    up = found.spent({"up": 1.0}, t)
    assert up + found.spent({"crash": 1.0}, t) == pytest.approx(t, rel=1e-14)
    assert found.entries(["which"], t) == pytest.approx(up / 8, rel=1e-14)
    assert found.entries(["glitch"], t) == pytest.approx(0.75 * up / 8, rel=1e-14)
    assert found.entries(["crash", "glitch"], t) == pytest.approx(up / 8, rel=1e-14)
    total = 1 / 32 + 1 / 2
    assert found.at({"crash": 1.0}, t) == pytest.approx(1 / 32 / total * -math.expm1(-total * t), rel=1e-13)


def test_branches_of_different_means_are_a_mixture() -> None:
    nodes = (
        Node("up", "up", UP, (Branch("end", Exponential(1.0), 0.25, "c"), Branch("end", Exponential(9.0), 0.75, "c"))),
        Node("end", "down", DOWN, (Branch("up", Exponential(1.0)),)),
    )
    found = Interval(Lifecycle("up", nodes, SOFT), ["end"]).passage(2.0)
    assert found == pytest.approx(-0.25 * math.expm1(-2.0) - 0.75 * math.expm1(-2.0 / 9), rel=1e-14)


@pytest.mark.parametrize("mean", [0.3, 7.0, 1e4, 1e6])
def test_poisson_weights(mean: float) -> None:
    weights, tails = poisson(mean)
    n = np.arange(len(weights))
    law = stats.poisson(mean)
    heavy = weights > 1e-25
    assert weights[heavy] == pytest.approx(law.pmf(n[heavy]), rel=1e-8)
    assert math.fsum((n * weights).tolist()) == pytest.approx(mean, rel=1e-12)
    assert math.fsum(tails.tolist()) == pytest.approx(mean, rel=1e-12)


# ---------------------------------------------------------------- any laws


def test_inversion_agrees_with_the_chain() -> None:
    """A law that is exponential in fact but not in name: the same graph on both roads."""
    life = cluster(1).life
    one = Interval(life)
    two = Interval(life)
    weights = {name: 1.0 for name, node in zip(life.index, life.nodes, strict=True) if node.service is not UP}
    for which in (0, 1, 2):
        t = 3.0 * HOUR_S
        assert two._inverted(weights, t, which) == pytest.approx(one._sum(weights, t, which), abs=1e-9, rel=1e-9)


def test_first_passage_through_lognormal_and_uniform_times() -> None:
    """P(lognormal <= t) itself, and a sum of two by convolution."""
    law = LogNormal(40.0, 0.7)
    for t in (5.0, 40.0, 300.0):
        expected = stats.lognorm(0.7, scale=40.0).cdf(t)
        assert Interval(in_a_row(law), ["end"]).passage(t) == pytest.approx(expected, abs=1e-9)
    # lognormal, then exponential of mean 10, within 60 s
    x, w = np.polynomial.legendre.leggauss(200)
    y = 30.0 * (x + 1)
    expected = float((30.0 * w * stats.lognorm(0.7, scale=40.0).pdf(y) * -np.expm1(-(60.0 - y) / 10)).sum())
    assert Interval(in_a_row(law, Exponential(10.0)), ["end"]).passage(60.0) == pytest.approx(expected, abs=1e-9)


def test_shipped_downtime_of_the_first_year_approaches_the_expansion_of_solve() -> None:
    """Solution.downtime_s is exact up to terms that vanish with the horizon: after ten years they have."""
    found = solution("v2_alternating_renewal")
    for years, accuracy in ((10, 1e-5), (40, 1e-7)):
        exact = Interval(found.life).downtime(years * YEAR_S)
        assert found.downtime_s(years * YEAR_S) == pytest.approx(exact, rel=accuracy)


def test_no_limit_of_time_needs_only_means() -> None:
    life = in_a_row(Uniform(1.0, 3.0), Empirical((4.0, 6.0)), Constant(7.0))
    end = Interval(life, ["end"])
    assert end.spent({"n0": 1.0, "n1": 10.0, "n2": 100.0}, math.inf) == pytest.approx(2 + 50 + 700, rel=1e-14)
    assert end.entries(["n2", "end"], math.inf) == pytest.approx(2.0, rel=1e-14)


# ---------------------------------------------------------------- refused


def test_a_jump_in_time_is_refused_by_law() -> None:
    life = alternating(Constant(100.0), Constant(30.0))
    with pytest.raises(NotSolvable, match=r"time spent in 'down' \(because node 'up' lasts 100 s\): two inversions"):
        Interval(life).downtime(131.0)
    with pytest.raises(NotSolvable, match=r"node 'up' lasts 100 s: not a Markov chain"):
        Chain(life)


def test_questions_without_sense() -> None:
    life = alternating(Exponential(1.0), Exponential(1.0))
    with pytest.raises(GraphError, match="'dwn' is not a node; did you mean 'down'"):
        Interval(life, ["dwn"])
    with pytest.raises(GraphError, match="'up' is not among the nodes that end the story"):
        Interval(life, ["down"]).passage(1.0, ["up"])
    with pytest.raises(GraphError, match="there is no end to wait for"):
        Interval(life).downtime(math.inf)
    with pytest.raises(GraphError, match="the entry 'up' cannot end the story"):
        Interval(life, ["up"]).passage(1.0)
    with pytest.raises(ValueError, match="t must not be below zero"):
        Interval(life).downtime(-1.0)
    assert Interval(life).downtime(0.0) == 0.0
    assert Interval(life).at({"up": 1.0}, 0.0) == 1.0
