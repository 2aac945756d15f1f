"""SimPy with what profiling teaches: draws made in NumPy blocks, and the phases of an outage merged into one timeout.

Such a model spends its time on scalar draws and on timeouts. Nobody looks at a single phase here, so the merged form
waits for all five of an outage at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import simpy

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

BLOCK = 4096
"""Cycles drawn at once."""
Cycle = tuple[float, ...]
"""Time up, then the phases of the outage that ends it, or their sum."""


def cycles(rng: np.random.Generator, merged: bool) -> Iterator[Cycle]:
    """One after the other, for ever."""
    while True:
        up = rng.exponential(UP_MEAN, BLOCK)
        panic, capture = rng.uniform(*PANIC, BLOCK), rng.lognormal(*CAPTURE, BLOCK)
        dump = np.where(rng.random(BLOCK) < SAVED_P, rng.lognormal(*SAVED, BLOCK), rng.uniform(*FAILED, BLOCK))
        restart = np.where(rng.random(BLOCK) < KEXEC_P, rng.uniform(*KEXEC, BLOCK), rng.lognormal(*FIRMWARE, BLOCK))
        phases = [panic, capture, dump, restart, rng.lognormal(*USERSPACE, BLOCK)]
        columns = [up, sum(phases)] if merged else [up, *phases]
        yield from zip(*(column.tolist() for column in columns))


class Host:
    def __init__(self) -> None:
        self.down_s, self.outages, self.since = 0.0, 0, -1.0

    def phases(self, env: simpy.Environment, draws: Iterator[Cycle]) -> Iterator[Any]:
        timeout = env.timeout
        for up, panic, capture, dump, restart, userspace in draws:
            yield timeout(up)
            self.outages += 1
            self.since = env.now
            yield timeout(panic)
            yield timeout(capture)
            yield timeout(dump)
            yield timeout(restart)
            yield timeout(userspace)
            self.down_s += env.now - self.since
            self.since = -1.0

    def merged(self, env: simpy.Environment, draws: Iterator[Cycle]) -> Iterator[Any]:
        timeout = env.timeout
        for up, outage in draws:
            yield timeout(up)
            self.outages += 1
            self.since = env.now
            yield timeout(outage)
            self.down_s += outage
            self.since = -1.0

    def downtime(self) -> float:
        """What is over, and what the horizon cuts off."""
        return self.down_s + (HORIZON_S - self.since if self.since >= 0.0 else 0.0)


def play(replications: int, draws: Iterator[Cycle], life: Callable[..., Iterator[Any]]) -> Answer:
    downtimes, outages = [], 0
    for _ in range(replications):
        env, host = simpy.Environment(), Host()
        env.process(life(host, env, draws))
        env.run(until=HORIZON_S)
        downtimes.append(host.downtime())
        outages += host.outages
    return answer(downtimes, outages)


def run(replications: int, seed: int) -> Answer:
    return play(replications, cycles(np.random.default_rng(seed), merged=False), Host.phases)


def run_merged(replications: int, seed: int) -> Answer:
    return play(replications, cycles(np.random.default_rng(seed), merged=True), Host.merged)
