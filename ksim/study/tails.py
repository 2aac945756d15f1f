"""The exact measures that are no means: quantiles of outages and of the first year, and the nines that it misses.

They are enclosed, not computed to the last digit: ``half_width`` is a bound that holds for certain (confidence 1).
"""

from __future__ import annotations

from collections.abc import Callable
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

QUANTILES = {"p50": 0.50, "p95": 0.95, "p99": 0.99}


def tails(solution: Solution) -> tuple[list[tuple[str, Estimate]], list[str]]:
    """Measures, and why some of them are missing: a law that jumps just there, or cannot be inverted."""
    found: list[tuple[str, Estimate]] = []
    missing: dict[str, str] = {}

    def ask(measure: str, unit: str, scale: float, answer: Callable[[], Enclosed]) -> None:
        try:
            value, error = answer()
        except NotSolvable as reason:
            missing.setdefault(str(reason), measure)
        else:
            found.append((measure, estimate.enclosed(value * scale, error * scale, unit)))

    def ask_quantiles(measure: str, unit: str, scale: float, law: Enclosure) -> None:
        for name, q in QUANTILES.items():
            ask(f"{measure}_{name}", unit, scale, partial(law.quantile, q))

    budgets = {group: group.rstrip("_") or None for group in GROUPS}
    for group, budget in budgets.items():
        if solution.outages(budget):
            ask_quantiles(f"{group}outage_s", "s", 1.0, OutageLength(solution, budget))
    for group, budget in budgets.items():
        year = Downtime(solution, budget)
        ask_quantiles(f"{group}year_downtime_min", "min", 1.0 / MINUTE_S, year)
        if budget is None:
            for nines, share in NINES.items():
                ask(f"year_misses_{nines}_nines", "1", 1.0, partial(year.exceeds, share * YEAR_S))
    return found, [f"no exact {measure}: {reason}" for reason, measure in missing.items()]
