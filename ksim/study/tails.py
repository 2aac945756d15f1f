"""The exact measures that are no means: quantiles of outages and of the first year, and the nines that it misses.

They are enclosed, not computed to the last digit: ``half_width`` is a bound that holds for certain (confidence 1).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from ksim.errors import NotSolvable
from ksim.evidence.ledger import GROUPS, NINES
from ksim.exact.enclosed import Enclosed, Enclosure
from ksim.exact.outage import OutageLength
from ksim.exact.solve import Solution
from ksim.exact.yearly import Downtime
from ksim.study import estimate
from ksim.study.estimate import Estimate
from ksim.units import MINUTE_S, YEAR_S

MOST_WAYS = 500
"""Laws on lattices take a second for a hundred ways; for a thousand they take half a minute and gigabytes."""
QUANTILES = {"p50": 0.50, "p95": 0.95, "p99": 0.99}


def is_tail(measure: str) -> bool:
    """Whether a measure is one of these, by its name."""
    return measure.startswith(("year_", "software_year_")) or measure.endswith(tuple(f"_{name}" for name in QUANTILES))


def tails(solution: Solution) -> tuple[list[tuple[str, Estimate]], list[str]]:
    """Measures, and why some of them are missing: a law that jumps just there, or cannot be inverted."""
    ways = len(solution.layout.source)
    if ways > MOST_WAYS:
        return [], [f"no exact quantiles and years: a graph of {ways} ways is too large (at most {MOST_WAYS})"]
    found: list[tuple[str, Estimate]] = []
    notes: list[str] = []

    def ask(unit: str, scale: float, questions: Mapping[str, Callable[[], Enclosed]]) -> None:
        missing: dict[str, str] = {}
        for measure, answer in questions.items():
            try:
                value, error = answer()
            except NotSolvable as reason:
                missing[measure] = str(reason)
            else:
                found.append((measure, estimate.enclosed(value * scale, error * scale, unit)))
        if missing:
            notes.append(f"no exact {', '.join(missing)}: {next(iter(missing.values()))}")

    def quantiles(measure: str, law: Enclosure) -> dict[str, Callable[[], Enclosed]]:
        return {f"{measure}_{name}": partial(law.quantile, q) for name, q in QUANTILES.items()}

    budgets = {group: group.rstrip("_") or None for group in GROUPS}
    for group, budget in budgets.items():
        if solution.outages(budget):
            length = OutageLength(solution, budget)
            ask("s", 1.0, quantiles(f"{group}outage_s", length))
    for group, budget in budgets.items():
        year = Downtime(solution, budget)
        ask("min", 1.0 / MINUTE_S, quantiles(f"{group}year_downtime_min", year))
        if budget is None:
            misses = {f"year_misses_{nines}_nines": partial(year.exceeds, s * YEAR_S) for nines, s in NINES.items()}
            ask("1", 1.0, misses)
    return found, notes
