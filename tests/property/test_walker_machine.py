"""The walker, always: what holds for every graph, seed and horizon, and relations between runs that need no oracle."""

import itertools
from collections.abc import Callable
from pathlib import Path as File

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from ksim.chance.distributions import scaled
from ksim.evidence.ledger import fold
from ksim.evidence.sums import ticks
from ksim.evidence.transition import Path, Transition
from ksim.macro.walker import Walker
from ksim.model.base import shipped
from ksim.model.compose import lifecycle, recovery_strategies
from ksim.model.lifecycle import Branch, Clock, Lifecycle, Node
from ksim.model.loader import load
from ksim.units import YEAR_S
from tests.strategies import REPLICATIONS, SEEDS, lifecycles

FEWER = settings(max_examples=50)
HORIZONS = st.floats(1.0, 2000.0)


def told(life: Lifecycle, path: Path) -> list[Transition]:
    return list(path.transitions(life.layout))


def walk(life: Lifecycle, seed: int, replication: int, horizon_s: float, batch: int = 64) -> list[Transition]:
    return told(life, Walker(life, seed, batch).path(replication, horizon_s))


def mapped(life: Lifecycle, change: Callable[[Node], Node]) -> Lifecycle:
    return Lifecycle(life.entry, tuple(change(node) for node in life.nodes), life.budgets)


def stretched(node: Node, factor: float) -> Node:
    branches = tuple(Branch(way.to, scaled(way.dwell, factor), way.p, way.cause) for way in node.branches)
    clocks = tuple(Clock(way.name, scaled(way.after, factor), way.to, way.cause) for way in node.clocks)
    return Node(node.name, node.phase, node.service, branches, clocks, node.event, node.stream)


class Life(RuleBasedStateMachine):
    """One replication whose horizon moves on, while other replications and other walkers draw in between."""

    @initialize(life=lifecycles(), seed=SEEDS, replication=REPLICATIONS, batch=st.integers(1, 100))
    def boot(self, life: Lifecycle, seed: int, replication: int, batch: int) -> None:
        self.life, self.seed, self.replication = life, seed, replication
        self.walker = Walker(life, seed, batch)
        self.horizon_s = 10.0
        self.path = self.walker.path(replication, self.horizon_s)

    @rule(more_s=st.floats(0.001, 300.0))
    def advance(self, more_s: float) -> None:
        """A run to H1 is a prefix of the run to H2, and what is new happened after H1."""
        before, known = self.horizon_s, len(self.path.times)
        self.horizon_s += more_s
        path = self.walker.path(self.replication, self.horizon_s)
        assert path.times[:known] == self.path.times
        assert path.edges[:known] == self.path.edges
        assert all(time >= before for time in path.times[known:])
        self.path = path

    @rule(other=REPLICATIONS, horizon_s=HORIZONS)
    def somebody_else_draws(self, other: int, horizon_s: float) -> None:
        self.walker.path(other, horizon_s)

    @rule(neighbour=st.integers(-3, 70))
    def a_neighbour_in_the_batch_draws(self, neighbour: int) -> None:
        self.walker.path(max(0, self.replication + neighbour), 50.0)

    @rule(batch=st.integers(1, 500))
    def another_walker_takes_over(self, batch: int) -> None:
        self.walker = Walker(self.life, self.seed, batch)

    @rule()
    def again(self) -> None:
        assert self.walker.path(self.replication, self.horizon_s) == self.path

    @invariant()
    def sound(self) -> None:
        if not hasattr(self, "path"):
            return
        ways = {(node.name, way.to) for node in self.life.nodes for way in node.ways}
        node, time = self.life.entry, 0.0
        for step in told(self.life, self.path):
            assert step.source == node
            assert (step.source, step.target) in ways
            assert time <= step.time_s < self.horizon_s
            node, time = step.target, step.time_s
        row = fold(self.path, self.life.layout, self.horizon_s)
        assert sum(row.downtime.values()) + row.degraded <= ticks(self.horizon_s)


Life.TestCase.settings = settings(max_examples=40, stateful_step_count=12)
TestLife = Life.TestCase


@FEWER
@given(lifecycles(), SEEDS, st.integers(0, 200), st.integers(1, 100), HORIZONS)
def test_a_replication_is_the_same_alone_and_in_a_batch(
    life: Lifecycle, seed: int, replication: int, batch: int, horizon_s: float
) -> None:
    walker = Walker(life, seed, batch)
    in_company = [walker.path(r, horizon_s) for r in range(max(0, replication - 3), replication + 2)]
    assert told(life, in_company[-2]) == walk(life, seed, replication, horizon_s, batch=1)


@FEWER
@given(lifecycles(), SEEDS, st.data())
def test_the_order_of_nodes_is_irrelevant(life: Lifecycle, seed: int, data: st.DataObject) -> None:
    shuffled = Lifecycle(life.entry, tuple(data.draw(st.permutations(life.nodes))), life.budgets)
    assert walk(life, seed, 3, 1000.0) == walk(shuffled, seed, 3, 1000.0)


@FEWER
@given(lifecycles(), SEEDS, st.sampled_from([2.0, 0.25, 1024.0]))
def test_all_times_longer_makes_all_times_longer_exactly(life: Lifecycle, seed: int, factor: float) -> None:
    slow = mapped(life, lambda node: stretched(node, factor))
    expected = [step._replace(time_s=factor * step.time_s) for step in walk(life, seed, 1, 1000.0)]
    assert walk(slow, seed, 1, factor * 1000.0) == expected


@FEWER
@given(lifecycles(), SEEDS)
def test_seeds_and_replications_differ(life: Lifecycle, seed: int) -> None:
    if all(way.law.atoms and len(node.ways) == 1 for node in life.nodes for way in node.ways):
        return  # nothing is drawn from a continuous law: the paths may agree
    paths = [walk(life, s, r, 3000.0) for s, r in ((seed, 0), (seed, 1), (seed ^ 1, 0))]
    if any(way.law.atoms == () for step in paths[0] for way in life[step.source].ways):
        assert len({tuple(path) for path in paths}) > 1


# ---------------------------------------------------------------- shipped bases

FASTER = ["faults.kernel_oops.rate=50 /y", "faults.kernel_hang.rate=20 /y", "faults.machine_check.rate=20 /y"]
STRATEGIES = [*recovery_strategies()]


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("base", shipped())
def test_a_source_of_rate_zero_leaves_the_path_bit_identical(base: str, strategy: str) -> None:
    silent = ["faults.extra.kind=kernel_hang", "faults.extra.rate=0 /y", "faults.other.kind=host_pause"]
    without = lifecycle(load(base, FASTER).scenario, strategy)
    with_it = lifecycle(load(base, [*FASTER, *silent]).scenario, strategy)
    assert walk(without, 7, 0, 10 * YEAR_S) == walk(with_it, 7, 0, 10 * YEAR_S) != []


TABLES = [
    '[faults.kernel_oops]\nrate = "50 /y"\n',
    '[faults.kernel_hang]\nrate = "30 /y"\n',
    '[faults.board]\nkind = "hardware_repair"\nrate = "20 /y"\n',
    '[faults.fan]\nkind = "hardware_repair"\nrate = "10 /y"\nrepair = "1 h"\n',
]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_order_of_fault_tables_is_irrelevant(tmp_path: File, strategy: str) -> None:
    paths = []
    for i, tables in enumerate((TABLES, TABLES[::-1], TABLES[2:] + TABLES[:2])):
        file = tmp_path / f"{i}.toml"
        file.write_text("".join(tables), encoding="utf-8")
        paths.append(walk(lifecycle(load(str(file)).scenario, strategy), 7, 0, 5 * YEAR_S))
    assert paths[0] == paths[1] == paths[2]
    assert len(paths[0]) > 1000


def test_strategies_share_the_draws_of_the_phases_that_they_share() -> None:
    """Common random numbers: the k-th firmware boot lasts as long under every strategy that has one."""
    boots = {}
    for strategy in ("full_reboot", "kdump", "hang_until_operator"):
        steps = walk(lifecycle(load("rack-server", FASTER).scenario, strategy), 7, 0, 10 * YEAR_S)
        ends = itertools.pairwise(steps)
        boots[strategy] = [b.time_s - a.time_s for a, b in ends if b.source == "firmware"][:500]
    assert len(boots["kdump"]) == 500
    for strategy in boots:
        assert boots[strategy] == pytest.approx(boots["kdump"], abs=1e-6)


def test_a_longer_stage_lengthens_every_outage() -> None:
    """One dwell scaled up, everything else unchanged: each outage is at least as long (inverse cdf, same draws)."""
    lengths = []
    for firmware in ("lognormal(median=360 s, sigma=0.6)", "lognormal(median=500 s, sigma=0.6)"):
        life = lifecycle(load("rack-server", [*FASTER, f"host.boot.firmware={firmware}"]).scenario, "kdump")
        row = fold(Walker(life, 7).path(0, 10 * YEAR_S), life.layout, 10 * YEAR_S)
        lengths.append(row.outages_s)
    n = min(map(len, lengths)) - 5
    assert n > 500
    assert all(b >= a - 1e-6 for a, b in zip(lengths[0][:n], lengths[1][:n], strict=True))
    assert sum(lengths[1][:n]) > sum(lengths[0][:n])
