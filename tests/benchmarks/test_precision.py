"""Time and memory of whole commands: to a 1 % half-width of ``downtime_min_per_year``, and with ever more replications.

./run pytest tests/benchmarks/test_precision.py --benchmark-only

Each time is that of ``ksim run`` as a new process: start of Python, imports, kept machine code, answer. The number of
replications that it takes is known beforehand, from the variance that the exact reader computes.
"""

from __future__ import annotations

import math
import statistics

import pytest

from ksim.exact.solve import Solution
from ksim.model.compose import lifecycle
from ksim.model.loader import load
from ksim.study.estimate import normal_quantile
from tests.benchmarks.commands import ksim_run

BASES = ("rack-server", "vm", "large-memory")
GOAL = 0.01
"""Half-width of the 95 % interval, of the value."""
ROUNDS = 3
LONGEST_S = 20.0
"""A simulated run that would take longer is extrapolated from two shorter ones."""
FLAT = 1.1
"""How much more memory many replications may take than few."""


def replications_for(base: str, goal: float) -> int:
    """By the exact mean and variance of downtime over the horizon of the base."""
    scenario = load(base).scenario
    solution = Solution(lifecycle(scenario))
    sd = math.sqrt(solution.downtime_variance_rate * scenario.horizon)
    return math.ceil((normal_quantile(0.95) * sd / (goal * solution.downtime_s(scenario.horizon))) ** 2)


def reached(rows: dict) -> float:
    row = rows["downtime_min_per_year"]
    return float(row["half_width"] / row["estimate"])


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("base", BASES)
def test_time_to_one_percent(benchmark, report, base: str) -> None:
    """Medians of whole commands, alternately; the interval that was asked for is the one that came."""
    many = replications_for(base, GOAL)
    times: dict[str, list[float]] = {"exact": [], "compiled": []}
    ksim_run(base, "compiled", replications=10)  # compiles, if this checkout never did
    for _ in range(ROUNDS):
        times["exact"].append(ksim_run(base, "exact").wall_s)
        found = ksim_run(base, "compiled", replications=many)
        times["compiled"].append(found.wall_s)
        assert 0.8 * GOAL < reached(found.rows) < 1.2 * GOAL
    few = 2000
    start, some = (ksim_run(base, "simulated", replications=n) for n in (few, 3 * few))
    each = (some.wall_s - start.wall_s) / (2 * few)
    whole, how = start.wall_s + each * (many - few), f"extrapolated from {few} and {3 * few} replications"
    if whole < LONGEST_S:
        whole, how = ksim_run(base, "simulated", replications=many).wall_s, "one run"
    report(f"{base}: 1 % half-width of downtime_min_per_year, {many} replications of 10 y, whole command:")
    report(f"    exact      {_text(times['exact'])}, no half-width at all")
    report(f"    compiled   {_text(times['compiled'])}")
    report(f"    simulated  {whole:.3g} s ({how}), {whole / statistics.median(times['compiled']):.3g} times compiled")
    benchmark.extra_info["seconds"] = statistics.median(times["compiled"])
    benchmark.pedantic(ksim_run, args=(base, "compiled"), kwargs={"replications": many}, rounds=1)


def _text(seconds: list[float]) -> str:
    return f"{statistics.median(seconds):.3g} s ({min(seconds):.3g} to {max(seconds):.3g})"


@pytest.mark.timeout(1800)
def test_memory_is_flat(benchmark, report) -> None:
    """Peak resident memory of whole commands. Ten million replications are short ones, so that they take seconds."""
    for engine, horizon, numbers in (("compiled", "30 d", (10**3, 10**7)), ("simulated", "1 y", (10**3, 3 * 10**4))):
        peaks = [ksim_run("rack-server", engine, replications=n, horizon=horizon).peak_mib for n in numbers]
        report(
            f"rack-server, {engine}, horizon {horizon}: peak memory "
            + ", ".join(f"{peak:.0f} MiB at {n:,} replications" for n, peak in zip(numbers, peaks))
        )
        assert peaks[1] < FLAT * peaks[0]
        benchmark.extra_info[engine] = peaks[1] / peaks[0]
    benchmark.pedantic(ksim_run, args=("rack-server", "compiled"), kwargs={"replications": 1000}, rounds=1)
