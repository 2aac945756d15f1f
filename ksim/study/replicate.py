"""Replications of one or more lifecycles under common random numbers, here or on several cores.

All lifecycles of a job see the same replications, so that differences between them are paired. Chunks may
finish in any order: the ledger's sums are exact, and the result has the same bytes for any number of workers.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

from ksim.evidence.ledger import Ledger, fold
from ksim.evidence.sums import Moments
from ksim.macro.walker import Walker
from ksim.model.lifecycle import Lifecycle
from ksim.study.pool import Piece, Progress, pieces_of, work_in_threads, work_on

Reader = Literal["simulated", "compiled"]
CHUNK = 512
"""Replications per piece of work: some hundred milliseconds."""
DIFFERENCES = ("downtime", "software_downtime", "outages", "work_lost")
"""Columns whose paired differences from the first lifecycle are kept."""


@dataclass(frozen=True)
class Job:
    """What to replicate: lifecycles by name (the first is the baseline of all differences).

    These are replications ``first``, ``first + 1``, ... of the seed: the outcomes of two jobs that follow each other,
    merged, are the outcome of one, bit for bit.
    """

    lifecycles: Mapping[str, Lifecycle]
    seed: int
    horizon_s: float
    replications: int
    reader: Reader = "simulated"
    first: int = 0


@dataclass
class Outcome:
    """The ledgers by name, and moments of paired differences by (name, column)."""

    ledgers: dict[str, Ledger] = field(default_factory=dict)
    differences: dict[tuple[str, str], Moments] = field(default_factory=dict)

    def merge(self, other: Outcome) -> None:
        for name, ledger in other.ledgers.items():
            if name in self.ledgers:
                self.ledgers[name].merge(ledger)
            else:
                self.ledgers[name] = ledger
        for key, moments in other.differences.items():
            self.differences.setdefault(key, Moments()).merge(moments)


class Chunker:
    """Runs chunks of a job; keeps the compiled walkers."""

    def __init__(self, job: Job) -> None:
        self._job = job
        batch = min(CHUNK, job.replications)
        self._walkers = {name: Walker(life, job.seed, batch) for name, life in job.lifecycles.items()}

    def run(self, first: int, count: int) -> Outcome:
        with collector_paused():
            return self._run(first, count)

    def _run(self, first: int, count: int) -> Outcome:
        job, outcome = self._job, Outcome()
        for name, life in job.lifecycles.items():
            outcome.ledgers[name] = Ledger(dict(life.layout.budgets))
        for replication in range(first, first + count):
            baseline: dict[str, int] | None = None
            for name, life in job.lifecycles.items():
                path = self._walkers[name].path(replication, job.horizon_s)
                columns = outcome.ledgers[name].add(fold(path, life.layout, job.horizon_s))
                if baseline is None:
                    baseline = columns
                    continue
                for column in DIFFERENCES:
                    moments = outcome.differences.setdefault((name, column), Moments())
                    moments.add_ticks(columns.get(column, 0) - baseline.get(column, 0))
        return outcome


@contextmanager
def collector_paused() -> Iterator[None]:
    """No cyclic garbage collection: a replication leaves little behind, and looking for it costs a third more."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def replicate(job: Job, workers: int | None = 1, progress: Progress | None = None) -> Outcome:
    """Runs the whole job. ``workers`` None: as many cores as are worth starting.

    Raises KsimError if a worker dies; see ``ksim.study.pool`` for what more than one asks of a script.
    """
    total, done = Outcome(), 0
    for (_, count), outcome in _work(job, workers):
        total.merge(outcome)
        done += count
        if progress is not None:
            progress(done, job.replications)
    return total


def _work(job: Job, workers: int | None) -> Iterator[tuple[Piece, Outcome]]:
    if job.reader == "compiled":
        # late: Numba is heavy, and may not be there
        from ksim.study.batches import Batcher, batches_of

        return work_in_threads(job, Batcher, batches_of(job), workers or os.cpu_count() or 1)
    chunks = pieces_of(job.replications, CHUNK, job.first)
    if workers is None:
        work = len(chunks) * len(job.lifecycles)
        workers = min(os.cpu_count() or 1, len(chunks)) if work >= CHUNKS_WORTH_A_POOL else 1
    return work_on(job, Chunker, chunks, workers)


CHUNKS_WORTH_A_POOL = 12
"""Below this much work the start of worker processes costs more than they save."""
