"""``experiments/scenarios/common_problem.toml`` in numbers, as every rival reads them. Times in seconds."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

YEARS = 10
HORIZON_S = YEARS * 31_536_000.0
UP_MEAN = 1_800_000.0
PANIC = (0.5, 3.0)
"""Uniform between the two."""
CAPTURE = (math.log(9.0), 0.35)
"""Log-normal: mean and standard deviation of the logarithm."""
SAVED, SAVED_P = (math.log(75.0), 0.8), 0.9
FAILED = (60.0, 300.0)
KEXEC, KEXEC_P = (2.0, 6.0), 0.7
FIRMWARE = (math.log(150.0), 0.4)
USERSPACE = (math.log(35.0), 0.5)
STEPS_OF_OUTAGE = 6
"""Transitions of one cycle, from up to up."""
EXACT = 0.999881412608
"""Availability over the horizon."""


class Answer(NamedTuple):
    """Mean availability over replications with its standard error, and how many transitions it took."""

    mean: float
    error: float
    steps: int


def answer(downtimes: Iterable[float], outages: int) -> Answer:
    """From the downtime of each replication and the number of all outages."""
    down = [x / HORIZON_S for x in downtimes]
    mean = math.fsum(down) / len(down)
    variance = math.fsum((x - mean) ** 2 for x in down) / (len(down) - 1)
    return Answer(1.0 - mean, math.sqrt(variance / len(down)), STEPS_OF_OUTAGE * outages)
