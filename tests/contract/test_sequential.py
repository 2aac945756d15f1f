"""Runs that go on until they are precise: what they may ask, where they stop, and how often their intervals cover.

Coverage: 360 independent runs to 20 min/y (5.6 %), of a host that is up for exponential(mean 1 y) and down for
exponential(mean 6 h), whose mean downtime is known exactly. A 95 % interval covers it in Binomial(360, 0.95) of them;
the limits are the exact binomial ones at 1e-6, and coverage of 0.825 passes with P < 1e-3. A rule that stops at its
first crossing, from a handful of replications on, does not pass.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ksim.chance.distributions import Constant, Exponential
from ksim.errors import ScenarioError
from ksim.exact.solve import Solution
from ksim.model.lifecycle import Branch, Budget, Clock, Lifecycle, Node, Service
from ksim.study import measures, sequential
from ksim.study.estimate import Estimate
from ksim.study.replicate import Job, Reader, replicate
from ksim.study.sequential import EVIDENCE, FIRST, Missed, Run, Target, judge, until
from ksim.units import DAY_S, HOUR_S, MINUTE_S, YEAR_S
from tests import stat

DOWNTIME = "downtime_min_per_year"


def host(up_s: float = 60 * DAY_S, down_s: float = 6 * HOUR_S) -> Lifecycle:
    up = Node("up", "up", Service.UP, clocks=(Clock("fault", Exponential(up_s), "down", "fault"),))
    down = Node("down", "repair", Service.DOWN, (Branch("up", Exponential(down_s)),))
    return Lifecycle("up", (up, down), {"fault": Budget.SOFTWARE})


def job(seed: int = 1, reader: Reader = "compiled", **lives: Lifecycle) -> Job:
    return Job(lives or {"host": host()}, seed, YEAR_S, 1, reader)


def run(job: Job, text: str, most: int = 10**6, **more) -> Run:
    return until(job, {DOWNTIME: Target.parse(text)}, confidence=0.95, most=most, **more)


# ---------------------------------------------------------------- targets


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("2 %", Target(0.02, "%")),
        ("2%", Target(0.02, "%")),
        ("0.1 min/y", Target(0.1, "min/y")),
        ("5 s", Target(5.0, "s")),
        ("1e-3", Target(1e-3, "1")),
        ("3 /y", Target(3.0, "1/y")),
    ],
)
def test_text(text: str, target: Target) -> None:
    assert Target.parse(text) == target


@pytest.mark.parametrize("text", ["", "%", "-2 %", "0 %", "two", "nan", "inf s", "1e999 s", "2 % s", "9" * 90])
def test_no_precision(text: str) -> None:
    with pytest.raises(ScenarioError, match="not a precision"):
        Target.parse(text)


def test_unit_of_another_measure_is_refused_before_anything_runs() -> None:
    with pytest.raises(ScenarioError, match=r"in 's' does not fit 'downtime_min_per_year', which has the unit 'min/y'"):
        run(job(), "5 s")
    with pytest.raises(ScenarioError, match="has no unit"):
        until(job(), {"availability": Target.parse("5 s")}, confidence=0.95, most=10)
    with pytest.raises(ScenarioError, match="without a unit does not fit"):
        run(job(), "5")


def test_unknown_measure_names_the_nearest() -> None:
    with pytest.raises(ScenarioError, match="did you mean 'downtime_min_per_year'"):
        until(job(), {"downtime_per_year": Target.parse("5 %")}, confidence=0.95, most=10)


def test_units_are_those_of_the_measures_themselves() -> None:
    life = host()
    ledger = replicate(job(host=life)).ledgers["host"]
    known = measures.units(life, YEAR_S)
    for name, found in measures.sampled(ledger, YEAR_S, 0.95):
        assert known[name] == found.unit
    assert known["outage_s_p99"] == "s"
    assert "year_downtime_min_p99" not in measures.units(life, 0.5 * YEAR_S)


# ---------------------------------------------------------------- where it stops


def value_of(found: Run, name: str = "host", measure: str = DOWNTIME) -> Estimate:
    return dict(measures.sampled(found.outcome.ledgers[name], YEAR_S, 0.95))[measure]


@pytest.mark.parametrize(
    ("measure", "text"),
    [
        (DOWNTIME, "3 %"),
        (DOWNTIME, "50 min/y"),
        ("availability", "0.0001"),
        ("outage_s_mean", "4 %"),
        ("outage_s_p95", "900 s"),
        ("year_misses_three_nines", "0.02"),
        ("downtime_min_per_year:cause=fault", "4 %"),
    ],
)
def test_target_is_reached(measure: str, text: str) -> None:
    target = Target.parse(text)
    found = until(job(), {measure: target}, confidence=0.95, most=10**6)
    value = value_of(found, measure=measure)
    assert found.missed == ()
    assert value.half_width is not None
    assert value.half_width <= target.half_width(value.value)


def test_it_is_one_run_of_as_many_replications() -> None:
    first = run(job(), "2 %")
    assert first.replications > FIRST
    whole = replicate(Job({"host": host()}, 1, YEAR_S, first.replications, "compiled"))
    assert first.outcome == whole
    assert run(job(), "2 %", workers=2) == first
    assert run(job(reader="simulated"), "2 %") == first


def test_jobs_that_follow_each_other_merge_to_one() -> None:
    lives = {"a": host(), "b": host(down_s=HOUR_S)}
    for reader in ("simulated", "compiled"):
        whole = replicate(Job(lives, 3, YEAR_S, 700, reader))
        part = replicate(Job(lives, 3, YEAR_S, 200, reader))
        part.merge(replicate(Job(lives, 3, YEAR_S, 500, reader, first=200), workers=2))
        assert part == whole


def stopping_after(rounds: int) -> Callable[[], bool]:
    answers = iter([True] * (rounds - 1) + [False])
    return lambda: next(answers)


def test_budget_stops_it_and_it_goes_on_as_if_nothing_had_been() -> None:
    whole = run(job(), "1 %")
    stopped = run(job(), "1 %", go_on=stopping_after(2))
    assert FIRST < stopped.replications < whole.replications
    ((name, measure, half, wanted, why),) = stopped.missed
    assert (name, measure) == ("host", DOWNTIME)
    assert half is not None
    assert wanted is not None
    assert half > wanted
    assert "times as wide" in why
    before = stopped.replications, value_of(stopped)
    assert run(job(), "1 %", begun=stopped) == whole
    assert (stopped.replications, value_of(stopped)) == before, "the earlier run is as it was"


def test_most_is_the_most() -> None:
    found = run(job(), "0.01 %", most=3000)
    assert (found.replications, len(found.missed)) == (3000, 1)
    assert run(job(), "3 %", most=50).replications == 50


def test_every_lifecycle_has_to_be_precise() -> None:
    alone, rare = run(job(), "5 %"), host(up_s=2 * YEAR_S)
    both = run(job(host=host(), rare=rare), "5 %")
    assert both.replications > alone.replications
    short = run(job(host=host(), rare=rare), "5 %", most=1500)
    assert [miss.lifecycle for miss in short.missed] == ["rare"]


def test_progress_is_seen_up_to_the_most() -> None:
    seen: list[tuple[int, int]] = []
    found = run(job(), "2 %", most=9000, progress=lambda done, of: seen.append((done, of)))
    assert seen[-1] == (found.replications, 9000)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


# ---------------------------------------------------------------- too little data


def test_no_outage_is_no_precision() -> None:
    found = run(job(host=host(up_s=1e7 * YEAR_S)), "1 min/y", most=5000)
    assert found.replications == 5000
    assert found.missed[0].half_width is None
    assert found.missed[0].why == "nothing of the kind was seen"
    found = until(job(host=host(up_s=1e7 * YEAR_S)), {"availability": Target(0.5, "1")}, confidence=0.95, most=5000)
    assert found.missed[0].why == "nothing of the kind was seen"


def test_few_outages_stop_nothing_however_short_the_interval() -> None:
    life = host(up_s=1000 * YEAR_S, down_s=MINUTE_S)
    found = run(job(host=life), "1 min/y", most=5000)
    assert [miss.measure for miss in found.missed] == [DOWNTIME]
    assert value_of(found).half_width < 0.01, "which is far shorter than was asked for"


def test_means_need_evidence_and_proportions_do_not() -> None:
    def judged(measure: str, value: float, half: float | None, n: int = 10**5) -> str:
        miss = judge("x", measure, Estimate(value, half, 0.95, n, "1", "simulated"), Target(0.5, "1"))
        return miss.why if miss else ""

    limit = 1.959964 / EVIDENCE**0.5
    assert judged("outages_per_year", 1.0, 1.001 * limit) == "1 times as wide"
    assert judged("outages_per_year", 1.0, 0.999 * limit) == ""
    assert judged("availability", 0.9, 0.2 * limit) == "2 times as wide"
    assert judged("availability", 0.9, 0.09 * limit) == ""
    assert judged("outage_s_mean", 1.0, 1e-9, n=500) == "too few to tell: 500"
    assert judged("outage_s_mean", 1.0, None, n=5) == "too few to tell: 5"
    assert judged("vmcore_captured", 0.0, 0.1) == ""
    assert judged("outage_s_p99", 1.0, 0.4) == ""
    assert judge("x", "outage_s_mean", None, Target(0.5, "1")).why == "nothing of the kind was seen"  # type: ignore[union-attr]


# ---------------------------------------------------------------- coverage

RUNS, SHORT_S = 360, 0.4 * YEAR_S


def covered() -> int:
    life = host(up_s=YEAR_S)
    truth = Solution(life).downtime_s(SHORT_S) * YEAR_S / SHORT_S / MINUTE_S
    hits = 0
    for seed in range(RUNS):
        found = run(Job({"host": life}, seed, SHORT_S, 1, "compiled"), "20 min/y")
        value = dict(measures.sampled(found.outcome.ledgers["host"], SHORT_S, 0.95))[DOWNTIME]
        assert found.missed == ()
        assert value.half_width is not None
        hits += abs(value.value - truth) <= value.half_width
    return hits


def check(hits: int) -> None:
    stat.assert_count(hits, RUNS, 0.95, detects=0.125, what="coverage of the stopped interval")


@pytest.mark.slow
def test_coverage_is_what_it_says() -> None:
    check(covered())


@pytest.mark.slow
def test_mutant_stopping_at_the_first_crossing_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chow and Robbins without a first stage, judged from 4 replications on, and whatever was seen in them."""
    monkeypatch.setattr(sequential, "FIRST", 4)
    monkeypatch.setattr(sequential, "MOST", 8.0)
    monkeypatch.setattr(sequential, "judge", first_crossing)
    with stat.uncharged(), pytest.raises(AssertionError, match="coverage"):
        check(covered())


def first_crossing(lifecycle: str, measure: str, found: Estimate, target: Target) -> Missed | None:
    assert found.half_width is not None
    wanted = target.half_width(found.value)
    return Missed(lifecycle, measure, found.half_width, wanted, "wide") if found.half_width > wanted else None


def test_law_of_the_host_is_the_one_that_is_tested() -> None:
    """A constant in the place of the exponential repair would leave the mean and halve the variance."""
    assert host()["down"].branches[0].dwell == Exponential(6 * HOUR_S) != Constant(6 * HOUR_S)
