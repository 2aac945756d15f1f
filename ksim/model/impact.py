"""CrashImpact: all that one boot at micro scale tells the years at macro scale about a crash."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ksim.linux.makedumpfile import PAGE_CLASSES


@dataclass(frozen=True, slots=True)
class CrashImpact:
    """What a crash at one moment meets and destroys.

    ``pages``: shares of dumpable memory by makedumpfile's classes, in sum 1. ``user``, ``kernel``, ``irq``: shares of
    all CPU time; the rest was idle. ``dirty_bytes``: written by programs and not on disk. ``io_in_flight``,
    ``calls_in_flight``: commands and clients that get no answer. ``reads_per_s``, ``writes_per_s``,
    ``packets_per_s``, ``faults_per_s``: rates of operations up to then. ``detect_s``: from the fault to the panic, 0
    where nothing had to be detected.
    """

    at_s: float
    pages: Mapping[str, float]
    user: float
    kernel: float
    irq: float
    dirty_bytes: int
    io_in_flight: int
    calls_in_flight: int
    reads_per_s: float
    writes_per_s: float
    packets_per_s: float
    faults_per_s: float
    detect_s: float = 0.0

    def as_data(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self) | {"pages": dict(self.pages)}


def from_data(data: Mapping[str, Any]) -> CrashImpact:
    """The opposite of ``as_data``."""
    return CrashImpact(**data)


def mean(rows: Sequence[CrashImpact], name: str) -> float:
    """Mean of one number over the rows of a table."""
    return math.fsum(getattr(row, name) for row in rows) / len(rows)


def mean_pages(rows: Sequence[CrashImpact]) -> dict[str, float]:
    """Mean shares of the page classes, in sum exactly 1: free memory takes the rounding."""
    shares = {name: math.fsum(row.pages[name] for row in rows) / len(rows) for name in PAGE_CLASSES}
    shares["free"] = 1.0 - math.fsum(value for name, value in shares.items() if name != "free")
    return shares
