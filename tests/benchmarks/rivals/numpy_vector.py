"""NumPy, vectorised over replications: a row a host, a column a cycle, chunks that stay in the cache.

No events: whole outages are summed up and cut at the horizon, which is all that this one problem asks for.
"""

from __future__ import annotations

import numpy as np

from tests.benchmarks.rivals.problem import (
    CAPTURE,
    FAILED,
    FIRMWARE,
    HORIZON_S,
    KEXEC,
    KEXEC_P,
    PANIC,
    SAVED,
    SAVED_P,
    UP_MEAN,
    USERSPACE,
    Answer,
    answer,
)  # fmt: skip

ROWS, COLUMNS = 64, 200
"""A chunk: 10 years have 175 cycles in the mean; hosts that are not done by the last column get another chunk."""


def lognormal(rng: np.random.Generator, law: tuple[float, float], n: int) -> np.ndarray:
    """Half the time of Generator.lognormal: NumPy's exp is vectorised, that of its loop is not."""
    z = rng.standard_normal(n)
    z *= law[1]
    z += law[0]
    return np.exp(z, out=z)


def outages(rng: np.random.Generator, n: int) -> np.ndarray:
    """Lengths of n outages. Which way one takes decides what is drawn: no draw is thrown away."""
    down = rng.random(n)
    down *= PANIC[1] - PANIC[0]
    down += PANIC[0]
    down += lognormal(rng, CAPTURE, n)
    down += lognormal(rng, USERSPACE, n)
    for law, uniform, share, log_first in ((SAVED, FAILED, SAVED_P, True), (FIRMWARE, KEXEC, KEXEC_P, False)):
        first = rng.random(n) < share
        logs = np.flatnonzero(first if log_first else ~first)
        down[logs] += lognormal(rng, law, len(logs))
        others = np.flatnonzero(~first if log_first else first)
        down[others] += rng.uniform(*uniform, len(others))
    return down


def chunk(rng: np.random.Generator, rows: int) -> tuple[np.ndarray, int]:
    """Downtime of each of ``rows`` hosts, and the number of their outages."""
    total, count = np.zeros(rows), 0
    todo, time = np.arange(rows), np.zeros(rows)
    while len(todo):
        shape = (len(todo), COLUMNS)
        down = outages(rng, len(todo) * COLUMNS).reshape(shape)
        cycle = rng.standard_exponential(shape)
        cycle *= UP_MEAN
        cycle += down
        end = np.cumsum(cycle, axis=1, out=cycle)
        end += time[:, None]
        within = np.clip(HORIZON_S - (end - down), 0.0, down)
        total[todo] += within.sum(axis=1)
        count += int(np.count_nonzero(within))
        more = end[:, -1] < HORIZON_S
        todo, time = todo[more], end[more, -1]
    return total, count


def run(replications: int, seed: int) -> Answer:
    rng = np.random.default_rng(seed)
    downtimes: list[float] = []
    count = 0
    for first in range(0, replications, ROWS):
        found, many = chunk(rng, min(ROWS, replications - first))
        downtimes += found.tolist()
        count += many
    return answer(downtimes, count)
