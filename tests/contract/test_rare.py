"""Rare events against the exact reader: no bias moves the mean, the intervals cover, and plain sampling loses.

Each comparison with an exact value allows 4.9 standard errors (P(false alarm) 1e-6, paid to the suite's budget), and
first demands that a standard error is small enough to see an error of ``SEEN`` of the value with P > 0.999.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest

from ksim.chance.distributions import Constant, Exponential, Law, LogNormal
from ksim.errors import KsimError, ScenarioError
from ksim.exact.solve import Solution
from ksim.model.lifecycle import Branch, Budget, Clock, Lifecycle, Node, Service
from ksim.study import biased as biased_module
from ksim.study import rare as rare_module
from ksim.study.biased import PLAIN, Biased, Density
from ksim.study.pilot import exploring, pilot
from ksim.study.questions import BadYear, Question, RareEvent
from ksim.study.rare import Rare, gamma_half_width, rare
from ksim.units import DAY_S, HOUR_S, MINUTE_S, YEAR_S
from tests import stat

LIMIT, POWER = stat.z(1 - 0.5e-6), stat.z(0.999)
SEEN = 0.45


def host(up_s: float, down: Law) -> Lifecycle:
    up = Node("up", "up", Service.UP, clocks=(Clock("fault", Exponential(up_s), "down", "fault"),))
    return Lifecycle(
        "up", (up, Node("down", "repair", Service.DOWN, (Branch("up", down),))), {"fault": Budget.SOFTWARE}
    )


def crashing(p: float = 1e-4, board_s: float = 1e4 * YEAR_S) -> Lifecycle:
    """Panics whose capture fails with probability p, and a board that hardly ever dies and is repaired for days."""
    clocks = (
        Clock("oops", Exponential(YEAR_S / 4), "panic", "oops"),
        Clock("board", Exponential(board_s), "dead", "board"),
    )
    return Lifecycle(
        "up",
        (
            Node("up", "up", Service.UP, clocks=clocks),
            Node(
                "panic",
                "panic",
                Service.DOWN,
                (Branch("saved", Exponential(60.0), 1.0 - p), Branch("lost", Constant(10.0), p)),
                event="panic",
            ),
            Node("saved", "boot", Service.DOWN, (Branch("up", Exponential(300.0)),), event="vmcore"),
            Node(
                "lost",
                "boot",
                Service.DOWN,
                (Branch("up", Exponential(300.0), 0.7), Branch("panic", Constant(5.0), 0.3)),
            ),
            Node("dead", "repair", Service.DOWN, (Branch("up", LogNormal(2 * DAY_S, 1.0)),)),
        ),
        {"oops": Budget.SOFTWARE, "board": Budget.HARDWARE},
    )


MANY = host(YEAR_S, Exponential(6 * HOUR_S))
CASES: dict[str, tuple[Lifecycle, Question]] = {
    "many outages in one year": (MANY, BadYear(60 * HOUR_S)),
    "one long outage": (host(100 * YEAR_S, LogNormal(4 * HOUR_S, 1.0)), BadYear(2 * DAY_S)),
    "a slow clock": (crashing(), BadYear(4 * DAY_S)),
    "the same, of one budget": (crashing(), BadYear(4 * DAY_S, "hardware")),
    "software alone": (crashing(), BadYear(2 * HOUR_S, "software")),
    "a rare branch": (crashing(), RareEvent("lost")),
    "the share of panics without vmcore": (crashing(), RareEvent("panic", "vmcore", "panic")),
    "a slow clock, entered": (crashing(), RareEvent("dead")),
}


@cache
def found(name: str, seed: int = 1, workers: int = 1) -> Rare:
    life, question = CASES[name]
    return rare(life, question, seed=seed, paths=6000, workers=workers)


def check(result: Rare, truth: float) -> None:
    assert result.estimate.half_width is not None
    error = result.estimate.half_width / 1.96
    if (LIMIT + POWER) * error > SEEN * max(truth, result.estimate.value):
        raise stat.Underpowered(f"{result.measure}: standard error {error:.2g} of {truth:.2g}")
    stat.BUDGET.spend(1e-6)
    score = (result.estimate.value - truth) / error
    assert abs(score) <= LIMIT, f"{result.measure}: {result.estimate.value:.4g}, exactly {truth:.4g}: z = {score:.1f}"


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_it_is_the_exact_value(name: str) -> None:
    life, question = CASES[name]
    result = found(name)
    check(result, question.exactly(Solution(life)))
    assert result.estimate.method == "importance sampling"
    assert result.estimate.unit == question.unit
    assert result.reduction is not None
    assert result.reduction > 10.0, "which is what it is for"


@pytest.mark.slow
def test_mutant_without_the_likelihood_ratio_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    life, question = CASES["a rare branch"]
    learned = pilot(life, question, 1)
    monkeypatch.setattr(rare_module, "pilot", lambda *_: learned)
    monkeypatch.setattr(rare_module, "WORTH", 0.0)
    monkeypatch.setattr(Biased, "weight", property(lambda self: 1.0))
    with stat.uncharged(), pytest.raises(AssertionError, match="exactly"):
        check(rare(life, question, seed=1, paths=6000), question.exactly(Solution(life)))


@pytest.mark.slow
def test_reduction_is_what_repetition_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    """30 runs under one bias: their variance over the one that plain sampling has by theory, in as many steps.

    A sample variance of 30 is within a factor of 5.4 of the true one with P > 1 - 1e-6 (chi-square with 29 degrees).
    """
    life, question = CASES["many outages in one year"]
    learned = pilot(life, question, 1)
    monkeypatch.setattr(rare_module, "pilot", lambda *_: learned)
    monkeypatch.setattr(rare_module, "TRIAL", 200)
    runs = [rare(life, question, seed=seed, paths=500) for seed in range(30)]
    values = [run.estimate.value for run in runs]
    p = question.exactly(Solution(life))
    steps_of_a_year = 1.0 + 2.0 * YEAR_S / (YEAR_S + 6 * HOUR_S)
    shown = [p * (1.0 - p) * steps_of_a_year / run.steps / float(np.var(values, ddof=1)) for run in runs]
    ratio = np.median([run.reduction / one for run, one in zip(runs, shown, strict=True)])
    stat.BUDGET.spend(1e-6)
    assert 1 / 5.4 < ratio < 5.4


# ---------------------------------------------------------------- unbiased, whatever the bias


@pytest.mark.parametrize("life", [MANY, crashing(0.2, YEAR_S)], ids=["host", "crashing"])
def test_paths_count_for_one_on_average_whatever_the_bias(life: Lifecycle) -> None:
    """The mean of the weights is 1 under a bias that has nothing to do with any question."""
    walker = Biased(life, 7, "test", exploring(life, YEAR_S))
    follow = BadYear(DAY_S).asked(life.layout)
    weights = []
    for number in range(8000):
        follow(walker.steps(number))
        weights.append(walker.weight)
    assert max(weights) <= 1.0 / PLAIN
    assert min(weights) < 0.5
    sd = float(np.std(weights, ddof=1))
    stat.assert_mean(weights, 1.0, sd, detects=0.15)


def test_density_draws_what_it_says() -> None:
    density = Density((0.0, 0.1, 0.7, 1.0), (4.0, 0.5, 1.0))
    v = (np.arange(10_000) + 0.5) / 10_000
    u = density.quantile(v)
    assert np.all(np.diff(u) > 0.0)
    assert np.bincount(density.bins(u)).tolist() == [4000, 3000, 3000]
    assert density.quantile(np.array([0.0, 0.2, 0.4, 0.7, 1.0 - 2.0**-53])) == pytest.approx([0.0, 0.05, 0.1, 0.7, 1.0])
    assert density.quantile(np.array([1.0 - 2.0**-53]))[0] < 1.0


def test_first_round_looks_everywhere() -> None:
    life = crashing(1e-9, 1e9 * YEAR_S)
    for name, density in exploring(life, YEAR_S).items():
        masses = np.diff(density.edges) * np.array(density.ratio)
        assert masses.sum() == pytest.approx(1.0)
        assert masses.min() > 0.3 / len(masses) * 0.999, name
    assert exploring(life, YEAR_S)["clock board"].edges[1] < 1e-10
    assert exploring(life, YEAR_S)["branch panic"].edges == (0.0, 1.0 - 1e-9, 1.0)


def test_extremely_rare_is_still_found() -> None:
    life, question = crashing(1e-9, 1e9 * YEAR_S), RareEvent("panic", "vmcore", "panic")
    result = rare(life, question, seed=2, paths=6000)
    check(result, question.exactly(Solution(life)))
    assert result.reduction is not None
    assert result.reduction > 1e5


# ---------------------------------------------------------------- intervals


@pytest.mark.slow
def test_interval_covers(monkeypatch: pytest.MonkeyPatch) -> None:
    """270 runs of 300 paths under one bias: Binomial(270, 0.95), and 0.8 passes with P < 1e-3."""
    life, question = CASES["many outages in one year"]
    truth, learned = question.exactly(Solution(life)), pilot(life, question, 1)
    assert learned.bias
    monkeypatch.setattr(rare_module, "pilot", lambda *_: learned)
    monkeypatch.setattr(rare_module, "TRIAL", 200)
    hits = 0
    for seed in range(270):
        one = rare(life, question, seed=seed, paths=300).estimate
        assert one.half_width is not None
        hits += abs(one.value - truth) <= one.half_width
    stat.assert_count(hits, 270, 0.95, detects=0.15, what="coverage of rare")


def test_nothing_hit_is_said_and_bounded() -> None:
    life = host(10 * YEAR_S, Constant(MINUTE_S))
    result = rare(life, BadYear(8 * HOUR_S), seed=1, paths=1000)
    estimate = result.estimate
    assert (estimate.value, result.hits, result.reduction) == (0.0, 0, None)
    assert estimate.half_width == pytest.approx(math.log(40.0) / 1000, rel=1e-9), "-log(0.025) / n: the rule of three"
    assert "none of 1000 paths had it" in result.note
    assert estimate.method == "plain sampling"


def test_nothing_hit_of_a_ratio_is_bounded_too() -> None:
    result = rare(crashing(0.0), RareEvent("panic", "vmcore"), seed=1, paths=1000)
    assert result.estimate.value == 0.0
    assert result.estimate.half_width is not None
    assert result.estimate.half_width > math.log(40.0) / 1000 * 4.0, "per year, at about four cycles a year"


def test_gamma_interval_of_plain_counts_is_the_exact_poisson_one() -> None:
    from scipy.stats import chi2

    for k in (1, 5, 40):
        low, high = chi2.ppf(0.025, 2 * k) / 2, chi2.ppf(0.975, 2 * k + 2) / 2
        assert gamma_half_width(k, k, 1.0, 0.95) == pytest.approx(max(high - k, k - low))


# ---------------------------------------------------------------- draws, refusals


@pytest.mark.slow
def test_neither_workers_nor_order_matter() -> None:
    assert found("a rare branch", workers=2) == found("a rare branch")
    assert found("a rare branch", seed=2).estimate.value != found("a rare branch").estimate.value


@pytest.mark.parametrize(
    ("question", "text"),
    [
        (RareEvent("vmcor"), "did you mean 'vmcore'"),
        (RareEvent("panic", "lots"), "'lots' is no event and no node"),
        (BadYear(2 * YEAR_S), "out of question"),
        (BadYear(-1.0), "out of question"),
        (BadYear(HOUR_S, "planned"), "no planned outages"),
    ],
)
def test_refused(question: Question, text: str) -> None:
    with pytest.raises(ScenarioError, match=text):
        rare(crashing(), question, seed=1, paths=1000)


def test_too_few_paths_and_too_long_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ScenarioError, match="too few"):
        rare(crashing(), RareEvent("lost"), seed=1, paths=99)
    monkeypatch.setattr(biased_module, "MOST_STEPS", 200)
    with pytest.raises(KsimError, match="more than 200 steps"):
        rare(host(HOUR_S, Exponential(60.0)), BadYear(9 * DAY_S), seed=1, paths=100)
    with pytest.raises(KsimError, match="nothing that it could be divided by"):
        rare(crashing(), RareEvent("panic", per="dead"), seed=1, paths=200)


def test_names_of_measures() -> None:
    assert BadYear(90 * MINUTE_S).measure == "year_downtime_over_90_min"
    assert BadYear(90.0, "software").measure == "software_year_downtime_over_1.5_min"
    assert RareEvent("panic", "vmcore").measure == "panic_without_vmcore_per_year"
    assert RareEvent("panic", "vmcore", "panic").measure == "panic_without_vmcore_per_panic"
