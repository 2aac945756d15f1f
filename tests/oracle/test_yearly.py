"""The law of the downtime of a year: V1 (Takacs), V2, V7, C4 and every shipped base under every strategy.

What is sampled is sampled in machine code, first years of fresh hosts, and compared with P(D > x) at the exact
quantiles, moved to the next edge of the ledger's bins. The samples decide to 1e-3, the bounds of the exact law are
narrower, and its values narrower still.
"""

import math
from functools import cache

import numpy as np
import pytest
from scipy import stats

from ksim.chance.distributions import Constant, Exponential, LogNormal, Uniform, weibull_of_mean
from ksim.errors import NotSolvable
from ksim.evidence.ledger import NINES, Ledger
from ksim.exact.interval import Interval
from ksim.exact.solve import Solution
from ksim.exact.yearly import Downtime
from ksim.model.base import shipped
from ksim.model.compose import lifecycle, recovery_strategies
from ksim.model.lifecycle import Branch, Budget, Clock, Lifecycle, Node, Service
from ksim.model.loader import load
from ksim.study.replicate import Job, replicate
from ksim.units import DAY_S, HOUR_S, MINUTE_S, YEAR_S
from tests.oracle.histogram import above, edge_near
from tests.oracle.test_solve import V1_RATE, V1_REPAIR, solution, takacs
from tests.stat import assert_count

UP, DOWN = Service.UP, Service.DOWN


def years(life: Lifecycle, n: int, seed: int = 5) -> Ledger:
    """The first years of n hosts."""
    return replicate(Job({"x": life}, seed, YEAR_S, n, "compiled")).ledgers["x"]


def check_years(found: Solution, ledger: Ledger, detects: float) -> None:
    """Samples above each exact quantile, for all outages and for software, and the nines missed."""
    n = ledger.replications
    for group in ("", *(("software_",) if "software" in found.layout.budgets.values() else ())):
        law, sampled = Downtime(found, group.rstrip("_") or None), ledger.years[group]
        none = n - above(sampled, 1e-9)
        assert_count(none, n, law.zero, detects=min(detects, 0.9 * max(law.zero, 1e-4)), false_fail=2e-7)
        for q in (0.5, 0.95, 0.99):
            answer = law.quantile(q)
            assert answer.error <= 2e-3 * answer.value
            edge = edge_near(answer.value or 60.0)
            p = law.exceeds(edge)
            what = f"{group}downtime above {edge:g} s"
            assert_count(
                above(sampled, edge), n, p.value, detects=min(detects, 0.5 * p.value), false_fail=2e-7, what=what
            )
    law = Downtime(found)
    for nines, share in NINES.items():
        p = law.exceeds(share * YEAR_S)
        assert p.error <= 1e-3
        if n * p.value > 200:
            misses = ledger.missed[nines]
            assert_count(misses, n, p.value, detects=min(detects, 0.5 * p.value), false_fail=2e-7, what=nines)


# ---------------------------------------------------------------- V1


def v1(horizon_s: float) -> Downtime:
    return Downtime(solution("v1_two_state"), None, horizon_s)


def test_v1_as_published() -> None:
    law = v1(YEAR_S)
    assert law.zero == pytest.approx(0.13533528, abs=5e-9)
    at_most = 1.0 - law.exceeds(20 * MINUTE_S).value
    assert at_most == pytest.approx(0.60351671, abs=5e-8)


@pytest.mark.parametrize("horizon_s", [0.02 * YEAR_S, YEAR_S, 10 * YEAR_S])
def test_v1_takacs(horizon_s: float) -> None:
    law, minutes = v1(horizon_s), horizon_s / MINUTE_S
    for x in (0.01, 0.3, 2.0, 7.0, 20.0, 45.0, 100.0, 250.0):
        truth = 1.0 - takacs(V1_RATE, V1_REPAIR, minutes, x)
        found = law.exceeds(x * MINUTE_S)
        assert abs(found.value - truth) <= found.error <= 1e-3
        assert found.value == pytest.approx(truth, abs=1e-6)
    for q in (0.3, 0.5, 0.95, 0.99, 0.9999):
        answer = law.quantile(q)
        if answer.value > 0.0:
            low, high = (takacs(V1_RATE, V1_REPAIR, minutes, (answer.value + s * answer.error) / 60) for s in (-1, 1))
            assert low <= q <= high
            assert takacs(V1_RATE, V1_REPAIR, minutes, answer.value / 60) == pytest.approx(q, abs=1e-6)
        else:
            assert takacs(V1_RATE, V1_REPAIR, minutes, 0.0) >= q


def test_a_host_that_is_down_most_of_the_time() -> None:
    """Takacs where the horizon matters: up 3 h, down 5 h, over 10 h; the downtime may reach the horizon."""
    nodes = (
        Node("up", "up", UP, (Branch("down", Exponential(3 * HOUR_S), 1.0, "c"),)),
        Node("down", "down", DOWN, (Branch("up", Exponential(5 * HOUR_S)),)),
    )
    law = Downtime(Solution(Lifecycle("up", nodes, {"c": Budget.SOFTWARE})), None, 10 * HOUR_S)
    for x in (0.5, 3.0, 6.0, 9.0, 9.9):
        truth = 1.0 - takacs(1 / 3, 1 / 5, 10.0, x)
        found = law.exceeds(x * HOUR_S)
        assert abs(found.value - truth) <= found.error
        assert found.value == pytest.approx(truth, abs=1e-6)
    assert law.exceeds(10 * HOUR_S).value == 0.0
    assert law.exceeds(-1.0).value == 1.0


# ---------------------------------------------------------------- V7: jumps


def test_v7_a_year_of_equal_outages() -> None:
    """D <= x just if at most x / 375 s outages begin in T - x of up time."""
    law = Downtime(solution("v7_crash_path_full_reboot"))
    rate = 0.5 / YEAR_S
    for x in (10.0, 374.0, 375.0, 376.0, 750.0, 900.0, 1125.0):
        truth = stats.poisson(rate * (YEAR_S - x)).sf(x // 375)
        assert law.exceeds(x).value == pytest.approx(truth, abs=1e-8)
    assert law.quantile(0.5) == (0.0, 0.0)
    assert law.quantile(0.8) == (375.0, 0.0)
    assert law.quantile(0.99) == (3 * 375.0, 0.0) if stats.poisson(0.5).cdf(2) < 0.99 else (2 * 375.0, 0.0)


# ---------------------------------------------------------------- V2: a falling hazard, other budgets' time


def integral(law: Downtime, to: float, points: int = 120) -> float:
    """The mean of the downtime by Gauss-Legendre over P(D > x), x in pieces that grow."""
    x, w = np.polynomial.legendre.leggauss(6)
    cuts = np.concatenate([[0.0], np.geomspace(to * 1e-5, to, points // 6)])
    half, middle = 0.5 * np.diff(cuts)[:, None], 0.5 * (cuts[1:] + cuts[:-1])[:, None]
    at = (middle + half * x).ravel()
    return math.fsum((half * w).ravel() * np.array([law.exceeds(float(one)).value for one in at]))


def test_v1_mean_from_the_law() -> None:
    assert integral(v1(YEAR_S), 400 * MINUTE_S) == pytest.approx(19.99885851 * MINUTE_S, rel=2e-6)


def test_v2_mean_from_the_law() -> None:
    """Against the renewal equation of the interval solver: E[D] of the first year is above the long run's."""
    found = solution("v2_alternating_renewal")
    mean = integral(Downtime(found), 8700 * HOUR_S, 180)  # one repair in a million lasts for weeks
    assert mean == pytest.approx(Interval(found.life).downtime(YEAR_S), rel=2e-5)
    assert mean > 1.1 * found.unavailability * YEAR_S


def test_v2_against_the_compiled_reader() -> None:
    found = solution("v2_alternating_renewal")
    law, ledger = Downtime(found), years(found.life, 400_000)
    for x in (1e-9, 600.0, 3600.0, 4 * HOUR_S, 10 * HOUR_S, 30 * HOUR_S, 100 * HOUR_S):
        edge = edge_near(x)
        p = law.exceeds(edge)
        assert p.error <= 1e-3
        detects = min(0.01, 0.4 * p.value)
        assert_count(above(ledger.years[""], edge), 400_000, p.value, detects=detects, false_fail=2e-7, what=f"{x} s")


def renewing() -> Lifecycle:
    """Weibull software failures in a race with exponential boards; degraded for a lognormal time after a crash."""
    nodes = (
        Node(
            "up",
            "up",
            UP,
            clocks=(
                Clock("soft", weibull_of_mean(60 * DAY_S, 0.7), "crash", "oops"),
                Clock("hard", Exponential(200 * DAY_S), "board", "board"),
            ),
        ),
        Node("crash", "down", DOWN, (Branch("limping", Uniform(200.0, 900.0), 0.7), Branch("up", Constant(60.0), 0.3))),
        Node(
            "limping",
            "up",
            Service.DEGRADED,
            (Branch("up", LogNormal(5 * DAY_S, 0.5), 0.9), Branch("board", LogNormal(5 * DAY_S, 0.5), 0.1, "oops")),
        ),
        Node("board", "down", DOWN, (Branch("up", LogNormal(4 * HOUR_S, 1.0)),)),
    )
    return Lifecycle("up", nodes, {"oops": Budget.SOFTWARE, "board": Budget.HARDWARE})


@pytest.mark.parametrize("budget", [None, "software", "hardware"])
def test_two_clocks_without_any_exponential_help(budget: str | None) -> None:
    """Several up states, general races, one down node in outages of both budgets."""
    life = renewing()
    law, n = Downtime(Solution(life), budget), 100_000
    ledger = _renewing_years(n)
    mean = ledger.column(f"{budget}_downtime" if budget else "downtime").mean
    sampled = ledger.years["software_" if budget == "software" else ""]
    for x in (1e-9, 500.0, 2000.0, 4 * HOUR_S, 12 * HOUR_S):
        edge = edge_near(x)
        p = law.exceeds(edge)
        assert p.error <= 5e-3
        if budget != "hardware":
            assert_count(above(sampled, edge), n, p.value, detects=0.02, false_fail=2e-7, what=f"{budget} {x} s")
    if budget == "hardware":
        # the ledger keeps no years of hardware: the mean, to five standard errors of a standard deviation near it
        assert integral(law, 400 * HOUR_S, 60) == pytest.approx(mean, rel=0.02)


@cache
def _renewing_years(n: int) -> Ledger:
    return years(renewing(), n)


def test_c4_rejuvenation() -> None:
    """Two up states, outages of 30 min (software) and 20 min (planned): the law, and its mean of 5.966 h in 8640 h."""
    found = solution("c4_rejuvenation")
    law = Downtime(found, None, 8640 * HOUR_S)
    mean = Interval(found.life).downtime(8640 * HOUR_S)
    assert mean / HOUR_S == pytest.approx(5.966105, abs=0.1)  # published: the long run, not a fresh start
    assert integral(law, 16 * HOUR_S) == pytest.approx(mean, rel=1e-5)
    check_software = Downtime(found, "software")
    ledger = years(found.life, 200_000)
    for x in (1e-9, 600.0, 3600.0):
        p = check_software.exceeds(edge_near(x)).value
        count = above(ledger.years["software_"], edge_near(x))
        assert_count(count, 200_000, p, detects=min(0.01, 0.4 * p), false_fail=2e-7)


# ---------------------------------------------------------------- shipped


@pytest.mark.parametrize("strategy", recovery_strategies())
@pytest.mark.parametrize("base", shipped())
def test_every_shipped_base_against_the_compiled_reader(base: str, strategy: str) -> None:
    life = lifecycle(load(base).scenario, strategy)
    check_years(Solution(life), years(life, 300_000), detects=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["rack-server", "v1_two_state", "v2_alternating_renewal", "v10_sum_of_stages"])
def test_ten_million_years(name: str) -> None:
    found = Solution(lifecycle(load(name).scenario, "kdump_kexec")) if name in shipped() else solution(name)
    check_years(found, years(found.life, 10_000_000), detects=0.002)


# ---------------------------------------------------------------- refused, degenerate


def test_a_law_that_jumps_in_the_horizon_is_refused_by_name() -> None:
    nodes = (
        Node("up", "up", UP, (Branch("down", Constant(100.0), 1.0, "c"),)),
        Node("down", "down", DOWN, (Branch("up", Exponential(3.0)),)),
    )
    found = Solution(Lifecycle("up", nodes, {"c": Budget.SOFTWARE}))
    with pytest.raises(NotSolvable, match=r"downtime in 1000 s: two inversions .*\(node 'up' lasts 100 s\)"):
        Downtime(found, None, 1000.0).quantile(0.5)


def test_always_down() -> None:
    """A node that is up for no time at all: the downtime is the horizon."""
    nodes = (
        Node("up", "up", UP, (Branch("down", Constant(0.0), 1.0, "c"),)),
        Node("down", "down", DOWN, (Branch("up", Exponential(3.0)),)),
    )
    law = Downtime(Solution(Lifecycle("up", nodes, {"c": Budget.SOFTWARE})), None, 1000.0)
    assert law.zero == pytest.approx(0.0, abs=1e-12)
    assert law.quantile(0.5).value == 1000.0
    assert law.exceeds(900.0).value == pytest.approx(1.0, abs=1e-9)


def test_no_outages_of_that_budget() -> None:
    law = Downtime(solution("v1_two_state"), "planned")
    assert law.zero == pytest.approx(1.0, abs=1e-9)
    assert law.quantile(0.99) == (0.0, 0.0)
    assert law.exceeds(10.0).value == pytest.approx(0.0, abs=1e-9)
