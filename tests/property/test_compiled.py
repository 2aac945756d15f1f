"""The compiled reader is the simulated one, bit for bit: paths, transition by transition, and the ledgers of them."""

import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ksim.chance.distributions import scaled
from ksim.compiled.batch import COLUMNS, Batches
from ksim.compiled.walk import Walker
from ksim.evidence.ledger import Ledger, columns, fold
from ksim.evidence.transition import Path
from ksim.exact.solve import Solution
from ksim.macro import walker as simulated
from ksim.model.base import shipped
from ksim.model.compose import lifecycle, recovery_strategies
from ksim.model.lifecycle import Branch, Clock, Lifecycle, Node
from ksim.model.loader import load
from ksim.study.batches import exact_moments
from ksim.units import YEAR_S
from tests.oracle.test_solve import SCENARIOS
from tests.strategies import REPLICATIONS, SEEDS, lifecycles

FEWER = settings(max_examples=60)


def assert_same(life: Lifecycle, found: Path, wanted: Path) -> None:
    """Fails with the first transition that is not the same in all its bits."""
    steps = zip(found.transitions(life.layout), wanted.transitions(life.layout))
    for i, (a, b) in enumerate(steps):
        if a != b:
            pytest.fail(
                f"transition {i}: compiled {a}, simulated {b}; the one before: {wanted.times[max(0, i - 1)]!r} s"
            )
    assert len(found.times) == len(wanted.times)


@FEWER
@given(lifecycles(), SEEDS, REPLICATIONS, st.floats(1.0, 30_000.0))
def test_random_graphs_are_walked_bit_for_bit(life: Lifecycle, seed: int, replication: int, horizon_s: float) -> None:
    compiled, wanted = Walker(life, seed), simulated.Walker(life, seed)
    for number in (replication, replication + 1, 0):
        assert_same(life, compiled.path(number, horizon_s), wanted.path(number, horizon_s))


def slower(life: Lifecycle, factor: float) -> Lifecycle:
    """The same graph with all times longer."""

    def mapped(node: Node) -> Node:
        branches = tuple(Branch(way.to, scaled(way.dwell, factor), way.p, way.cause) for way in node.branches)
        clocks = tuple(Clock(way.name, scaled(way.after, factor), way.to, way.cause) for way in node.clocks)
        return Node(
            node.name, node.phase, node.service, branches, clocks, node.event, node.stream, node.work_lost_s + 7.3
        )

    return Lifecycle(life.entry, tuple(map(mapped, life.nodes)), life.budgets)


def folded(life: Lifecycle, seed: int, first: int, many: int, horizon_s: float) -> tuple[Ledger, list[list[int]]]:
    """What the ledger computes from the transitions of the simulated reader, and the columns of each replication."""
    found, kept, walker = Ledger(dict(life.layout.budgets)), [], simulated.Walker(life, seed)
    for replication in range(first, first + many):
        row = fold(walker.path(replication, horizon_s), life.layout, horizon_s)
        found.add(row)
        named = columns(row, life.layout.budgets)
        kept.append([named.get(column, 0) for column in COLUMNS])
    return found, kept


@FEWER
@given(lifecycles(), SEEDS, st.integers(0, 1000), st.floats(1.0, 2000.0))
def test_machine_code_keeps_the_books_like_the_ledger(life: Lifecycle, seed: int, first: int, horizon_s: float) -> None:
    found, kept = Batches(life, seed).run(first, 7, horizon_s)
    wanted, each = folded(life, seed, first, 7, horizon_s)
    assert found == wanted
    assert kept.tolist() == each


@FEWER
@given(lifecycles(), SEEDS, st.floats(0.5, 3.0), st.floats(1e4, 1e7))
def test_years_are_kept_like_the_ledger_does(life: Lifecycle, seed: int, years: float, factor: float) -> None:
    life = slower(life, factor)
    found, _ = Batches(life, seed).run(0, 5, years * YEAR_S)
    wanted, _ = folded(life, seed, 0, 5, years * YEAR_S)
    assert found == wanted
    assert found.years[""].n == (5 if years >= 1.0 else 0)


@FEWER
@given(lifecycles(), SEEDS, st.lists(st.integers(0, 12), max_size=3), st.floats(1.0, 2000.0))
def test_batches_of_any_size_sum_up_to_the_same(life: Lifecycle, seed: int, cuts: list[int], horizon_s: float) -> None:
    at_once, _ = Batches(life, seed).run(0, 12, horizon_s)
    ends = sorted({0, *cuts, 12})
    batches, merged = Batches(life, seed), Ledger(dict(life.layout.budgets))
    for first, end in reversed(list(pairwise(ends))):
        merged.merge(batches.run(first, end - first, horizon_s)[0])
    assert merged == at_once


def test_a_path_longer_than_its_room_is_walked_again() -> None:
    life = lifecycle(load("vm").scenario)
    compiled, wanted = Walker(life, 7), simulated.Walker(life, 7)
    for years in (1000.0, 5.0, 3000.0):
        assert_same(life, compiled.path(3, years * YEAR_S), wanted.path(3, years * YEAR_S))


STEPS = 400.0
"""Of a replication, on average, at most."""
SHIPPED = {
    **{
        f"{base}, {strategy}": (base, strategy) for base in shipped() for strategy in recovery_strategies()
    },
    **{path.stem: (str(path), None) for path in sorted(SCENARIOS.glob("*.toml"))},
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_scenarios_over_a_thousand_replications(name: str) -> None:
    file, strategy = SHIPPED[name]
    scenario = load(file).scenario
    life = lifecycle(scenario, strategy)
    solution = Solution(life)
    # some models of others are made of few replications with millions of steps
    horizon_s = min(scenario.horizon, STEPS * solution.cycle_s / math.fsum(solution.visits))
    compiled, wanted = Walker(life, scenario.seed), simulated.Walker(life, scenario.seed, 512)
    kept = Ledger(dict(life.layout.budgets))
    for replication in range(1000):
        path = wanted.path(replication, horizon_s)
        found = compiled.path(replication, horizon_s)
        if found != path:
            assert_same(life, found, path)
        kept.add(fold(path, life.layout, horizon_s))
    assert Batches(life, scenario.seed).run(0, 1000, horizon_s)[0] == kept


@given(st.lists(st.integers(-(2**61), 2**61), min_size=1, max_size=50))
def test_moments_of_whole_numbers_are_exact(values: list[int]) -> None:
    import numpy as np

    found = exact_moments(np.array(values, dtype=np.int64))
    assert (found.n, found.x, found.xx) == (len(values), sum(values), sum(v * v for v in values))
