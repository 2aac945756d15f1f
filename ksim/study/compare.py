"""The studies behind ``ksim run``, ``solve`` and ``compare``: scenario in, rows out.

A row is ``scenario, strategy, baseline, measure, unit, estimate, half_width, confidence, n, method``; rows come
in the order of the strategies, sampled before exact. ``baseline`` is empty but for differences. Where variants
of a scenario are compared, ``strategy`` holds the name of the variant.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

from ksim.errors import NotSolvable, ScenarioError
from ksim.exact.solve import Solution
from ksim.model.compose import lifecycle, recovery_strategies
from ksim.model.idle import idle_settings
from ksim.model.lifecycle import Lifecycle
from ksim.model.loader import Loaded
from ksim.study import estimate, measures
from ksim.study.engine import Engine, best, reader_of
from ksim.study.estimate import Estimate
from ksim.study.pool import Progress
from ksim.study.replicate import Job, Outcome, Reader, replicate
from ksim.study.sequential import Target, until
from ksim.study.tails import is_tail
from ksim.units import MINUTE_S, YEAR_S

COMPARED = ("full_reboot", "kdump", "kdump_kexec", "kexec_reboot")
"""What ``ksim compare`` compares if it is not told otherwise; the first is the baseline."""

MOST_REPLICATIONS = 10_000_000
"""Where a precision is asked for."""
Row = dict[str, Any]


@dataclass(frozen=True)
class Study:
    """Rows of one command, the graphs behind them, and remarks (by strategy) that a reader must see."""

    rows: list[Row]
    lifecycles: dict[str, Lifecycle]
    notes: list[str]
    alternatives: Literal["strategy", "variant"] = "strategy"


class Way(NamedTuple):
    """How a study is made, whatever its subject."""

    engine: Engine
    tails: bool | None
    workers: int | None
    progress: Progress | None
    asked: Sequence[str] | None = None
    precision: Mapping[str, str] | None = None
    rare: Sequence[str] = ()

    def wants(self, measure: str) -> bool:
        return self.asked is None or measure in self.asked


def run(
    loaded: Loaded,
    *,
    engine: Engine = "auto",
    tails: bool | None = None,
    asked: Sequence[str] | None = None,
    precision: Mapping[str, str] | None = None,
    rare: Sequence[str] = (),
    workers: int | None = 1,
    progress: Progress | None = None,
) -> Study:
    """The scenario under its own strategy.

    ``engine``: who answers, see ``ksim.study.engine``. ``tails``: whether quantiles and the first year are solved, too,
    which takes a second; None: where nobody samples them. ``asked``: the measures that are wanted, with their
    differences (None: all); what nobody asked for is neither solved nor sampled. ``precision``: half-widths by measure
    ("2 %", "0.1 min/y"), until which it is sampled, MOST_REPLICATIONS at most, in place of a number of replications.
    ``rare``: rare things, by the texts of ``ksim.study.rarities``.
    """
    return _study(
        loaded, _own(loaded), Way(engine, tails, workers, progress, asked, precision, rare), _idle(loaded, (None,))
    )


def compare(
    loaded: Loaded,
    strategies: Sequence[str] = COMPARED,
    *,
    engine: Engine = "auto",
    tails: bool | None = None,
    asked: Sequence[str] | None = None,
    precision: Mapping[str, str] | None = None,
    rare: Sequence[str] = (),
    workers: int | None = 1,
    progress: Progress | None = None,
) -> Study:
    """Simulates each strategy on the same faults and draws; differences are paired, against the first.

    Raises ScenarioError for an unknown or repeated strategy.
    """
    for name in strategies:
        if list(strategies).count(name) > 1:
            raise ScenarioError(f"strategy '{name}' is named twice")
    notes = _idle(loaded, strategies)
    lifecycles = {name: lifecycle(loaded.scenario, name) for name in strategies}
    return _study(loaded, lifecycles, Way(engine, tails, workers, progress, asked, precision, rare), notes)


def compare_variants(
    variants: Mapping[str, Loaded],
    *,
    engine: Engine = "auto",
    tails: bool | None = None,
    asked: Sequence[str] | None = None,
    precision: Mapping[str, str] | None = None,
    rare: Sequence[str] = (),
    workers: int | None = 1,
    progress: Progress | None = None,
) -> Study:
    """Simulates variants of one scenario, each under its own strategy, on the same faults and draws.

    Differences are paired, against the first. Raises ScenarioError where the variants differ in seed, horizon,
    replications or confidence.
    """
    loaded = next(iter(variants.values()))
    for name, other in variants.items():
        for key in ("seed", "horizon", "replications", "confidence"):
            if getattr(other.scenario, key) != getattr(loaded.scenario, key):
                raise ScenarioError(f"variant '{name}' has another {key}: variants are compared on the same draws")
    lifecycles = {name: lifecycle(other.scenario) for name, other in variants.items()}
    notes = [f"{name}: {note}" for name, other in variants.items() for note in _idle(other, (None,))]
    return replace(
        _study(loaded, lifecycles, Way(engine, tails, workers, progress, asked, precision, rare), notes),
        alternatives="variant",
    )


def solve(loaded: Loaded) -> Study:
    """The exact values alone. Raises NotSolvable with the reason."""
    rows, lifecycles, notes = [], _own(loaded), list[str]()
    for name, life in lifecycles.items():
        solution = Solution(life)
        found = _exact(name, solution, loaded.scenario.horizon, notes) + measures.visits(solution)
        rows += [row_of(loaded, name, measure, value) for measure, value in found]
        rows += _facts(loaded, name, life)
    return Study(rows, lifecycles, [*_notes(lifecycles), *notes, *_idle(loaded, (None,))])


def _exact(
    name: str, solution: Solution, horizon_s: float, notes: list[str], tails: bool = True
) -> list[measures.Measure]:
    reasons: list[str] = []
    found = measures.exact(solution, horizon_s, reasons, with_tails=tails)
    notes += [f"{name}: {reason}" for reason in reasons]
    return found


def _own(loaded: Loaded) -> dict[str, Lifecycle]:
    scenario = loaded.scenario
    name = "own" if scenario.lifecycle is not None else scenario.recovery.strategy
    return {name: lifecycle(scenario)}


def _study(
    loaded: Loaded,
    lifecycles: dict[str, Lifecycle],
    way: Way,
    more_notes: Sequence[str],
) -> Study:
    scenario = loaded.scenario
    notes, reasons = [*_notes(lifecycles), *more_notes], list[str]()
    solutions: dict[str, Solution] = {}
    for name, life in lifecycles.items():
        try:
            solutions[name] = Solution(life)
        except NotSolvable as error:
            if way.engine == "exact":
                raise
            reasons.append(f"{name}: no exact values ({error})")
    reader, remark = reader_of(way.engine, scenario.horizon)
    tails = way.engine in ("auto", "exact") if way.tails is None else way.tails
    if way.asked is not None:
        tails = tails and any(map(is_tail, way.asked))
    exact = {name: _exact(name, found, scenario.horizon, reasons, tails) for name, found in solutions.items()}
    if way.engine == "auto" and not reasons and (tails or (way.asked is not None and not any(map(is_tail, way.asked)))):
        reader, remark = None, ""  # nothing is left to be sampled
    notes += [*reasons, *([remark] if remark else [])]
    outcome = None
    if reader is not None:
        for solution in solutions.values():
            _check_size(solution, scenario.horizon)
        job = Job(lifecycles, scenario.seed, scenario.horizon, scenario.replications, reader)
        outcome = _sampled(job, way, scenario.confidence, notes)
    rows: list[Row] = []
    for name in lifecycles:
        found = []
        if outcome is not None and reader is not None:
            ledger = outcome.ledgers[name]
            found += measures.sampled(ledger, scenario.horizon, scenario.confidence, reader, way.wants)
        found += exact.get(name, [])
        rows += [row_of(loaded, name, measure, value) for measure, value in found if way.wants(measure)]
        rows += [row for row in _facts(loaded, name, lifecycles[name]) if way.wants(row["measure"])]
        rows += _rare(loaded, name, lifecycles[name], way, notes)
    rows += _differences(loaded, list(lifecycles), outcome, reader, {name: dict(exact[name]) for name in exact})
    rows = [row for row in rows if not row["baseline"] or way.wants(row["measure"].removesuffix("_difference"))]
    if way.engine == "auto":
        rows = best(rows)
    if outcome is None:
        return Study(rows, lifecycles, notes)
    censored = sum(ledger.censored for ledger in outcome.ledgers.values())
    if censored:
        notes.append(f"{censored} outages were cut off by the horizon: downtime counts them, outage lengths do not")
    return Study(rows, lifecycles, notes)


def _sampled(job: Job, way: Way, confidence: float, notes: list[str]) -> Outcome:
    """As many replications as the scenario says, or as the precision needs; what it misses is noted."""
    if not way.precision:
        return replicate(job, way.workers, way.progress)
    targets = {measure: Target.parse(text) for measure, text in way.precision.items()}
    found = until(
        job, targets, confidence=confidence, most=MOST_REPLICATIONS, workers=way.workers, progress=way.progress
    )
    notes += [f"{miss.lifecycle}: {miss.measure} is less precise than asked for: {miss.why}" for miss in found.missed]
    return found.outcome


def _rare(loaded: Loaded, name: str, life: Lifecycle, way: Way, notes: list[str]) -> list[Row]:
    if not way.rare:
        return []
    from ksim.study.rarities import answers  # late: few ask for them

    scenario, own = loaded.scenario, list[str]()
    found = answers(life, way.rare, way.engine, scenario.seed, scenario.confidence, own)
    rows = [row_of(loaded, name, measure, value) for measure, value in found]
    notes += [f"{name}: {note}" for note in own]
    return rows


def _facts(loaded: Loaded, name: str, life: Lifecycle) -> list[Row]:
    return [row_of(loaded, name, fact, estimate.exact(value, unit)) for fact, (value, unit) in life.facts.items()]


def _idle(loaded: Loaded, strategies: Sequence[str | None]) -> list[str]:
    """A remark on settings of the user's that make no difference; those of a base are the base's business."""
    if "linux.sysctl" in loaded.params and all(
        f"kdump.{key}" in loaded.params for key in loaded.scenario.kdump.given()
    ):
        return []
    found = idle_settings(loaded.scenario, strategies, lifecycle)
    return [f"changes nothing in what can happen here: {', '.join(found)}"] if found else []


MAX_STEPS = 5e6
"""Mean steps of one replication: it is held in memory as a whole, and takes seconds."""


def _check_size(solution: Solution, horizon_s: float) -> None:
    steps = horizon_s / solution.cycle_s * math.fsum(solution.visits)
    if steps > MAX_STEPS:
        raise ScenarioError(
            f"one replication would take {steps:.2g} steps (at most {MAX_STEPS:.2g}): lower the rates, shorten the "
            f"horizon, or let 'ksim solve' answer"
        )


def _differences(
    loaded: Loaded,
    names: list[str],
    outcome: Outcome | None,
    reader: Reader | None,
    exact: dict[str, dict[str, Estimate]],
) -> list[Row]:
    scenario = loaded.scenario
    baseline, rows = names[0], []
    scales = {
        "downtime": ("downtime_min_per_year", YEAR_S / scenario.horizon / MINUTE_S, measures.MIN_PER_YEAR),
        "software_downtime": ("software_downtime_min_per_year", YEAR_S / scenario.horizon / MINUTE_S, "min/y"),
        "outages": ("outages_per_year", YEAR_S / scenario.horizon, "1/y"),
        "work_lost": ("work_lost_min_per_year", YEAR_S / scenario.horizon / MINUTE_S, "min/y"),
    }
    for name in names[1:]:
        for column, (measure, scale, unit) in scales.items():
            if outcome is not None:
                moments = outcome.differences[name, column]
                paired = estimate.mean(moments, scale, unit, scenario.confidence, f"{reader}, paired")
                rows.append(row_of(loaded, name, f"{measure}_difference", paired, baseline))
            if name in exact and baseline in exact and measure in exact[name]:
                value = exact[name][measure].value - exact[baseline][measure].value
                rows.append(row_of(loaded, name, f"{measure}_difference", estimate.exact(value, unit), baseline))
    return rows


def row_of(loaded: Loaded, strategy: str, measure: str, found: Estimate, baseline: str = "") -> Row:
    """One row of a study."""
    return {
        "scenario": loaded.scenario.name,
        "strategy": strategy,
        "baseline": baseline,
        "measure": measure,
        "unit": found.unit,
        "estimate": found.value,
        "half_width": found.half_width,
        "confidence": found.confidence,
        "n": found.n,
        "method": found.method,
    }


def _notes(lifecycles: dict[str, Lifecycle]) -> list[str]:
    return [f"{name}: {note}" for name, life in lifecycles.items() for note in life.notes]


def strategy_names() -> list[str]:
    """All strategies that can be compared."""
    return list(recovery_strategies())
