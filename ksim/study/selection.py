"""The best of several alternatives: the one with the lowest, or highest, mean of a measure, and how sure that is.

The procedure KN of Kim and Nelson: all alternatives see the same replications, so that their differences vary little
(common random numbers). After a first stage, which estimates the variances S^2 of all differences, an alternative is
dropped as soon as another leads it, on average over r observations, by more than

    max(0, (h^2 S^2 / delta - delta r) / (2 r)),   h^2 = (n0 - 1) ((2 (1 - P*) / (k - 1))^(-2 / (n0 - 1)) - 1)

With normal observations the one that is left is the best with probability P* or more, if it is better than every other
by the indifference zone delta or more; if some are closer than that, it is one of these or the choice does not matter.
An observation is the mean over ``BATCH`` replications: the normal law holds for it, or nearly.

Where the exact reader gives the measure of every alternative there is nothing to select by chance.

Sources  Kim, Nelson, "A fully sequential procedure for indifference-zone selection in simulation", ACM TOMACS 11, 2001
         (c = 1); common random numbers: Nelson, Matejcik, "Using common random numbers for indifference-zone selection
         and multiple comparisons in simulation", Management Science 41, 1995.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from ksim.errors import NotSolvable, ScenarioError, nearest
from ksim.exact.solve import Solution
from ksim.study import measures
from ksim.study.pool import Hires, Progress, pieces_of, work_in_threads, work_on
from ksim.study.replicate import Chunker, Job, Outcome
from ksim.units import MINUTE_S, YEAR_S

BATCH = 128
"""Replications behind one observation."""
STAGE = 24
"""Observations of the first stage."""
AT_ONCE = 16
"""Observations made together after that; those behind the decision are not used, and not counted."""


@dataclass(frozen=True)
class Selection:
    """``winner`` is None where several ``survivors`` are left, since the most replications or the budget were spent.

    Of exact values the survivors are those that are equally good, the winner the first of them.

    ``replications`` of all alternatives together, up to the decision; ``dropped``: after how many of its own each went.
    ``saving``: how many times as many independent replications would have taken, for each alternative against the
    winner or leader: Var(X) + Var(Y) over Var(X - Y), all pairs together; None: exact, or nothing varies.
    """

    winner: str | None
    survivors: tuple[str, ...]
    means: dict[str, float]
    dropped: dict[str, int]
    replications: int
    saving: float | None
    method: str


def select(
    job: Job,
    measure: str,
    *,
    lowest: bool = True,
    probability: float = 0.95,
    indifference: float,
    most: int = 10**6,
    go_on: Callable[[], bool] = lambda: True,
    try_exact: bool = True,
    workers: int | None = 1,
    progress: Progress | None = None,
) -> Selection:
    """Selects among the lifecycles of a job (its own number of replications is not asked for).

    ``indifference`` in the unit of the measure. ``most``: replications of one alternative, after the first stage.
    ``go_on`` is asked each time before more are made. Raises ScenarioError for fewer than two alternatives, a measure
    that is not a mean over replications, and numbers out of range.
    """
    names = list(job.lifecycles)
    if len(names) < 2:
        raise ScenarioError("a selection needs at least two alternatives")
    if not 0.0 < indifference < math.inf:
        raise ScenarioError(f"the indifference zone must be above zero, and is {indifference:g}")
    if not 1.0 / len(names) < probability < 1.0:
        raise ScenarioError(
            f"the probability of a correct selection is between 1/{len(names)} and 1, not {probability:g}"
        )
    column, scale, offset = column_of(job, measure)
    sign = 1.0 if lowest else -1.0
    exact = _exactly(job, measure) if try_exact else None
    if exact is not None:
        winner = min(names, key=lambda name: sign * exact[name])
        equal = tuple(name for name in names if exact[name] == exact[winner])
        return Selection(winner, equal, exact, {}, 0, None, "exact")
    stage = Stage(job, column, sign * scale, workers, progress, most)
    race = Race(names, probability, indifference)
    for row in stage.first(names):
        race.enter(row)
    while len(race.left) > 1 and race.r * BATCH < most and go_on():
        for row in stage.further(race.left, race.r):
            race.enter(row)
            if len(race.left) < len(row):
                break  # those that were dropped just now are not made any more
    return Selection(
        race.left[0] if len(race.left) == 1 else None,
        tuple(race.left),
        {name: offset + sign * math.fsum(values) / len(values) for name, values in race.values.items()},
        {name: r * BATCH for name, r in race.dropped.items()},
        sum(len(values) for values in race.values.values()) * BATCH,
        race.saving(),
        f"KN, {job.reader}",
    )


def column_of(job: Job, measure: str) -> tuple[str, float, float]:
    """The column of a ledger whose mean, times a scale, plus an offset, is the measure. Raises ScenarioError."""
    per_year = YEAR_S / job.horizon_s
    known = {
        "downtime_min_in_horizon": ("downtime", 1.0 / MINUTE_S),
        **{name: (f"event:{event}", per_year) for event, name in measures.COUNTED.items()},
    }
    for column in ("downtime", "software_downtime", "hardware_downtime", "planned_downtime", "degraded", "work_lost"):
        known[f"{column}_min_per_year"] = column, per_year / MINUTE_S
    for column in ("outages", "software_outages"):
        known[f"{column}_per_year"] = column, per_year
    if measure == "availability":
        return "downtime", -1.0 / job.horizon_s, 1.0
    head, _, part = measure.partition(":")
    if head == "downtime_min_per_year" and part.startswith(("cause=", "phase=")):
        return f"downtime:{part}", per_year / MINUTE_S, 0.0
    if measure not in known:
        known_names = [*known, "availability"]
        raise ScenarioError(f"'{measure}' is no mean over replications to select by{nearest(measure, known_names)}")
    return *known[measure], 0.0


def _exactly(job: Job, measure: str) -> dict[str, float] | None:
    found: dict[str, float] = {}
    for name, life in job.lifecycles.items():
        try:
            values = dict(measures.exact(Solution(life), job.horizon_s, with_tails=False))
        except NotSolvable:
            return None
        if measure not in values:
            return None
        found[name] = values[measure].value
    return found


Observation = dict[str, float]
"""One number per alternative that is left; lower is better."""


class Race:
    """KN, of observations as they come."""

    def __init__(self, names: Sequence[str], probability: float, indifference: float, stage: int = STAGE) -> None:
        self.left, self.r, self._delta, self._stage = list(names), 0, indifference, stage
        self.values: dict[str, list[float]] = {name: [] for name in names}
        self.dropped: dict[str, int] = {}
        self._sums = dict.fromkeys(names, 0.0)
        self._variances: dict[tuple[str, str], float] = {}
        alpha = 2.0 * (1.0 - probability) / (len(names) - 1)
        self._hh = (stage - 1) * (alpha ** (-2.0 / (stage - 1)) - 1.0)

    def enter(self, row: Observation) -> None:
        """One observation of those that are left (others are not looked at)."""
        self.r += 1
        for name in self.left:
            self.values[name].append(row[name])
            self._sums[name] += row[name]
        if self.r == self._stage:
            for one, other in combinations(self.left, 2):
                found = variance(a - b for a, b in zip(self.values[one], self.values[other], strict=True))
                self._variances[one, other] = self._variances[other, one] = found
        if self.r >= self._stage:
            self._drop()

    def _drop(self) -> None:
        gone = []
        for name in self.left:
            for other in self.left:
                if name != other and self._sums[name] - self._sums[other] > self.room(name, other):
                    gone.append(name)
                    break
        for name in gone:
            self.left.remove(name)
            self.dropped[name] = self.r
        if len(self.left) > 1 and self._are_alike():
            for name in self.left[1:]:
                self.dropped[name] = self.r
            self.left = self.left[:1]

    def room(self, one: str, other: str) -> float:
        """How much larger the sum of one may be without it being dropped."""
        spread: float = self._hh * self._variances[one, other] / self._delta
        return max(0.0, (spread - self._delta * self.r) / 2.0)

    def _are_alike(self) -> bool:
        """Whether nobody can lead any more by what is asked for: all have the same sum, and nothing varies."""
        return all(
            self._sums[one] == self._sums[other] and self._variances[one, other] == 0.0
            for one, other in combinations(self.left, 2)
        )

    def saving(self) -> float | None:
        """Variance of independent differences from the leader over that of paired ones, in the first stage."""
        leader = min(self.left, key=lambda name: self._sums[name] / max(1, len(self.values[name])))
        mine = variance(self.values[leader][: self._stage])
        others = [name for name in self.values if name != leader]
        apart = math.fsum(mine + variance(self.values[name][: self._stage]) for name in others)
        paired = math.fsum(self._variances.get((leader, name), 0.0) for name in others)
        return apart / paired if paired > 0.0 else None


def variance(values: Iterable[float]) -> float:
    """Sample variance."""
    x = list(values)
    mean = math.fsum(x) / len(x)
    return math.fsum((v - mean) ** 2 for v in x) / (len(x) - 1)


class Stage:
    """Makes observations of a job."""

    def __init__(
        self, job: Job, column: str, scale: float, workers: int | None, progress: Progress | None, most: int
    ) -> None:
        self._job, self._column, self._scale = job, column, scale
        self._workers, self._progress, self._most = workers or os.cpu_count() or 1, progress, most

    def first(self, names: Sequence[str]) -> Iterator[Observation]:
        """The first stage."""
        return self._rows(names, 0, STAGE)

    def further(self, names: Sequence[str], r: int) -> Iterator[Observation]:
        """More of them, from number ``r`` on, for these alternatives."""
        return self._rows(names, r, AT_ONCE)

    def _rows(self, names: Sequence[str], r: int, count: int) -> Iterator[Observation]:
        lives = {name: self._job.lifecycles[name] for name in names}
        job = replace(self._job, lifecycles=lives, first=r * BATCH, replications=count * BATCH)
        found: dict[int, Observation] = {}
        for (first, _), outcome in _work(job, self._workers):
            found[first] = {
                name: self._scale * ledger.column(self._column).mean for name, ledger in outcome.ledgers.items()
            }
            if self._progress is not None:
                self._progress((r + len(found)) * BATCH, self._most)
        for first in sorted(found):
            yield found[first]


def _work(job: Job, workers: int) -> Iterator[tuple[tuple[int, int], Outcome]]:
    pieces = pieces_of(job.replications, BATCH, job.first)
    if job.reader == "compiled":
        from ksim.study.batches import Batcher  # late: Numba is heavy, and may not be there

        return work_in_threads(job, Batcher, pieces, workers)
    hires: Hires[Job, Outcome] = Chunker
    return work_on(job, hires, pieces, workers)
