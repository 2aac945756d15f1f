"""Precision instead of counts: replications go on until the intervals are as short as they were asked to be.

A run grows in rounds. After each the half-widths are looked at, and where one is still too long, the next round ends at

    n * (half-width / wanted)^2 * MARGIN

replications, but at no fewer than ``LEAST`` times and no more than ``MOST`` times as many as now. This is the rule of
Chow and Robbins with a first stage that is not small and with few looks: an interval whose length decides when it is
looked at covers too seldom, and the more so the fewer the observations behind its first looks. So the normal law is
never taken at its word on little data:

- nothing is judged before ``FIRST`` replications;
- the interval of a mean or a ratio counts as short enough only once it rests on ``EVIDENCE`` observations, and on as
  many events as far as its precision shows, (z * value / half-width)^2 >= ``EVIDENCE``. For a sum of outages that is
  their number over 1 + their squared coefficient of variation: small where few outages, or few that matter, were seen,
  however short the interval (of zero outages it has length 0). Stated as a precision: at 95 %, no mean is believed
  before it is known to 6.2 %, even if an absolute target asks for less. An availability counts as what is missing of 1.
  Proportions (Wilson) and quantiles (order statistics) do not need the normal law, and not this rule.

Round sizes depend on outcomes alone, so neither the number of workers nor the machine's speed matters, and replications
0 to n - 1 are the same as in a run of n from the start. Each interval is one of ``confidence`` by itself. The tests
measure how often it covers.

Sources  Chow, Robbins, "On the asymptotic theory of fixed-width sequential confidence intervals for the mean", Ann.
         Math. Stat. 36, 1965; the loss with small first stages and many looks: Law, Kelton, "Confidence intervals for
         steady-state simulations II: a survey of sequential procedures", Management Science 28, 1982.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from ksim.errors import ScenarioError, nearest
from ksim.study import measures
from ksim.study.estimate import Estimate, normal_quantile
from ksim.study.pool import Progress
from ksim.study.replicate import Job, Outcome, replicate
from ksim.study.tails import QUANTILES

FIRST = 1024
"""Replications before the first look."""
LEAST, MOST = 1.25, 2.0
"""How many times as many replications the next look sees. At most twice: a budget is asked for between rounds."""
MARGIN = 1.05
"""More than the estimated variance asks for, so that the next look is likely the last."""
EVIDENCE = 1000.0
"""Measured, nominal 0.95: on ``rack-server`` over 10 y, where few lengthy repairs make most of the downtime, a plain
interval covers in 0.917 of 300 runs at 290 such events, in 0.953 at 840; with 1000, this procedure in 0.928 of 500, and
in 0.946 to 0.962 on four hosts with one kind of outage (constant, exponential, lognormal of sigma 1)."""

_TEXT = re.compile(r"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*(\S*)\s*\Z")


@dataclass(frozen=True)
class Target:
    """A half-width: ``amount`` in ``unit`` ("1": none), or a share of the value where ``unit`` is "%"."""

    amount: float
    unit: str

    @staticmethod
    def parse(text: str) -> Target:
        """Of "2 %", "0.1 min/y", "5 s", "0.001". Raises ScenarioError."""
        match = _TEXT.match(text) if len(text) < 80 else None
        if match is None or not 0.0 < float(match[1]) < math.inf:
            raise ScenarioError(f"not a precision: '{text[:60]}' (write for example '2 %', '0.1 min/y' or '0.001')")
        amount, unit = float(match[1]), match[2] or "1"
        if unit == "%":
            return Target(amount / 100.0, "%")
        return Target(amount, "1/y" if unit == "/y" else unit)

    def check(self, measure: str, unit: str) -> None:
        """Raises ScenarioError if the measure has another unit."""
        if self.unit not in ("%", unit):
            asked = f"in '{self.unit}'" if self.unit != "1" else "without a unit"
            unit = "no unit" if unit == "1" else f"the unit '{unit}'"
            raise ScenarioError(f"a precision {asked} does not fit '{measure}', which has {unit} ('2 %' always fits)")

    def half_width(self, value: float) -> float:
        """What a half-width of ``value`` may be."""
        return self.amount * abs(value) if self.unit == "%" else self.amount


class Missed(NamedTuple):
    """A target that was not reached: ``half_width`` (None: too little data) against what was ``wanted``, and why."""

    lifecycle: str
    measure: str
    half_width: float | None
    wanted: float | None
    why: str


@dataclass(frozen=True)
class Run:
    """What was found in replications 0 to ``replications`` - 1; it can be gone on with."""

    outcome: Outcome = field(default_factory=Outcome)
    replications: int = 0
    missed: tuple[Missed, ...] = ()


def until(
    job: Job,
    targets: Mapping[str, Target],
    *,
    confidence: float,
    most: int,
    go_on: Callable[[], bool] = lambda: True,
    workers: int | None = 1,
    progress: Progress | None = None,
    begun: Run | None = None,
) -> Run:
    """Replicates ``job`` (its own number of replications is not asked for) until every lifecycle reaches its targets.

    It ends before that with ``most`` replications, or when ``go_on`` says no, which is asked after each round; what is
    missing then stands in ``missed``. ``begun``: an earlier run of the same job to go on from. Raises ScenarioError for
    a target of another unit, or of a measure that no lifecycle of the job has.
    """
    asked = _asked(job, targets)
    run = begun or Run()
    if run.replications:
        run = replace(run, missed=_missed(run, job, asked, confidence))
    while not run.replications or (run.missed and run.replications < most and go_on()):
        run = _round(job, run, min(most, _goal(run)), workers, progress, most)
        run = replace(run, missed=_missed(run, job, asked, confidence))
    return run


def _round(job: Job, run: Run, goal: int, workers: int | None, progress: Progress | None, most: int) -> Run:
    done = run.replications

    def report(more: int, of: int) -> None:
        if progress is not None:
            progress(done + more, most)

    found = replicate(replace(job, first=done, replications=goal - done), workers, report)
    found.merge(run.outcome)  # this way round ``run`` stays as it was
    return Run(found, goal)


def _goal(run: Run) -> int:
    """How many replications the next look sees."""
    if not run.replications:
        return FIRST
    ratios = [
        MOST if miss.half_width is None or not miss.wanted else (miss.half_width / miss.wanted) ** 2 * MARGIN
        for miss in run.missed
    ]
    return math.ceil(run.replications * min(MOST, max(LEAST, *ratios)))


def _asked(job: Job, targets: Mapping[str, Target]) -> dict[str, dict[str, Target]]:
    """The targets that each lifecycle can have."""
    units = {name: measures.units(life, job.horizon_s) for name, life in job.lifecycles.items()}
    known = {measure: unit for found in units.values() for measure, unit in found.items()}
    for measure, target in targets.items():
        if measure not in known:
            raise ScenarioError(f"there is no measure '{measure}' to be precise about{nearest(measure, known)}")
        target.check(measure, known[measure])
    return {name: {key: target for key, target in targets.items() if key in found} for name, found in units.items()}


def _missed(run: Run, job: Job, asked: dict[str, dict[str, Target]], confidence: float) -> tuple[Missed, ...]:
    missed = []
    for name, targets in asked.items():
        ledger = run.outcome.ledgers[name]
        found = dict(measures.sampled(ledger, job.horizon_s, confidence, wants=targets.__contains__))
        for measure, target in targets.items():
            miss = judge(name, measure, found.get(measure), target)
            if miss is not None:
                missed.append(miss)
    return tuple(missed)


def judge(lifecycle: str, measure: str, found: Estimate | None, target: Target) -> Missed | None:
    """What an estimate lacks of its target; None: nothing."""
    if found is None:
        return Missed(lifecycle, measure, None, None, "nothing of the kind was seen")
    wanted = target.half_width(found.value)
    if found.half_width is None:
        return Missed(lifecycle, measure, None, wanted, f"too few to tell: {found.n}")
    if not is_free_of_laws(measure):
        value = 1.0 - found.value if measure == "availability" else found.value
        if value == 0.0:
            return Missed(lifecycle, measure, None, wanted, "nothing of the kind was seen")
        if found.n < EVIDENCE:
            return Missed(lifecycle, measure, None, wanted, f"too few to tell: {found.n}")
        wanted = min(wanted, normal_quantile(found.confidence) * value / math.sqrt(EVIDENCE))
    if found.half_width <= wanted:
        return None
    return Missed(lifecycle, measure, found.half_width, wanted, f"{found.half_width / wanted:.3g} times as wide")


def is_free_of_laws(measure: str) -> bool:
    """Whether the interval of a measure holds whatever the law of its observations: a proportion, a quantile."""
    return measure.endswith(tuple(QUANTILES)) or measure == "vmcore_captured" or measure.startswith("year_misses_")
