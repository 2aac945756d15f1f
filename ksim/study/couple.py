"""The bridge from micro to macro: crashes of one scenario at random moments, as a table that macro reads.

Model    Replication k plays one boot until a moment that is uniform between the warm-up and ``micro.span``, and a
         crash strikes there. Rates of operations are means since boot. A boot that ends by itself before (a fault of
         a device may panic it) is a row as it ended.
Draws    The moment comes from the stream ``micro crash moment``: rows do not depend on each other, on ``k`` or on the
         number of workers.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterable
from pathlib import Path

from ksim.chance.streams import uniform
from ksim.evidence.sums import Moments
from ksim.linux.makedumpfile import PAGE_CLASSES
from ksim.linux.watermarks import DIRTY_EXPIRE_S, DIRTY_WRITEBACK_S
from ksim.micro.machine import Boot
from ksim.model.impact import CrashImpact, ImpactTable, read_table
from ksim.model.loader import Loaded
from ksim.model.scenario import Scenario
from ksim.model.schema_micro import Micro
from ksim.study import estimate
from ksim.study.compare import Row, row_of
from ksim.study.pool import Progress, pieces_of, work_on
from ksim.study.results import manifest, write

MOMENT = "micro crash moment"
_LOG = logging.getLogger(__name__)


def warm_up_s(scenario: Scenario) -> float:
    """Until the first dirty pages have been written back; half of the span where that is too short for it."""
    span_s = (scenario.micro or Micro()).span
    return min(float(DIRTY_EXPIRE_S.value + DIRTY_WRITEBACK_S.value), span_s / 2.0)


def moment_s(scenario: Scenario, replication: int) -> float:
    """When the crash of this replication strikes, in seconds since boot."""
    start_s, span_s = warm_up_s(scenario), (scenario.micro or Micro()).span
    return start_s + uniform(scenario.seed, replication, MOMENT, 0) * (span_s - start_s)


def crash(scenario: Scenario, replication: int) -> CrashImpact:
    """One row of the table."""
    return Boot(scenario, replication).run(moment_s(scenario, replication)).impact


class Crasher:
    """The worker of ``ksim.study.pool`` for these tables."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario

    def run(self, first: int, count: int) -> list[CrashImpact]:
        return [crash(self._scenario, replication) for replication in range(first, first + count)]


def impact_digest(scenario: Scenario, k: int) -> str:
    """Content address of a table: scenario, ``[micro]`` in full even where it is not given, and the number of rows."""
    text = json.dumps([scenario.digest(), (scenario.micro or Micro()).model_dump(mode="json"), k], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def impact_table(
    loaded: Loaded,
    k: int,
    *,
    workers: int | None = 1,
    progress: Progress | None = None,
    cache: Path | None = None,
    name: str = "",
    command: str = "",
) -> ImpactTable:
    """Crashes of ``k`` boots, rows in the order of replications; ``workers`` None: all cores.

    ``cache``: a directory for tables, there under ``name`` or the digest. A table there that is broken or another
    scenario's is made anew, with a warning. Raises ScenarioError where the workload does not fit, KsimError if a worker
    dies, OSError where the cache cannot be written.
    """
    scenario = loaded.scenario
    digest = impact_digest(scenario, k)
    file = None if cache is None else cache / f"{name or digest}.json"
    if file is not None and (found := _cached(file, digest)) is not None:
        return found
    rows: dict[int, CrashImpact] = {}
    workers = min(k, os.cpu_count() or 1) if workers is None else workers
    for (first, _), piece in work_on(scenario, Crasher, pieces_of(k, 1), workers):
        rows[first] = piece[0]
        if progress is not None:
            progress(len(rows), k)
    table = ImpactTable(digest, tuple(rows[i] for i in range(k)), manifest(loaded, command))
    if file is not None:
        write(file.parent, {file.name: table.text()})
    return table


def impact_rows(loaded: Loaded, name: str, table: ImpactTable) -> list[Row]:
    """Means over the crashes of a table, with their intervals, as rows of a study."""
    columns = {f"pages_{part}": ([row.pages[part] for row in table.rows], "1") for part in PAGE_CLASSES}
    columns |= {f"cpu_{part}": (table.values(part), "1") for part in ("user", "kernel", "irq")}
    columns["dirty_mib"] = ([row.dirty_bytes / 2**20 for row in table.rows], "MiB")
    columns |= {part: (table.values(part), "1") for part in ("io_in_flight", "calls_in_flight")}
    columns |= {f"{part}_per_s": (table.values(f"{part}_per_s"), "1/s") for part in OPERATIONS}
    confidence = loaded.scenario.confidence
    return [
        row_of(loaded, name, measure, estimate.mean(moments_of(values), 1.0, unit, confidence))
        for measure, (values, unit) in columns.items()
    ]


OPERATIONS = ("reads", "writes", "packets", "sent", "faults")


def moments_of(values: Iterable[float]) -> Moments:
    """Sums of independent observations."""
    moments = Moments()
    for value in values:
        moments.add(value)
    return moments


def _cached(file: Path, digest: str) -> ImpactTable | None:
    try:
        table = read_table(file.read_text("utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        _LOG.warning("%s is no table of crash impacts (%s): made anew", file, error)
        return None
    if table.digest != digest:
        _LOG.warning("%s is of another scenario or version of the model: made anew", file)
        return None
    return table
