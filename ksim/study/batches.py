"""Replications in machine code: the work of ``ksim.study.replicate`` in batches, one outcome each, in threads."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ksim.compiled.batch import COLUMNS, Batches
from ksim.evidence.sums import Moments, ticks
from ksim.study.pool import Piece, pieces_of
from ksim.study.replicate import DIFFERENCES, Job, Outcome

STEPS = 4_000_000
"""Of one batch: some tenths of a second, so that Ctrl-C is heard and progress seen."""
LARGEST = 65_536
LIMB, MASK = 21, (1 << 21) - 1
"""Parts of a number in ticks: sums of products of two of them over LARGEST values stay within 63 bits."""


class Batcher:
    """Runs batches of a job."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._batches = {name: Batches(life, job.seed) for name, life in job.lifecycles.items()}

    def run(self, first: int, count: int) -> Outcome:
        outcome, baseline = Outcome(), None
        for name, batches in self._batches.items():
            outcome.ledgers[name], columns = batches.run(first, count, self._job.horizon_s)
            if baseline is None:
                baseline = columns
                continue
            for column in DIFFERENCES:
                place = COLUMNS.index(column)
                outcome.differences[name, column] = exact_moments(columns[:, place] - baseline[:, place])
        return outcome

    @property
    def steps(self) -> int:
        """Transitions so far, of all lifecycles."""
        return sum(batches.steps for batches in self._batches.values())


def batches_of(job: Job) -> list[Piece]:
    """Batches of about STEPS transitions, by the look of the first replication."""
    trials = [Batches(life, job.seed).steps_of(job.first, job.horizon_s) for life in job.lifecycles.values()]
    steps = max(1, sum(trials))
    # the square of what a replication can sum up to, times their number, has to fit into 127 bits
    most = 1 << max(0, 127 - 2 * ticks(job.horizon_s).bit_length())
    return pieces_of(job.replications, min(LARGEST, most, max(1, STEPS // steps)), job.first)


def exact_moments(values: npt.NDArray[np.int64]) -> Moments:
    """Count, sum and sum of squares of values in ticks, exactly."""
    limbs = [values & MASK, (values >> LIMB) & MASK, values >> (2 * LIMB)]
    x = sum(int(limb.sum()) << (LIMB * i) for i, limb in enumerate(limbs))
    xx = sum(int(np.dot(a, b)) << (LIMB * (i + j)) for i, a in enumerate(limbs) for j, b in enumerate(limbs))
    return Moments(len(values), x, xx)
