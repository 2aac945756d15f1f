"""Batches of replications in machine code, and the ledger that comes of them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ksim.compiled.draws import start
from ksim.compiled.program import program
from ksim.compiled.tally import (
    BINS,
    FACT,
    FROM_DEGRADED,
    FROM_DOWN,
    SOFTWARE,
    TO_DOWN,
    TO_NOTED,
    Facts,
    Room,
    Sums,
    tally,
)
from ksim.evidence.ledger import GROUPS, LIMITS, Ledger
from ksim.evidence.sums import BINS_PER_OCTAVE, Histogram, Moments, ticks
from ksim.evidence.transition import Layout
from ksim.model.course import course
from ksim.model.lifecycle import Lifecycle
from ksim.units import YEAR_S

BUDGETS = ("software", "hardware", "planned")
COLUMNS = ("downtime", "software_downtime", "outages", "work_lost")
"""What is kept of every single replication of a batch, for paired differences."""
FIRST_KEY = (1100 - 20) * BINS_PER_OCTAVE
"""Bin 0 of machine code counts from ticks of 2^-20 s, a histogram from seconds."""


class Batches:
    """Replications of one lifecycle under one seed. Each thread needs one of its own."""

    def __init__(self, life: Lifecycle, seed: int) -> None:
        self._layout = life.layout
        self._program = program(course(life), seed)
        self._names = Names(self._layout)
        self._facts = self._names.facts(self._layout)
        self._place = start(self._program)
        phases, causes = self._facts.phases, self._facts.causes
        self._room = Room(
            spent=np.zeros(causes * phases, np.int64),
            used=np.zeros(1 + causes * phases, np.int64),
            phases=np.zeros(phases, np.int64),
            columns=np.zeros(len(self._names.columns) + phases, np.int64),
            year=np.zeros(2, np.int64),
            finished=np.zeros((2, 2), np.int64),
        )
        self.steps = 0

    def run(self, first: int, many: int, horizon_s: float) -> tuple[Ledger, npt.NDArray[np.int64]]:
        """The ledger of replications ``first`` to ``first + many - 1``, and their COLUMNS in ticks (many, 4)."""
        sums = self._walked(first, many, horizon_s)
        self.steps += int(sums.counts[1])
        return self._ledger(sums), sums.columns

    def steps_of(self, replication: int, horizon_s: float) -> int:
        """How many transitions a replication has."""
        return int(self._walked(replication, 1, horizon_s).counts[1])

    def _walked(self, first: int, many: int, horizon_s: float) -> Sums:
        rows = len(self._names.rows)
        sums = Sums(
            moments=np.zeros((rows, 5, 2), np.uint64),
            many=np.zeros(rows, np.int64),
            lengths=np.zeros((2, BINS), np.int64),
            years=np.zeros((2, BINS), np.int64),
            missed=np.zeros(len(LIMITS), np.int64),
            counts=np.zeros(2, np.int64),
            columns=np.zeros((many, len(COLUMNS)), np.int64),
        )
        has_year = horizon_s >= YEAR_S
        tally(self._program, self._facts, self._place, self._room, sums, first, float(horizon_s), has_year)
        return sums

    def _ledger(self, sums: Sums) -> Ledger:
        names, columns = self._names.rows, len(self._names.columns)
        moments = [_moments(int(n), words) for n, words in zip(sums.many, sums.moments.tolist(), strict=True)]
        found = Ledger(dict(self._layout.budgets), replications=len(sums.columns), censored=int(sums.counts[0]))
        found.means = {name: m for name, m in zip(names[:columns], moments[:columns], strict=True) if m.n}
        found.ratios = {name: m for name, m in zip(names[columns:], moments[columns:], strict=True) if m.n}
        found.lengths = {
            group: _histogram(bins)
            for group, bins in zip(GROUPS, (sums.lengths.sum(axis=0), sums.lengths[SOFTWARE]), strict=True)
        }
        found.years = {group: _histogram(bins) for group, bins in zip(GROUPS, sums.years, strict=True)}
        found.missed = dict(zip(LIMITS, sums.missed.tolist(), strict=True))
        found.events = {
            event: found.means[f"event:{event}"].x // ticks(1.0)
            for event in self._names.events
            if f"event:{event}" in found.means
        }
        return found


class Names:
    """Events, causes and phases by number, and the names of the rows of ``Sums``."""

    def __init__(self, layout: Layout) -> None:
        self.events = sorted({event for event in layout.events if event})
        self.causes = list(layout.budgets)
        self.phases = sorted(set(layout.phases))
        self.columns = [
            *("downtime", "degraded", "work_lost", "outages"),
            *(f"{budget}_downtime" for budget in BUDGETS),
            *(f"{budget}_outages" for budget in BUDGETS),
            *(f"event:{event}" for event in self.events),
            *(f"downtime:cause={cause}" for cause in self.causes),
            *(f"downtime:phase={phase}" for phase in self.phases),
        ]
        self.rows = [
            *self.columns,
            *(f"{group}outage" for group in GROUPS),
            *(f"software_outage:phase={phase}" for phase in self.phases),
        ]

    def facts(self, layout: Layout) -> Facts:
        """The layout in arrays."""
        events = [self.events.index(event) if event else -1 for event in layout.events]
        lost = [ticks(lost) for lost in layout.work_lost_s]
        phases = [self.phases.index(phase) for phase in layout.phases]
        causes = {name: i for i, name in enumerate(self.causes)}
        return Facts(
            down=np.array(layout.down),
            degraded=np.array(layout.degraded),
            phase=np.array(phases),
            edges=np.array(
                [
                    (
                        FROM_DOWN * layout.down[source]
                        + FROM_DEGRADED * layout.degraded[source]
                        + TO_DOWN * layout.down[target]
                        + TO_NOTED * (events[target] >= 0 or lost[target] > 0),
                        causes.get(cause, -1),
                        phases[source],
                        events[target],
                        lost[target],
                    )
                    for source, target, cause in zip(layout.source, layout.target, layout.causes, strict=True)
                ],
                FACT,
            ),
            budget=np.array([BUDGETS.index(layout.budgets[cause]) for cause in self.causes]),
            budgets=len(BUDGETS),
            events=len(self.events),
            causes=len(self.causes),
            phases=len(self.phases),
            software=BUDGETS.index("software"),
        )


def _moments(n: int, words: list[list[int]]) -> Moments:
    return Moments(n, *(low + (high << 64) for low, high in words))


def _histogram(bins: npt.NDArray[np.int64]) -> Histogram:
    used = np.flatnonzero(bins)
    keys = np.where(used, used + FIRST_KEY, 0)
    return Histogram(dict(zip(keys.tolist(), bins[used].tolist(), strict=True)))
