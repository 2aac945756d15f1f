"""Steps per CPU second: both sampling readers, a bare SimPy loop, and one problem written directly in other tools.

    ./run uv pip install --group bench                         # the other tools; each that is not there is skipped
    ./run pytest tests/benchmarks/test_speed.py --benchmark-only

A *step* is one transition of a host. The readers do what ``ksim run`` does: they walk and keep the ledger. The rivals
count nothing but downtime, and each must come to the availability that is known exactly, or the benchmark fails.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import simpy

from ksim.exact.solve import Solution
from ksim.model.compose import lifecycle
from ksim.model.lifecycle import Lifecycle
from ksim.model.loader import load
from ksim.model.scenario import Scenario
from ksim.study.batches import Batcher
from ksim.study.replicate import Chunker, Job, collector_paused
from ksim.units import YEAR_S
from tests.benchmarks.rivals.problem import EXACT, YEARS, Answer
from tests.benchmarks.turns import Contestant, ratio, spread, take_turns

BASES = ("rack-server", "vm", "large-memory")
COMMON = Path(__file__).resolve().parents[2] / "experiments" / "scenarios" / "common_problem.toml"
ROUNDS = 7
LIMIT = 4.9
"""Of |z|: a right answer is farther off once in a million."""
RIVALS = {
    "SimPy": ("simpy_plain", "run"),
    "SimPy, draws in blocks": ("simpy_blocks", "run"),
    "SimPy, blocks, merged phases": ("simpy_blocks", "run_merged"),
    "NumPy, vectorised": ("numpy_vector", "run"),
    "salabim": ("salabim_hosts", "run"),
    "Cimba, Python package": ("cimba_hosts", "run"),
}
HEAD = ("problem", "who", "steps / CPU s", "host-years / CPU s", "compiled: times", "z")
WIDTHS = (14, 28, 30, 30, 15, 6)


def bare(size: int, turn: int) -> int:
    """The yardstick: ``while True: yield env.timeout(x)``."""

    def loop(env: simpy.Environment):
        while True:
            yield env.timeout(1.0)

    env = simpy.Environment()
    env.process(loop(env))
    with collector_paused():  # as every study does
        env.run(until=size)
    return size


def simulated(life: Lifecycle, scenario: Scenario) -> Contestant:
    """SimPy's walk and the ledger; no replication is played twice."""
    chunker = Chunker(Job({"": life}, scenario.seed, scenario.horizon, 512))
    steps = Solution(life)
    per_replication = scenario.horizon / steps.cycle_s * math.fsum(steps.visits)
    done = 0

    def play(size: int, turn: int) -> int:
        nonlocal done
        chunker.run(done, size)
        done += size
        return round(size * per_replication)  # expected, not counted: the ledger keeps no number of steps

    return Contestant("ksim, simulated", play, scenario.horizon / YEAR_S)


def compiled(life: Lifecycle, scenario: Scenario) -> Contestant:
    """Machine code, the same work."""
    batcher = Batcher(Job({"": life}, scenario.seed, scenario.horizon, 1, "compiled"))
    done = 0

    def play(size: int, turn: int) -> int:
        nonlocal done
        before = batcher.steps
        batcher.run(done, size)
        done += size
        return batcher.steps - before

    return Contestant("ksim, compiled", play, scenario.horizon / YEAR_S)


class Checked:
    """A rival, and the answers of all its turns."""

    def __init__(self, run: Callable[[int, int], Answer]) -> None:
        self._run = run
        self._answers: list[Answer] = []

    def play(self, size: int, turn: int) -> int:
        with collector_paused():
            found = self._run(max(2, size), 1000 + turn)
        if turn:
            self._answers.append(found)
        return found.steps

    def score(self) -> float:
        """z of the mean of the turns' answers against the exact value."""
        error = math.sqrt(math.fsum(answer.error**2 for answer in self._answers))
        return math.fsum(answer.mean - EXACT for answer in self._answers) / error


def row(*cells: str) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, WIDTHS)).rstrip()


def rows(problem: str, fast: Contestant, all_of_them: list[Contestant], scores: dict[str, float]) -> list[str]:
    """One line each; how many times the compiled reader is faster: in host-years where there are any."""
    found = []
    for one in all_of_them:
        years = one.per_size > 0.0
        times = f"{ratio(fast, one, others=years):.3g}" if one is not fast else ""
        z = f"{scores[one.name]:+.2f}" if one.name in scores else ""
        found.append(row(problem, one.name, spread(one.rates), spread(one.others) if years else "", times, z))
    return found


@pytest.mark.timeout(900)
def test_bases(benchmark, report) -> None:
    """The shipped bases: simulated, compiled, and the bare loop."""
    report(row(*HEAD))
    for base in BASES:
        scenario = load(base).scenario
        life = lifecycle(scenario)
        fast = compiled(life, scenario)
        contestants = [Contestant("bare SimPy timeouts", bare), simulated(life, scenario), fast]
        take_turns(contestants, ROUNDS)
        for line in rows(base, fast, contestants, {}):
            report(line)
        benchmark.extra_info[base] = ratio(fast, contestants[1])
    benchmark.pedantic(fast.play, args=(fast.size, 0), rounds=3)


@pytest.mark.timeout(900)
def test_common_problem(benchmark, report) -> None:
    """One problem in every tool. All answers must agree with the exact one."""
    scenario = load(str(COMMON)).scenario
    life = lifecycle(scenario)
    fast = compiled(life, scenario)
    contestants = [Contestant("bare SimPy timeouts", bare), simulated(life, scenario), fast]
    checked: dict[str, Checked] = {}
    missing = []
    for name, (module, function) in RIVALS.items():
        try:
            run = getattr(importlib.import_module(f"tests.benchmarks.rivals.{module}"), function)
        except ImportError as error:
            missing.append(f"{name}: skipped, {error.name} is not installed (./run uv pip install --group bench)")
            continue
        checked[name] = Checked(run)
        contestants.append(Contestant(name, checked[name].play, YEARS))
    take_turns(contestants, ROUNDS)
    scores = {name: rival.score() for name, rival in checked.items()}
    for line in [*rows("common problem", fast, contestants, scores), *missing]:
        report(line)
    benchmark.pedantic(fast.play, args=(fast.size, 0), rounds=3)
    wrong = {name: f"{score:+.2f}" for name, score in scores.items() if abs(score) > LIMIT}
    assert not wrong, f"not the exact availability, by z: {wrong}"
