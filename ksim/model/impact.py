"""CrashImpact: all that one boot at micro scale tells the years at macro scale about a crash."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from importlib import resources
from typing import Any

from ksim.linux.makedumpfile import PAGE_CLASSES


@dataclass(frozen=True, slots=True)
class CrashImpact:
    """What a crash at one moment meets and destroys.

    ``pages``: shares of dumpable memory by makedumpfile's classes, in sum 1. ``user``, ``kernel``, ``irq``: shares of
    all CPU time; the rest was idle. ``dirty_bytes``: written by programs and not on disk. ``io_in_flight``,
    ``calls_in_flight``: commands and clients that get no answer. ``reads_per_s``, ``writes_per_s``,
    ``packets_per_s`` (of these sent: ``sent_per_s``), ``faults_per_s``: rates of operations up to then. ``detect_s``:
    from the fault to the panic, 0 where nothing had to be detected.
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
    sent_per_s: float
    faults_per_s: float
    detect_s: float = 0.0

    def as_data(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self) | {"pages": dict(self.pages)}


def from_data(data: Mapping[str, Any]) -> CrashImpact:
    """The opposite of ``as_data``."""
    return CrashImpact(**data)


@dataclass(frozen=True)
class ImpactTable:
    """Crashes of one scenario at random moments: row k is the one of replication k.

    ``digest``: of the scenario, the number of rows and the version of the model, which together decide every row.
    ``manifest``: how the table was made.
    """

    digest: str
    rows: tuple[CrashImpact, ...]
    manifest: Mapping[str, Any]

    def values(self, name: str) -> list[float]:
        """One number of all rows."""
        return [float(getattr(row, name)) for row in self.rows]

    def mean(self, name: str) -> float:
        """Mean of one number over the rows."""
        return math.fsum(self.values(name)) / len(self.rows)

    def pages(self) -> dict[str, float]:
        """Mean shares of the page classes, in sum exactly 1: free memory takes the rounding."""
        shares = {name: math.fsum(row.pages[name] for row in self.rows) / len(self.rows) for name in PAGE_CLASSES}
        shares["free"] = 1.0 - math.fsum(value for name, value in shares.items() if name != "free")
        return shares

    @property
    def idle(self) -> float:
        """Mean share of all CPU time in which there was nothing to do."""
        return max(0.0, 1.0 - math.fsum(self.mean(name) for name in ("user", "kernel", "irq")))

    def text(self) -> str:
        """The table as JSON, a row per line."""
        head = json.dumps({"digest": self.digest, "manifest": self.manifest}, indent=1, allow_nan=False)
        rows = ",\n  ".join(json.dumps(row.as_data(), allow_nan=False) for row in self.rows)
        return f'{head[:-2]},\n "rows": [\n  {rows}\n ]\n}}\n'


def read_table(text: str) -> ImpactTable:
    """The opposite of ``ImpactTable.text``. Raises ValueError for a text that is no such table."""
    try:
        data = json.loads(text)
        rows = tuple(from_data(row) for row in data["rows"])
        table = ImpactTable(data["digest"], rows, data["manifest"])
        if not rows or abs(math.fsum(table.pages().values()) - 1.0) > 1e-9:
            raise ValueError("no rows")
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"no table of crash impacts: {error}") from None
    return table


@cache
def shipped_impact(workload: str) -> ImpactTable:
    """The table that ksim brings along for a workload of ``ksim.model.schema_micro``.

    Written by ``experiments/e14_crash_impacts.py``: crashes of ``rack-server`` at work. Raises OSError where there is
    none.
    """
    return read_table((resources.files("ksim.model") / "impacts" / f"{workload}.json").read_text("utf-8"))
