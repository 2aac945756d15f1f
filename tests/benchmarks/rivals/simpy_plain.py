"""SimPy as its tutorial writes it: one process a host, one timeout a phase, draws from Python's ``random``."""

from __future__ import annotations

import random

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


class Host:
    def __init__(self, env: simpy.Environment, rng: random.Random) -> None:
        self.env, self.rng = env, rng
        self.down_s, self.outages, self.since = 0.0, 0, -1.0
        env.process(self.life())

    def life(self):
        env, rng = self.env, self.rng
        while True:
            yield env.timeout(rng.expovariate(1.0 / UP_MEAN))
            self.outages += 1
            self.since = env.now
            yield env.timeout(rng.uniform(*PANIC))
            yield env.timeout(rng.lognormvariate(*CAPTURE))
            saved = rng.random() < SAVED_P
            yield env.timeout(rng.lognormvariate(*SAVED) if saved else rng.uniform(*FAILED))
            kexec = rng.random() < KEXEC_P
            yield env.timeout(rng.uniform(*KEXEC) if kexec else rng.lognormvariate(*FIRMWARE))
            yield env.timeout(rng.lognormvariate(*USERSPACE))
            self.down_s += env.now - self.since
            self.since = -1.0

    def downtime(self) -> float:
        """What is over, and what the horizon cuts off."""
        return self.down_s + (HORIZON_S - self.since if self.since >= 0.0 else 0.0)


def run(replications: int, seed: int) -> Answer:
    downtimes, outages = [], 0
    for replication in range(replications):
        env = simpy.Environment()
        host = Host(env, random.Random(seed * 1_000_003 + replication))
        env.run(until=HORIZON_S)
        downtimes.append(host.downtime())
        outages += host.outages
    return answer(downtimes, outages)
