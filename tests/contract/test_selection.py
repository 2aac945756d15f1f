"""Selection of the best: how often it is the best, what common random numbers save, and what it refuses.

The probability of correct selection is guaranteed for normal observations, and tested on those, in the worst case that
the guarantee is for (all others worse by just the indifference zone): of 1200 selections among four, each right with
P >= 0.9, no fewer may be right than the exact binomial limit at 1e-6; right in 0.81 passes with P < 1e-3.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from ksim.chance.distributions import Exponential
from ksim.errors import ScenarioError
from ksim.exact.solve import Solution
from ksim.model.lifecycle import Branch, Budget, Clock, Lifecycle, Node, Service
from ksim.study import measures
from ksim.study.replicate import Job, replicate
from ksim.study.selection import BATCH, STAGE, Race, Selection, select
from ksim.units import HOUR_S, MINUTE_S, YEAR_S
from tests import stat

DOWNTIME = "downtime_min_per_year"

# ---------------------------------------------------------------- the guarantee

NAMES, P, DELTA, RUNS = ("best", "b", "c", "d"), 0.9, 0.25, 1200


def right(kind: type[Race]) -> int:
    """Selections that are right, of correlated normal observations."""
    found = 0
    for seed in range(RUNS):
        draw = np.random.Generator(np.random.Philox(key=seed))
        race = kind(NAMES, P, DELTA, 10)
        while len(race.left) > 1:
            common = 3.0 * draw.standard_normal()
            own = draw.standard_normal(4) * (0.5**0.5)
            race.enter(
                {name: common + x + (name != "best") * DELTA for name, x in zip(NAMES, own.tolist(), strict=True)}
            )
        found += race.left == ["best"]
    return found


def check(found: int) -> None:
    stat.BUDGET.spend(1e-6)
    low, _ = stat.count_limits(RUNS, P, 2e-6)
    assert stats.binom(RUNS, 0.81).sf(low - 1) < 1e-3, "or it would see nothing"
    assert found >= low, f"{found} of {RUNS} selections are right, expected at least {low}"


@pytest.mark.slow
def test_best_is_selected_as_often_as_promised() -> None:
    check(right(Race))


class Impatient(Race):
    """Mutant: whoever is behind after the first stage is dropped."""

    def room(self, one: str, other: str) -> float:
        return 0.0


class Narrow(Race):
    """Mutant: a twentieth of the variance that the differences have."""

    def room(self, one: str, other: str) -> float:
        return max(0.0, (0.05 * self._hh * self._variances[one, other] / self._delta - self._delta * self.r) / 2.0)


@pytest.mark.parametrize("mutant", [Impatient, Narrow])
def test_mutant_is_killed(mutant: type[Race]) -> None:
    with stat.uncharged(), pytest.raises(AssertionError, match="selections are right"):
        check(right(mutant))


# ---------------------------------------------------------------- of lifecycles


def host(down_s: float, name: str = "down", up_s: float = YEAR_S / 20) -> Lifecycle:
    up = Node("up", "up", Service.UP, clocks=(Clock("fault", Exponential(up_s), name, "fault"),))
    down = Node(name, "repair", Service.DOWN, (Branch("up", Exponential(down_s)),))
    return Lifecycle("up", (up, down), {"fault": Budget.SOFTWARE})


HOSTS = {"slow": host(1.3 * HOUR_S), "fast": host(HOUR_S), "slower": host(1.6 * HOUR_S)}


def job(lives: dict[str, Lifecycle] | None = None, reader="compiled", seed: int = 3) -> Job:
    return Job(lives or HOSTS, seed, YEAR_S, 1, reader)


def sampled(measure: str = DOWNTIME, **more) -> Selection:
    given = {"indifference": 60.0, "try_exact": False, **more}
    return select(given.pop("job", job()), measure, **given)


def test_exact_values_need_no_sampling() -> None:
    found = select(job(), DOWNTIME, indifference=1.0)
    assert (found.winner, found.survivors, found.replications, found.method) == ("fast", ("fast",), 0, "exact")
    for name, life in HOSTS.items():
        assert found.means[name] == pytest.approx(Solution(life).unavailability * YEAR_S / MINUTE_S, rel=1e-12)
    assert select(job(), DOWNTIME, lowest=False, indifference=1.0).winner == "slower"
    assert select(job(), "availability", lowest=False, indifference=1e-5).winner == "fast"


def test_sampled_winner_is_the_exact_one() -> None:
    found = sampled()
    assert (found.winner, found.survivors) == ("fast", ("fast",))
    assert set(found.dropped) == {"slow", "slower"}
    exact = {name: dict(measures.exact(Solution(life), YEAR_S))[DOWNTIME].value for name, life in HOSTS.items()}
    assert found.means == pytest.approx(exact, rel=0.05)
    assert sampled(lowest=False).winner == "slower"
    best = sampled("availability", lowest=False, indifference=1e-4)
    assert best.winner == "fast"
    assert best.means["fast"] == pytest.approx(1.0 - exact["fast"] * MINUTE_S / YEAR_S, rel=1e-5)


def test_replications_are_counted_up_to_the_decision() -> None:
    found = sampled()
    of_winner = max(found.dropped.values())
    assert found.replications == sum(found.dropped.values()) + of_winner
    assert min(found.dropped.values()) >= STAGE * BATCH


def test_neither_reader_nor_workers_matter() -> None:
    few = {"a": host(HOUR_S, up_s=YEAR_S / 2), "b": host(1.5 * HOUR_S, up_s=YEAR_S / 2)}
    found = sampled(job=job(few))
    assert sampled(job=job(few), workers=2) == found
    simulated = sampled(job=job(few, reader="simulated"))
    assert (simulated.means, simulated.dropped, simulated.saving) == (found.means, found.dropped, found.saving)


def test_common_random_numbers_save_what_they_are_said_to() -> None:
    """Repairs that are longer by a factor, and then repairs with draws of their own: only faults are common to them."""
    paired = sampled().saving
    assert paired is not None
    assert paired > 10.0
    own = {name: host(1.3 * HOUR_S, f"down {name}", YEAR_S / 20) for name in ("a", "b")}
    apart = sampled(job=job(own), most=STAGE * BATCH, indifference=0.001).saving
    assert apart is not None
    assert 1.0 < apart < paired


def test_alternatives_that_are_the_same_are_no_endless_race() -> None:
    found = sampled(job=job({"a": host(HOUR_S), "b": host(HOUR_S)}))
    assert found.winner == "a"
    assert found.saving is None


def test_undecided_when_the_budget_ends() -> None:
    close = {"a": host(HOUR_S, "down a"), "b": host(HOUR_S, "down b")}
    found = sampled(job=job(close), indifference=0.01, most=5000)
    assert (found.winner, found.survivors, found.dropped) == (None, ("a", "b"), {})
    assert 5000 <= found.replications / 2 < 5000 + 16 * BATCH
    assert sampled(job=job(close), indifference=0.01, go_on=lambda: False).replications == 2 * STAGE * BATCH


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"indifference": 0.0}, "indifference"),
        ({"probability": 0.3}, "between 1/3 and 1"),
        ({"probability": 1.0}, "between 1/3 and 1"),
        ({"measure": "outage_s_p99"}, "no mean over replications"),
        ({"measure": "downtime_per_year"}, "did you mean 'downtime_min_per_year'"),
        ({"job": job({"a": host(HOUR_S)})}, "at least two"),
    ],
)
def test_refused(more: dict, text: str) -> None:
    with pytest.raises(ScenarioError, match=text):
        sampled(**more)


def test_measures_are_those_of_the_ledger() -> None:
    """Each mean that can be selected by is the one that is reported."""
    outcome = replicate(Job(HOSTS, 3, YEAR_S, STAGE * BATCH, "compiled"))
    for measure in (DOWNTIME, "outages_per_year", "availability", "downtime_min_per_year:cause=fault"):
        found = sampled(measure, most=STAGE * BATCH, indifference=1e-9)
        for name, ledger in outcome.ledgers.items():
            assert found.means[name] == pytest.approx(dict(measures.sampled(ledger, YEAR_S, 0.95))[measure].value)
