"""Cimba's Python package: the model class is compiled by Numba and run by Cimba's C engine, one worker."""

from __future__ import annotations

import cimba as cb

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

PANIC_LOW, PANIC_HIGH = PANIC
CAPTURE_MU, CAPTURE_SIGMA = CAPTURE
SAVED_MU, SAVED_SIGMA = SAVED
FAILED_LOW, FAILED_HIGH = FAILED
KEXEC_LOW, KEXEC_HIGH = KEXEC
FIRMWARE_MU, FIRMWARE_SIGMA = FIRMWARE
USERSPACE_MU, USERSPACE_SIGMA = USERSPACE


class Host(cb.Model):
    down_s: cb.Output[float]
    outages: cb.Output[float]
    since: cb.Output[float]

    @cb.on_start
    def begin(self):
        self.down_s = 0.0
        self.outages = 0.0
        self.since = -1.0

    @cb.process
    def life(self):
        while True:
            cb.hold(cb.random.exponential(UP_MEAN))
            self.outages += 1.0
            self.since = cb.now()
            cb.hold(cb.random.uniform(PANIC_LOW, PANIC_HIGH))
            cb.hold(cb.random.lognormal(CAPTURE_MU, CAPTURE_SIGMA))
            if cb.random.uniform(0.0, 1.0) < SAVED_P:
                cb.hold(cb.random.lognormal(SAVED_MU, SAVED_SIGMA))
            else:
                cb.hold(cb.random.uniform(FAILED_LOW, FAILED_HIGH))
            if cb.random.uniform(0.0, 1.0) < KEXEC_P:
                cb.hold(cb.random.uniform(KEXEC_LOW, KEXEC_HIGH))
            else:
                cb.hold(cb.random.lognormal(FIRMWARE_MU, FIRMWARE_SIGMA))
            cb.hold(cb.random.lognormal(USERSPACE_MU, USERSPACE_SIGMA))
            self.down_s += cb.now() - self.since
            self.since = -1.0

    @cb.on_end
    def cut_off(self):
        if self.since >= 0.0:
            self.down_s += HORIZON_S - self.since


MODEL = Host()


def run(replications: int, seed: int) -> Answer:
    experiment = cb.Experiment(MODEL, replications=replications, window=cb.Window(duration=HORIZON_S), seed=seed)
    found = experiment.run(workers=1, on_failure="raise")[MODEL]
    return answer(found.down_s.values[0].tolist(), int(found.outages.values.sum()))
