"""Estimates against scipy, and intervals against the truth: how often do they cover what they should?

The coverage test runs 400 independent studies of a two-state host, up for exponential(mean 10 d), down for
exponential(mean 6 h), whose every measure is known in closed form. A 95 % interval that is right covers the truth in
Binomial(400, 0.95) of them; the count must lie above the exact lower binomial limit at 1e-6 (and, for the t
interval, below the upper one: an interval that always covers is too wide). False alarms are paid to the suite's
budget. What the lower limit can see: coverage of 0.83 or less passes with P < 1e-3.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest
from scipy import stats

from ksim.chance.distributions import Exponential
from ksim.errors import ScenarioError
from ksim.evidence.sums import Histogram, Moments
from ksim.exact.solve import Solution
from ksim.model.compose import lifecycle
from ksim.model.lifecycle import Branch, Budget, Clock, Lifecycle, Node, Service
from ksim.model.loader import load
from ksim.study import compare, estimate, measures
from ksim.study.estimate import Estimate
from ksim.study.replicate import Job, Outcome, replicate
from ksim.units import DAY_S, HOUR_S, MINUTE_S, YEAR_S
from tests import stat

# ---------------------------------------------------------------- against scipy


def moments_of(x: list[float], y: list[float] | None = None) -> Moments:
    found = Moments()
    for i, value in enumerate(x):
        found.add(value, y[i] if y else 0.0)
    return found


SAMPLE = [round(v * 2**20) / 2**20 for v in np.random.Generator(np.random.Philox(1)).lognormal(3.0, 1.0, 50).tolist()]


@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.95, 0.99, 0.999999])
@pytest.mark.parametrize("n", [2, 3, 10, 50])
def test_mean_is_students_interval(n: int, confidence: float) -> None:
    x = SAMPLE[:n]
    found = estimate.mean(moments_of(x), 60.0, "s", confidence)
    low, high = stats.t.interval(confidence, n - 1, loc=np.mean(x), scale=stats.sem(x))
    assert found.value == pytest.approx(60.0 * np.mean(x), rel=1e-12)
    assert found.half_width == pytest.approx(60.0 * (high - low) / 2, rel=1e-9)
    assert (found.n, found.confidence, found.unit) == (n, confidence, "s")


def test_one_replication_has_no_interval() -> None:
    found = estimate.mean(moments_of([3.0]), 1.0, "s", 0.95)
    assert (found.value, found.half_width, found.n) == (3.0, None, 1)


def test_a_constant_has_an_interval_of_zero() -> None:
    found = estimate.mean(moments_of([0.1] * 7), 1.0, "s", 0.95)
    assert found.half_width == 0.0


@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_ratio_is_the_delta_method(confidence: float) -> None:
    counts = [float(1 + i % 3) for i in range(50)]
    found = estimate.ratio(moments_of(SAMPLE, counts), "s", confidence)
    assert found is not None
    x, y = np.array(SAMPLE), np.array(counts)
    r = x.sum() / y.sum()
    spread = np.std(x - r * y, ddof=1) / y.mean() / math.sqrt(50)
    assert found.value == pytest.approx(r, rel=1e-12)
    assert found.half_width == pytest.approx(stats.t.ppf(0.5 + confidence / 2, 49) * spread, rel=1e-9)
    assert found.n == sum(counts)


def test_ratio_says_when_it_knows_too_little() -> None:
    assert estimate.ratio(moments_of([1.0, 2.0], [0.0, 0.0]), "s", 0.95) is None
    few = estimate.ratio(moments_of([10.0, 20.0], [4.0, 5.0]), "s", 0.95)
    assert few is not None
    assert few.half_width is None
    enough = estimate.ratio(moments_of([10.0, 20.0], [5.0, 5.0]), "s", 0.95)
    assert enough is not None
    assert enough.half_width is not None
    single = estimate.ratio(moments_of([10.0], [50.0]), "s", 0.95)
    assert single is not None
    assert single.half_width is None


@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.999])
@pytest.mark.parametrize(("k", "n"), [(0, 1), (1, 1), (0, 20), (3, 20), (10, 20), (20, 20), (999, 1000)])
def test_proportion_is_wilsons_by_its_longer_arm(k: int, n: int, confidence: float) -> None:
    found = estimate.proportion(k, n, confidence)
    assert found is not None
    limits = stats.binomtest(k, n).proportion_ci(confidence, method="wilson")
    assert found.value == k / n
    assert found.half_width == pytest.approx(max(limits.high - k / n, k / n - limits.low), rel=1e-9)
    assert found.n == n


def test_proportion_of_nothing() -> None:
    assert estimate.proportion(0, 0, 0.95) is None


@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.99])
@pytest.mark.parametrize("q", [0.5, 0.95, 0.99])
@pytest.mark.parametrize("n", [1, 2, 5, 6, 58, 59, 100, 459, 1000])
def test_ranks_of_a_quantile_are_the_tightest_that_cover(n: int, q: float, confidence: float) -> None:
    """X_(low) exceeds the quantile with P(Binomial(n, q) < low), X_(high) falls short with P(Binomial >= high)."""
    low, high = estimate._ranks(n, q, confidence)
    tail = (1.0 - confidence) / 2.0
    count = stats.binom(n, q)
    assert low == 0 or count.cdf(low - 1) <= tail
    assert count.cdf(low) > tail, "a higher lower rank would do"
    assert high == n + 1 or count.sf(high - 1) <= tail
    assert high == 1 or count.sf(high - 2) > tail, "a lower upper rank would do"
    if low >= 1 and high <= n:
        assert count.cdf(high - 1) - count.cdf(low - 1) >= confidence


def test_quantile_reads_order_statistics() -> None:
    lengths = Histogram.empty()
    for value in range(1, 101):
        lengths.add(float(value))
    found = estimate.quantile(lengths, 0.5, "s", 0.95)
    assert found is not None
    ci = stats.quantile_test(list(range(1, 101)), p=0.5).confidence_interval(0.95)
    assert found.value == pytest.approx(50.0, rel=1e-3)
    assert found.half_width == pytest.approx(max(ci.high - 50.0, 50.0 - ci.low), rel=0.02)
    tail = estimate.quantile(lengths, 0.99, "s", 0.95)
    assert tail is not None
    assert tail.half_width is None, "100 values say nothing about the upper limit of p99"
    assert estimate.quantile(Histogram.empty(), 0.5, "s", 0.95) is None


def test_exact_values_have_no_error() -> None:
    assert estimate.exact(3.0, "s") == Estimate(3.0, 0.0, 1.0, 0, "s", "exact")


# ---------------------------------------------------------------- coverage

STUDIES, REPLICATIONS, HORIZON_S = 400, 40, 0.5 * YEAR_S
UP_S, DOWN_S, P_VMCORE = 10 * DAY_S, 6 * HOUR_S, 0.9
CONFIDENCE = 0.95


def two_states() -> Lifecycle:
    """Up, then one of two panics that differ only in whether a vmcore is saved, both as long as the other."""
    fails = (Clock("fault", Exponential(UP_S), "panic", "f"),)
    dumps = (Branch("saved", Exponential(1e-3), P_VMCORE), Branch("up", Exponential(DOWN_S), 1 - P_VMCORE))
    return Lifecycle(
        "up",
        (
            Node("up", "up", Service.UP, clocks=fails),
            Node("panic", "panic", Service.DOWN, branches=dumps, event="panic"),
            Node("saved", "saved", Service.DOWN, branches=(Branch("up", Exponential(DOWN_S)),), event="vmcore"),
        ),
        {"f": Budget.SOFTWARE},
    )


def downtime_s(horizon_s: float) -> float:
    """Expected downtime of a two-state Markov process that starts up: u h - (u / (l + m)) (1 - exp(-(l + m) h))."""
    fail, repair = 1 / UP_S, 1 / DOWN_S
    share, speed = fail / (fail + repair), fail + repair
    return share * horizon_s - share / speed * (1 - math.exp(-speed * horizon_s))


@cache
def studies() -> list[dict[str, Estimate]]:
    found = []
    life = two_states()
    for seed in range(STUDIES):
        outcome = replicate(Job({"own": life}, seed, HORIZON_S, REPLICATIONS))
        found.append(dict(measures.sampled(outcome.ledgers["own"], HORIZON_S, CONFIDENCE)))
    return found


TRUTH = {
    "downtime_min_in_horizon": downtime_s(HORIZON_S) / MINUTE_S,
    "availability": 1 - downtime_s(HORIZON_S) / HORIZON_S,
    "outage_s_mean": DOWN_S,
    "software_outage_s_mean": DOWN_S,
    "vmcore_captured": P_VMCORE,
    "outage_s_p50": DOWN_S * math.log(2),
    "outage_s_p95": DOWN_S * math.log(20),
}
FEWEST, MOST = stat.count_limits(STUDIES, CONFIDENCE, stat.FALSE_FAIL)


def test_the_coverage_test_could_fail() -> None:
    assert stats.binom(STUDIES, 0.83).sf(FEWEST - 1) < 1e-3
    assert MOST < STUDIES


@pytest.mark.parametrize("measure", TRUTH)
def test_intervals_cover_the_truth_as_often_as_they_say(measure: str) -> None:
    # half a year holds 18 outages: those cut off by the horizon are the long ones, but they are 6 h of 10 d
    stat.BUDGET.spend(stat.FALSE_FAIL)
    covered = 0
    for study in studies():
        found = study[measure]
        assert found.half_width is not None
        # the dwell of "panic" before the dump is 1 ms; the bins of the histogram are 1e-3 wide
        covered += abs(found.value - TRUTH[measure]) <= found.half_width + 1e-3 * TRUTH[measure] * ("_p" in measure)
    assert covered >= FEWEST, f"{measure}: {covered} of {STUDIES} intervals cover {TRUTH[measure]:g}"
    if measure in ("downtime_min_in_horizon", "availability", "outage_s_mean"):
        assert covered <= MOST, f"{measure}: {covered} of {STUDIES}: the interval is too wide"


def test_the_exact_reader_knows_the_same_truth() -> None:
    life = two_states()
    exact = dict(measures.exact(Solution(life), HORIZON_S))
    assert exact["downtime_min_in_horizon"].value == pytest.approx(TRUTH["downtime_min_in_horizon"], rel=1e-6)
    assert exact["outage_s_mean"].value == pytest.approx(DOWN_S, rel=1e-6)
    assert exact["vmcore_captured"].value == pytest.approx(P_VMCORE, rel=1e-12)


def test_a_wrong_truth_is_not_covered() -> None:
    """Negative control: half-widths that are standard errors would pass if the test were blind."""
    covered = sum(
        abs(study["outage_s_mean"].value - DOWN_S) <= (study["outage_s_mean"].half_width or 0.0) / 2.02
        for study in studies()
    )
    assert covered < FEWEST


# ---------------------------------------------------------------- paired differences

COMPARED = ("full_reboot", "kexec_reboot")
DIFFERENCE = "software_downtime_min_per_year_difference"
FAST = ("horizon=5 y", "replications=400", "faults.kernel_oops.rate=20 /y", "recovery.operator=30 min")


def outcome_of(seed: int) -> tuple[Outcome, dict[str, Lifecycle], float]:
    scenario = load("rack-server", FAST, seed=seed).scenario
    lives = {name: lifecycle(scenario, name) for name in COMPARED}
    job = Job(lives, scenario.seed, scenario.horizon, scenario.replications)
    return replicate(job), lives, scenario.horizon


def test_common_draws_make_differences_sharper_and_stay_unbiased() -> None:
    outcome, lives, horizon = outcome_of(1)
    other, _, _ = outcome_of(2)
    n = outcome.ledgers["full_reboot"].replications
    paired = outcome.differences["kexec_reboot", "software_downtime"].variance
    apart = (
        outcome.ledgers["full_reboot"].column("software_downtime").variance
        + other.ledgers["kexec_reboot"].column("software_downtime").variance
    )
    assert paired < 0.7 * apart, "the faults of both strategies are the same, so most of the chance cancels"
    truth = [Solution(life).downtime_by_cause() for life in lives.values()]
    of_software = [
        math.fsum(math.fsum(by[c].values()) for c in by if lives["full_reboot"].budgets[c] is Budget.SOFTWARE)
        for by in truth
    ]
    expected = (of_software[1] - of_software[0]) * horizon
    # started up, not in the long run: the difference of the first cycle is of the order of one outage, 1 / 100 of this
    found = outcome.differences["kexec_reboot", "software_downtime"]
    assert found.mean < 0.0
    error = math.sqrt(found.variance / n)
    assert expected / found.mean == pytest.approx(
        1.0, abs=0.01 + stat.z(1 - stat.FALSE_FAIL / 2) * error / abs(found.mean)
    )
    stat.BUDGET.spend(stat.FALSE_FAIL)


def test_the_rows_of_a_comparison_carry_the_paired_interval() -> None:
    loaded = load("rack-server", FAST, seed=1)
    found = compare.compare(loaded, COMPARED, engine="simulated").rows
    rows = {(r["strategy"], r["measure"], r["method"]): r for r in found}
    row = rows["kexec_reboot", DIFFERENCE, "simulated, paired"]
    own = [rows[name, "software_downtime_min_per_year", "simulated"] for name in COMPARED]
    assert row["baseline"] == "full_reboot"
    assert row["estimate"] == pytest.approx(own[1]["estimate"] - own[0]["estimate"], rel=1e-9)
    assert 0.0 < row["half_width"] < math.hypot(own[0]["half_width"], own[1]["half_width"])
    exact = rows["kexec_reboot", DIFFERENCE, "exact"]
    values = [rows[name, "software_downtime_min_per_year", "exact"]["estimate"] for name in COMPARED]
    assert exact["estimate"] == pytest.approx(values[1] - values[0], rel=1e-12)


def test_a_strategy_against_one_of_the_same_behaviour_differs_by_exactly_nothing() -> None:
    loaded = load("vm", ["replications=30"])
    rows = compare.compare(loaded, ("auto", "kdump")).rows  # a vm of 4 GB loads a crash kernel: auto is kdump
    values = [r for r in rows if r["measure"].endswith("_difference")]
    assert values
    assert all(r["estimate"] == 0.0 and r["half_width"] == 0.0 for r in values)


# ---------------------------------------------------------------- too little, too much


def test_one_short_replication_reports_what_it_can() -> None:
    rows = compare.run(load("vm", ["replications=1", "horizon=1 s"]), engine="simulated").rows
    simulated = {r["measure"]: r for r in rows if r["method"] == "simulated"}
    assert simulated["availability"]["estimate"] == 1.0
    assert simulated["availability"]["half_width"] is None
    assert "outage_s_mean" not in simulated, "no outage, no mean of outages"
    assert "vmcore_captured" not in simulated


@pytest.mark.parametrize("rate", ["1 /s", "0.5 /min"])
def test_endless_replications_are_refused_at_once(rate: str) -> None:
    with pytest.raises(ScenarioError, match="steps"):
        compare.run(load("vm", [f"faults.host_pause.rate={rate}", "horizon=1000 y"]))


def test_run_keys_change_what_is_simulated() -> None:
    def row(*overrides: str, measure: str = "downtime_min_per_year") -> dict[str, object]:
        rows = compare.run(load("rack-server", ["replications=200", *overrides]), engine="simulated").rows
        return next(r for r in rows if r["measure"] == measure and r["method"] == "simulated")

    start = row()
    assert row() == start, "same seed, same row"
    assert row("seed=8")["estimate"] != start["estimate"]
    assert row("replications=800")["n"] == 800
    assert row("replications=800")["half_width"] < start["half_width"]  # type: ignore[operator]
    assert row("confidence=0.99")["half_width"] > start["half_width"]  # type: ignore[operator]
    assert row("confidence=0.99")["estimate"] == start["estimate"]
    longer = row("horizon=40 y", measure="downtime_min_in_horizon")
    assert longer["estimate"] > 2 * row(measure="downtime_min_in_horizon")["estimate"]  # type: ignore[operator]
    assert row("name=other")["estimate"] == start["estimate"], "a name is no part of the draws"
