"""What both readers report, under the same names: from a ledger with intervals, from a solution exactly."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace

from ksim.errors import ScenarioError, nearest
from ksim.evidence.ledger import GROUPS, NINES, Ledger, Row
from ksim.exact.solve import Solution
from ksim.model.lifecycle import Lifecycle
from ksim.study import estimate
from ksim.study.estimate import Estimate
from ksim.study.tails import QUANTILES, tails
from ksim.units import MINUTE_S, YEAR_S

Measure = tuple[str, Estimate]

MIN_PER_YEAR = "min/y"
COUNTED = {"panic": "panics_per_year", "kill": "kills_per_year", "damage": "damages_per_year"}
"""Events by the measure that counts them: panics, tasks that died in the kernel's stead, damage left unnoticed."""


BUDGETS = ("software", "hardware", "planned")
PARTED = ("downtime_min_per_year:cause=", "downtime_min_per_year:phase=", "software_outage_s_mean:phase=", "reward:")
"""Measures with a name behind them."""


def names() -> list[str]:
    """The measures that have one name for all scenarios; PARTED are the others."""
    per_year = ["downtime", *(f"{budget}_downtime" for budget in BUDGETS), "degraded", "work_lost"]
    outages = [f"{group}outage" for group in GROUPS]
    return [
        "availability",
        *(f"{column}_min_per_year" for column in per_year),
        *("downtime_min_per_year_sd", "downtime_min_in_horizon"),
        *COUNTED.values(),
        *(f"{outage}s_per_year" for outage in outages),
        *(f"{outage}_s_{kind}" for outage in outages for kind in ("mean", "sd", *QUANTILES)),
        *(f"{group}year_downtime_min_{name}" for group in GROUPS for name in QUANTILES),
        *(f"year_misses_{nines}_nines" for nines in NINES),
        *("vmcore_captured", "crashkernel_mib", "crashkernel_share"),
    ]


def check_name(measure: str) -> None:
    """Raises ScenarioError for what is no measure, with the nearest that is one."""
    if measure not in names() and not measure.startswith(PARTED):
        raise ScenarioError(f"unknown measure '{measure}'{nearest(measure, names())} (known: {', '.join(names())})")


def sampled(
    ledger: Ledger,
    horizon_s: float,
    confidence: float,
    method: str = "simulated",
    wants: Callable[[str], bool] = lambda measure: True,
) -> list[Measure]:
    """The measures of one design point by ``method``; ``year_...``: the first year of a host that starts at time 0.

    ``wants``: which of them are asked for.
    """
    found = _sampled(ledger, horizon_s, confidence, wants)
    return [(name, replace(value, method=method)) for name, value in found if value is not None and wants(name)]


def units(life: Lifecycle, horizon_s: float) -> dict[str, str]:
    """The unit of each measure that replications of a lifecycle can come to have, in their order."""
    ledger = Ledger(dict(life.layout.budgets))
    row = Row(first_year={} if horizon_s >= YEAR_S else None, events={"panic": 1, "vmcore": 1})
    for cause in life.layout.budgets:
        row.started[cause] = 1
        row.finished.append((cause, 1))
        for phase, down in zip(life.layout.phases, life.layout.down, strict=True):
            if down:
                row.downtime[cause, phase] = row.finished_downtime[cause, phase] = 1
    ledger.add(row)
    return {name: found.unit for name, found in _sampled(ledger, horizon_s, 0.5) if found is not None}


def _sampled(
    ledger: Ledger, horizon_s: float, confidence: float, wants: Callable[[str], bool] = lambda measure: True
) -> Iterator[tuple[str, Estimate | None]]:
    per_year = YEAR_S / horizon_s

    def mean(column: str, scale: float, unit: str) -> Estimate:
        return estimate.mean(ledger.column(column), scale, unit, confidence)

    down = mean("downtime", 1.0 / horizon_s, "1")
    yield "availability", Estimate(1.0 - down.value, down.half_width, confidence, down.n, "1", "simulated")
    for column in ("downtime", *(f"{budget}_downtime" for budget in _budgets(ledger.budgets.values())), "degraded"):
        yield f"{column}_min_per_year", mean(column, per_year / MINUTE_S, MIN_PER_YEAR)
    yield "downtime_min_in_horizon", mean("downtime", 1.0 / MINUTE_S, "min")
    yield "work_lost_min_per_year", mean("work_lost", per_year / MINUTE_S, MIN_PER_YEAR)
    for event, measure in COUNTED.items():
        yield measure, mean(f"event:{event}", per_year, "1/y")
    yield "outages_per_year", mean("outages", per_year, "1/y")
    for group in GROUPS:
        if group:
            yield f"{group}outages_per_year", mean(f"{group}outages", per_year, "1/y")
        yield f"{group}outage_s_mean", estimate.ratio(ledger.ratio(f"{group}outage", group), "s", confidence)
        for name, q in QUANTILES.items():
            if wants(f"{group}outage_s_{name}"):  # quantiles take longer than all the rest
                yield f"{group}outage_s_{name}", estimate.quantile(ledger.lengths[group], q, "s", confidence)
    for group in GROUPS:
        for name, q in QUANTILES.items():
            if wants(f"{group}year_downtime_min_{name}"):
                found = estimate.quantile(ledger.years[group], q, "min", confidence, 1.0 / MINUTE_S)
                yield f"{group}year_downtime_min_{name}", found
    for nines, count in ledger.missed.items():
        yield f"year_misses_{nines}_nines", estimate.proportion(count, ledger.years[""].n, confidence)
    captured, panics = ledger.events.get("vmcore", 0), ledger.events.get("panic", 0)
    yield "vmcore_captured", estimate.proportion(captured, panics, confidence)
    for column in sorted(ledger.means):
        if column.startswith("downtime:"):
            name = column.removeprefix("downtime:")
            yield f"downtime_min_per_year:{name}", mean(column, per_year / MINUTE_S, MIN_PER_YEAR)
    for column in sorted(ledger.ratios):
        if column.startswith("software_outage:"):
            name = column.removeprefix("software_outage:")
            found = estimate.ratio(ledger.ratio(column, "software_"), "s", confidence)
            yield f"software_outage_s_mean:{name}", found


def _budgets(given: object) -> list[str]:
    present = set(given)  # type: ignore[call-overload]
    return [budget for budget in BUDGETS if budget in present]


def exact(
    solution: Solution, horizon_s: float, notes: list[str] | None = None, *, with_tails: bool = True
) -> list[Measure]:
    """The same measures in the long run, exactly; ``notes`` gets the reasons why some are missing.

    ``with_tails``: quantiles and the first year, too, which take a second where the means take milliseconds.

    ``downtime_min_in_horizon`` is the expected downtime of a host that starts up at time 0, ``year_...`` its first
    year, and the standard deviations describe single outages and the downtime of one year.
    """
    found, reasons = tails(solution) if with_tails else ([], [])
    if notes is not None:
        notes += reasons
    head, parts = (
        [(name, estimate.exact(value, unit)) for name, value, unit in rows]
        for rows in (_exact(solution, horizon_s), _exact_parts(solution))
    )
    return [*head, *found, *parts]


def _exact(solution: Solution, horizon_s: float) -> Iterator[tuple[str, float, str]]:
    to_min_per_year = YEAR_S / MINUTE_S
    by_cause = solution.downtime_by_cause()
    budgets = solution.layout.budgets
    yield "availability", 1.0 - solution.unavailability, "1"
    yield "downtime_min_per_year", solution.unavailability * to_min_per_year, MIN_PER_YEAR
    for budget in _budgets(budgets.values()):
        shares = [math.fsum(phases.values()) for cause, phases in by_cause.items() if budgets[cause] == budget]
        yield f"{budget}_downtime_min_per_year", math.fsum(shares) * to_min_per_year, MIN_PER_YEAR
    yield "degraded_min_per_year", solution.degraded * to_min_per_year, MIN_PER_YEAR
    yield "downtime_min_in_horizon", solution.downtime_s(horizon_s) / MINUTE_S, "min"
    yield "work_lost_min_per_year", solution.work_lost * to_min_per_year, MIN_PER_YEAR
    for event, measure in COUNTED.items():
        yield measure, solution.event_rate(event) * YEAR_S, "1/y"
    sd = math.sqrt(max(0.0, solution.downtime_variance_rate * YEAR_S)) / MINUTE_S
    yield "downtime_min_per_year_sd", sd, MIN_PER_YEAR
    for group in GROUPS:
        outages = solution.outages(group.rstrip("_") or None)
        rate = outages.rate if outages else 0.0
        yield f"{group}outages_per_year", rate * YEAR_S, "1/y"
        if outages:
            yield f"{group}outage_s_mean", outages.mean_s, "s"
            yield f"{group}outage_s_sd", outages.sd_s, "s"


def _exact_parts(solution: Solution) -> Iterator[tuple[str, float, str]]:
    to_min_per_year = YEAR_S / MINUTE_S
    by_cause = solution.downtime_by_cause()
    panics = solution.event_rate("panic")
    if panics:
        yield "vmcore_captured", solution.event_rate("vmcore") / panics, "1"
    for cause in sorted(by_cause):
        yield (
            f"downtime_min_per_year:cause={cause}",
            math.fsum(by_cause[cause].values()) * to_min_per_year,
            MIN_PER_YEAR,
        )
    yield from _exact_phases(solution, by_cause)
    for name, (_, unit) in solution.life.rewards.items():
        yield f"reward:{name}", solution.reward(name), unit


def _exact_phases(solution: Solution, by_cause: dict[str, dict[str, float]]) -> Iterator[tuple[str, float, str]]:
    software = solution.outages("software")
    for phase in sorted({phase for phases in by_cause.values() for phase in phases}):
        shares = {cause: phases.get(phase, 0.0) for cause, phases in by_cause.items()}
        if any(shares.values()):
            yield f"downtime_min_per_year:phase={phase}", math.fsum(shares.values()) * YEAR_S / MINUTE_S, MIN_PER_YEAR
        of_software = [share for cause, share in shares.items() if solution.layout.budgets[cause] == "software"]
        if software and any(of_software):
            yield f"software_outage_s_mean:phase={phase}", math.fsum(of_software) / software.rate, "s"


def visits(solution: Solution) -> list[Measure]:
    """How often each node is entered per outage, exactly: for a node met at most once, its probability."""
    outages = solution.outages()
    per_outage = outages.rate * solution.cycle_s if outages else math.inf
    return [
        (f"visits_per_outage:node={name}", estimate.exact(count / per_outage, "1"))
        for name, count in zip(solution.layout.names, solution.visits, strict=True)
    ]
