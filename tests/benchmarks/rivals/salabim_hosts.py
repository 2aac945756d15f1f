"""salabim: one component a host, its process with yields (the faster form), no monitors, draws from ``random``."""

from __future__ import annotations

import random

import salabim as sim

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


class Host(sim.Component):
    def setup(self, rng: random.Random) -> None:
        self.rng = rng
        self.down_s, self.outages, self.since = 0.0, 0, -1.0

    def process(self):
        env, rng, hold = self.env, self.rng, self.hold
        while True:
            yield hold(rng.expovariate(1.0 / UP_MEAN))
            self.outages += 1
            self.since = env.now()
            yield hold(rng.uniform(*PANIC))
            yield hold(rng.lognormvariate(*CAPTURE))
            saved = rng.random() < SAVED_P
            yield hold(rng.lognormvariate(*SAVED) if saved else rng.uniform(*FAILED))
            kexec = rng.random() < KEXEC_P
            yield hold(rng.uniform(*KEXEC) if kexec else rng.lognormvariate(*FIRMWARE))
            yield hold(rng.lognormvariate(*USERSPACE))
            self.down_s += env.now() - self.since
            self.since = -1.0

    def downtime(self) -> float:
        return self.down_s + (HORIZON_S - self.since if self.since >= 0.0 else 0.0)


def run(replications: int, seed: int) -> Answer:
    downtimes, outages = [], 0
    for replication in range(replications):
        env = sim.Environment(yieldless=False, trace=False)
        host = Host(rng=random.Random(seed * 1_000_003 + replication), mode=None)
        host.mode.monitor(False)
        host.status.monitor(False)
        env.run(till=HORIZON_S)
        downtimes.append(host.downtime())
        outages += host.outages
    return answer(downtimes, outages)
