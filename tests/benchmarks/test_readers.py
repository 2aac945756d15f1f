"""The simulated reader against a bare SimPy timeout loop, and the exact solver.

./run pytest tests/benchmarks --benchmark-only
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import pytest
import simpy

from ksim.evidence.ledger import Ledger, fold
from ksim.exact.solve import Solution
from ksim.macro.walker import Walker
from ksim.model.compose import lifecycle, recovery_strategies
from ksim.model.loader import load
from ksim.study import measures
from ksim.study.replicate import CHUNK, collector_paused
from ksim.units import YEAR_S

BASES = ("rack-server", "vm", "large-memory")
ROUNDS = 9
STEPS = 100_000


def bare(steps: int) -> int:
    """The yardstick: ``while True: yield env.timeout(x)``."""

    def loop(env: simpy.Environment):
        while True:
            yield env.timeout(1.0)

    env = simpy.Environment()
    env.process(loop(env))
    env.run(until=steps)
    return steps


def walk(base: str, years: float, fold_too: bool = False) -> int:
    """Walks replications of ``years`` until STEPS transitions are done; returns their number."""
    life = lifecycle(load(base).scenario)
    walker = Walker(life, seed=7, batch=CHUNK)
    ledger = Ledger(dict(life.layout.budgets))
    steps = replication = 0
    started = time.process_time()
    with collector_paused():  # as every study does
        while steps < STEPS:
            path = walker.path(replication, years * YEAR_S)
            if fold_too:
                ledger.add(fold(path, life.layout, years * YEAR_S))
            steps += len(path.times)
            replication += 1
    walk.seconds = time.process_time() - started  # type: ignore[attr-defined]
    return steps


def rates(work: Callable[[], tuple[int, float]]) -> tuple[float, list[float]]:
    """Steps per second of ``work``, and its ratio to the bare loop, alternately over ROUNDS."""
    found, ratios = [], []
    for _ in range(ROUNDS):
        started = time.process_time()
        yardstick = bare(STEPS) / (time.process_time() - started)
        steps, seconds = work()
        found.append(steps / seconds)
        ratios.append(found[-1] / yardstick)
    return statistics.median(found), ratios


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize(("years", "fold_too"), [(10, False), (10, True), (10_000, False)])
def test_walker_steps(benchmark, report, base: str, years: float, fold_too: bool) -> None:
    """Steps of the walker per second; replications of 10 years as in a study, and one long one."""

    def work() -> tuple[int, float]:
        steps = walk(base, years, fold_too)
        return steps, walk.seconds  # type: ignore[attr-defined]

    rate, ratios = rates(work)
    what = f"{base}, {years:g} y a replication{', with the ledger' if fold_too else ''}"
    report(
        f"{what}: {rate / 1e3:.0f} k steps/s, {statistics.median(ratios):.2f} of a bare timeout loop "
        f"({min(ratios):.2f} to {max(ratios):.2f})"
    )
    benchmark.extra_info["ratio"] = statistics.median(ratios)
    benchmark.pedantic(walk, args=(base, years, fold_too), rounds=3)


def test_bare_timeouts(benchmark) -> None:
    """The yardstick on its own."""
    benchmark.pedantic(bare, args=(STEPS,), rounds=5)


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("strategy", sorted(recovery_strategies()))
def test_solver(benchmark, base: str, strategy: str) -> None:
    """Every exact mean of one scenario: below 10 ms."""
    scenario = load(base).scenario
    life = lifecycle(scenario, strategy)
    benchmark(lambda: measures.exact(Solution(life), scenario.horizon, with_tails=False))
