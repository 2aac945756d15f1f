"""The levels of a core_collector tried in turn on a target that may be too small for the dump.

Follows makedumpfile.c (create_dumpfile, delete_dumpfile) and makedumpfile(8) 1.7 (``-d 11,31``, ``-L``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Unpack

from ksim.errors import ScenarioError
from ksim.linux.core_collector import Collector
from ksim.linux.makedumpfile import Speeds, plan_dump


@dataclass(frozen=True, slots=True)
class Attempt:
    """One run of makedumpfile at one level: ``seconds``, bytes written, and whether the dump is whole.

    A dump that does not fit fills the target and ends with exit code 1. Where another level is listed the file is
    deleted for it; the last one leaves ``vmcore-incomplete`` and a full disk behind.
    """

    level: int
    seconds: float
    bytes_written: float
    complete: bool


def attempts(
    collector: Collector,
    ram_bytes: float,
    pages: Mapping[str, float],
    *,
    write_bytes_per_s: float,
    space_bytes: float | None = None,
    **speeds: Unpack[Speeds],
) -> tuple[Attempt, ...]:
    """The levels of a collector tried in turn on a target with ``space_bytes`` free (None: enough), up to the first
    whole dump. The last attempt is incomplete where none fits. A flattened stream is tried once: what went down the
    pipe cannot be taken back, and the reader is gone (makedumpfile.c, create_dumpfile, delete_dumpfile).

    ``speeds`` go to plan_dump. Raises as plan_dump does, and ScenarioError for space below 0.
    """
    limits = [limit for limit in (space_bytes, collector.limit_bytes) if limit is not None]
    room = min(limits, default=math.inf)
    if not room >= 0:
        raise ScenarioError(f"attempts: space is {room!r} bytes, expected 0 or more")
    found: list[Attempt] = []
    for level in collector.levels[:1] if collector.flattened else collector.levels:
        plan = plan_dump(
            replace(collector, level=level), ram_bytes, pages, write_bytes_per_s=write_bytes_per_s, **speeds
        )
        if plan.output_bytes <= room:
            return (*found, Attempt(level, plan.total_s, plan.output_bytes, True))
        found.append(Attempt(level, plan.scan_s + plan.copy_s * room / plan.output_bytes, room, False))
    return tuple(found)
