"""Sampled = exact: on every shipped base under every strategy the walker has the law that the solver computes.

The long paths are walked by machine code, whose every bit is SimPy's: tests/property/test_compiled.py sees to that.

Means are blind to rare branches, so three things are compared for each node: how often each way is taken (exact
binomial), the law of each dwell (DKW band), and, over all, the mean outage (z-test, sd by the solver).

The samples are the first n visits of a node in one long path, with n fixed beforehand: then they are independent.
(All visits before a horizon would not be: the horizon cuts off the long ones.)
"""

import math
from collections.abc import Sequence
from functools import cache

import numpy as np
import pytest

from ksim.chance.distributions import Constant
from ksim.compiled.walk import Walker
from ksim.evidence.ledger import fold
from ksim.exact.race import race
from ksim.exact.solve import Solution
from ksim.model.base import shipped
from ksim.model.compose import lifecycle, recovery_strategies
from ksim.model.lifecycle import Lifecycle, Node
from ksim.model.loader import load
from ksim.units import MINUTE_S, YEAR_S
from tests import stat
from tests.oracle.test_solve import SCENARIOS, V1_RATE, V1_REPAIR, solution, takacs
from tests.stat import assert_cdf, assert_count, assert_mean

BASES = [*shipped()]
STRATEGIES = [*recovery_strategies()]
FALSE_FAIL = 2e-7
"""There are about two thousand asserts in this file."""
FEWEST = 50
"""Visits; the number of fewer than that varies too much to be fixed beforehand."""
SHORTEST_DUMP = {"rack-server": "20 s", "vm": "0.3 s", "large-memory": "400 s"}
"""A capture.timeout that cuts off a good part of the dumps."""


def faster(base: str, factor: float) -> list[str]:
    """All software and machine-check rates times ``factor``: other times up, the same outages.

    Without hardware repairs and pauses, which would swamp the mean.
    """
    faults = load(base).scenario.faults
    quiet = [f"faults.{name}.rate=0 /y" for name in ("hardware_repair", "host_pause") if name in faults]
    return [f"faults.{name}.rate={table.rate * YEAR_S * factor!r} /y" for name, table in faults.items()] + quiet


def stressed(base: str) -> list[str]:
    """Every way of the graph is taken often: the laws are the base's, the probabilities are not."""
    return [
        *(f"faults.{name}.rate={50_000 + 10_000 * i} /y" for i, name in enumerate(load(base).scenario.faults)),
        "faults.kernel_oops.rate=200000 /y",
        "faults.kernel_hang.rate=500000 /y",
        "linux.sysctl.kernel.panic_on_oops=0",
        "linux.sysctl.kernel.oops_limit=2",
        "linux.sysctl.kernel.hung_task_panic=1",
        "linux.sysctl.kernel.panic_on_rcu_stall=1",
        "faults.kernel_oops.process_local=0.4",
        "faults.kernel_oops.leaks_lock=0.6",
        "faults.kernel_oops.leaked={mutex=0.2, rwsem=0.1, spinlock=0.35, spinlock_irq=0.35}",
        "faults.kernel_oops.damage_shows=60 s",
        "faults.kernel_hang.shows={soft_lockup=0.3, hard_lockup=0.3, hung_task=0.1, all_cpus_hang=0.15, "
        "silent_hang=0.15}",
        "recovery.crashes_again=0.3",
        "recovery.root_fails=0.2",
        "capture.memory.sigma=2.0",
        "recovery.severity={journal=0.4, fsck=0.3, reinstall=0.3}",
        f"capture.timeout={SHORTEST_DUMP[base]}",
        "capture.success=0.7",
        "capture.hangs=0.5",
        "kexec.success=0.5",
        "kexec.hangs=0.5",
        "host.watchdog=1500 s",
        "host.bmc=2500 s",
    ]


class Walked:
    """One long path, cut into the visits of each node."""

    def __init__(self, life: Lifecycle, cycles: int, seed: int = 7) -> None:
        self.life, self.solution = life, Solution(life)
        self.horizon_s = cycles * self.solution.cycle_s
        self.path = Walker(life, seed).path(0, self.horizon_s)
        times, self.edges = np.array(self.path.times), np.array(self.path.edges)
        self.dwells = np.diff(times, prepend=0.0)
        self.sources = np.array(life.layout.source)[self.edges]
        self.slack = 2 * float(np.spacing(self.horizon_s))
        self._expected = dict(zip(life.layout.names, (v * cycles for v in self.solution.visits), strict=True))

    def visits(self, node: Node) -> tuple[np.ndarray, np.ndarray]:
        """(number of the way taken, dwell) of the first n visits, n four fifths of the expected number."""
        n = int(0.8 * self._expected[node.name])
        if n < FEWEST:
            n = 0  # a node that is hardly ever met: nothing can be said about its ways
        at = np.flatnonzero(self.sources == self.life.index[node.name])[:n]
        if len(at) < n:
            raise stat.Underpowered(f"{node.name}: {len(at)} visits instead of {n}")
        return self.edges[at] - self.life.layout.source.index(self.life.index[node.name]), self.dwells[at]


def probabilities(node: Node) -> Sequence[float]:
    if node.clocks:
        return [way.p for way in race([clock.after for clock in node.clocks])]
    return [branch.p for branch in node.branches]


def can_see(n: int, p: float) -> bool:
    """Whether n trials tell a way of probability p from one that is missing or twice as frequent."""
    least = min(p, 1 - p)
    return n * least > 60 and stat.count_false_pass(n, p, least, FALSE_FAIL) <= stat.FALSE_PASS


def check_ways(walked: Walked) -> list[str]:
    """Counts every way out of every node; returns those that are too rare to be seen in this path."""
    unseen = []
    for node in walked.life.nodes:
        taken, _ = walked.visits(node)
        for way, p in enumerate(probabilities(node)):
            k, what = int((taken == way).sum()), f"{node.name} -> {node.ways[way].to}"
            if p in (0.0, 1.0):
                assert k == p * len(taken), f"{what}: {k} of {len(taken)}, p = {p:g}"
            elif can_see(len(taken), p):
                assert_count(k, len(taken), p, detects=min(p, 1 - p), false_fail=FALSE_FAIL, what=what)
            else:
                unseen.append(f"{what} (p = {p:.3g}, {len(taken)} visits)")
    return unseen


def check_dwells(walked: Walked, detects: float) -> None:
    """The law of every dwell: of each branch, and of the first clock of each race."""
    for node in walked.life.nodes:
        taken, dwells = walked.visits(node)
        if node.clocks:

            def first_rings(t: np.ndarray, node: Node = node) -> np.ndarray:
                return 1 - np.prod([clock.after.survival(t) for clock in node.clocks], axis=0)

            assert_cdf(dwells, first_rings, detects=detects, slack=walked.slack, false_fail=FALSE_FAIL, what=node.name)
        for way, branch in enumerate(node.branches):
            if isinstance(branch.dwell, Constant):  # no chance about it: every single one
                assert np.all(np.abs(dwells[taken == way] - branch.dwell.value) <= walked.slack), node.name
                continue
            assert_cdf(
                dwells[taken == way],
                lambda t, law=branch.dwell: 1 - law.survival(t),
                detects=detects,
                slack=walked.slack,
                false_fail=FALSE_FAIL,
                what=f"{node.name} -> {branch.to}",
            )


@cache
def distinct(base: str, stress: bool) -> dict[str, Lifecycle]:
    """The graphs of a base by strategy; a strategy that builds the same graph as another one is left out."""
    scenario = load(base, stressed(base) if stress else faster(base, 1000.0)).scenario
    found: dict[str, Lifecycle] = {}
    for strategy in STRATEGIES:
        life = lifecycle(scenario, strategy)
        if life not in found.values():
            found[strategy] = life
    return found


CASES = [(base, strategy) for base in BASES for strategy in distinct(base, False)]


def test_auto_is_one_of_the_others() -> None:
    assert len(CASES) == len(BASES) * (len(STRATEGIES) - 1)


@pytest.mark.parametrize(("base", "strategy"), CASES)
def test_mean_outage_and_frequent_ways(base: str, strategy: str) -> None:
    life = distinct(base, False)[strategy]
    outages = Solution(life).outages()
    assert outages is not None
    detects = 0.15 * outages.mean_s
    n = stat.mean_n(outages.sd_s, detects, FALSE_FAIL)
    walked = Walked(life, cycles=int(1.1 * n))
    lengths = fold(walked.path, life.layout, walked.horizon_s).outages_s[:n]
    assert_mean(lengths, outages.mean_s, outages.sd_s, detects=detects, false_fail=FALSE_FAIL)
    assert len(check_ways(walked)) < 0.6 * len(life.layout.source)


@pytest.mark.parametrize(("base", "strategy"), CASES)
def test_every_way_and_every_dwell(base: str, strategy: str) -> None:
    walked = Walked(distinct(base, True)[strategy], cycles=250_000)
    assert check_ways(walked) == []
    check_dwells(walked, detects=0.2)


# ---------------------------------------------------------------- closed forms


@cache
def v1_downtimes(n: int = 40_000) -> np.ndarray:
    """Minutes down in one year, by replication."""
    life = lifecycle(load(str(SCENARIOS / "v1_two_state.toml")).scenario)
    walker = Walker(life, seed=7)
    rows = (fold(walker.path(r, YEAR_S), life.layout, YEAR_S) for r in range(n))
    return np.array([row.down_s for row in rows]) / MINUTE_S


def test_v1_years_without_downtime() -> None:
    down = v1_downtimes()
    assert_count(int((down == 0).sum()), len(down), 0.13533528, detects=0.015)


def test_v1_years_with_at_most_20_minutes() -> None:
    down = v1_downtimes()
    assert_count(int((down <= 20).sum()), len(down), 0.60351671, detects=0.02)


def test_v1_whole_distribution_of_yearly_downtime() -> None:
    grid = np.concatenate([[0.0], np.geomspace(0.01, 400, 300)])
    values = [takacs(V1_RATE, V1_REPAIR, YEAR_S / MINUTE_S, x) for x in grid]
    # samples are rounded up to the grid; the cdf is exact there
    rounded = grid[np.searchsorted(grid, np.minimum(v1_downtimes(), 400.0))]

    def cdf(x: np.ndarray) -> np.ndarray:
        at = np.searchsorted(grid, x, side="right") - 1
        return np.where(at >= 0, np.array(values)[np.maximum(at, 0)], 0.0)

    assert_cdf(rounded, cdf, detects=0.025)


def test_v1_mean_downtime() -> None:
    found = solution("v1_two_state")
    sd = math.sqrt(found.downtime_variance_rate * YEAR_S) / MINUTE_S
    assert_mean(v1_downtimes(), found.downtime_s(YEAR_S) / MINUTE_S, sd, detects=1.0)


def test_v2_mean_downtime() -> None:
    """A falling hazard: from a fresh start the first year is worse than the long run."""
    life = lifecycle(load(str(SCENARIOS / "v2_alternating_renewal.toml")).scenario)
    found, horizon_s, walker = Solution(life), 10 * YEAR_S, Walker(life, seed=7)
    rows = [fold(walker.path(r, horizon_s), life.layout, horizon_s) for r in range(8000)]
    down = [row.down_s for row in rows]
    sd = math.sqrt(found.downtime_variance_rate * horizon_s)
    assert_mean(down, found.downtime_s(horizon_s), sd, detects=0.06 * found.downtime_s(horizon_s))
