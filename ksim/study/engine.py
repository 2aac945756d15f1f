"""Who answers: ``--engine``.

``exact`` solves and samples nothing. ``simulated`` (SimPy) and ``compiled`` (machine code) sample the same paths, bit
for bit, and show the exact values beside. ``auto`` gives the exact value of each measure where there is one, and
samples the others, compiled. The ``method`` of every row says which it was.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, get_args

from ksim import compiled
from ksim.evidence.sums import ticks
from ksim.study.replicate import Reader

Engine = Literal["auto", "simulated", "compiled", "exact"]
ENGINES: tuple[Engine, ...] = get_args(Engine)
MOST_TICKS = 2**62
"""Machine code counts ticks in 64 bits: 139,000 years."""


def reader_of(engine: Engine, horizon_s: float) -> tuple[Reader | None, str]:
    """Who samples (None: nobody), and a remark where it is not who was asked."""
    if engine == "exact":
        return None, ""
    if engine == "simulated":
        return "simulated", ""
    if not compiled.available():
        return "simulated", "Numba is not installed, so the simulated reader answers: slower, the same bits"
    if ticks(horizon_s) >= MOST_TICKS:
        return "simulated", "the horizon is too long for machine code, so the simulated reader answers"
    return "compiled", ""


def best(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row per measure, the exact one where there is one, in the order in which the measures first come."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows:
        key = row["strategy"], row["measure"]
        if key not in found or row["method"] == "exact":
            found[key] = row
    return list(found.values())
