"""Quantities as people write them: "90 s", "30 d", "256 MiB", "0.5 /y", "500 MB/s" <-> numbers in SI units.

A year is 365 days (8760 h), as in the reliability literature. Every text needs its unit; a bare number is
refused, except a bare 0. This is the only place where units are converted.
"""

from __future__ import annotations

import math
import re

from ksim.errors import UnitError, nearest

MINUTE_S = 60.0
HOUR_S = 3600.0
DAY_S = 86400.0
YEAR_S = 365 * DAY_S
NS_PER_S = 10**9
LONGEST_S = 1e9 * YEAR_S
"""Longer durations are refused: they are typing errors, and their squares leave the range of a float."""

TIME_UNITS = {
    "ns": 1e-9,
    "us": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "min": MINUTE_S,
    "h": HOUR_S,
    "d": DAY_S,
    "y": YEAR_S,
}
SIZE_UNITS = {
    "B": 1,
    "kB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
    "TiB": 2**40,
}

_QUANTITY = re.compile(r"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*([A-Za-z/]*)\s*\Z")


def _split(text: str, what: str, example: str) -> tuple[float, str]:
    match = _QUANTITY.match(text) if isinstance(text, str) and len(text) < 80 else None
    if match is None:
        raise UnitError(f"not a {what}: {_show(text)} (write for example '{example}')")
    value = float(match[1])
    if not math.isfinite(value):
        raise UnitError(f"not a finite {what}: {_show(text)}")
    if value < 0 or match[1].startswith("-"):
        raise UnitError(f"a {what} cannot be negative: {_show(text)}")
    return value, match[2]


def _show(text: object) -> str:
    shown = repr(text)
    return shown if len(shown) <= 60 else shown[:57] + "..."


def _scaled(text: str, units: dict[str, float] | dict[str, int], what: str, example: str) -> float:
    value, unit = _split(text, what, example)
    if not unit and value == 0:
        return 0.0
    if unit not in units:
        problem = f"unknown unit '{unit}'" if unit else "no unit"
        raise UnitError(
            f"{problem} in {_show(text)}: a {what} takes {', '.join(units)} (for example '{example}')"
            + (nearest(unit, units) if unit else "")
        )
    scaled = value * units[unit]
    if not math.isfinite(scaled):
        raise UnitError(f"not a finite {what}: {_show(text)}")
    return scaled


def duration_s(text: str) -> float:
    """Seconds of "90 s", "2.5 min", "30 d", "10 y". Raises UnitError."""
    seconds = _scaled(text, TIME_UNITS, "duration", "90 s")
    if seconds > LONGEST_S:
        raise UnitError(f"a duration is at most a thousand million years, not {_show(text)}")
    return seconds


def size_bytes(text: str) -> int:
    """Bytes of "256 MiB", "6 TB". Raises UnitError."""
    return round(_scaled(text, SIZE_UNITS, "size", "256 GiB"))


def rate_per_s(text: str) -> float:
    """Events per second of "0.5 /y", "2 /d". Raises UnitError."""
    units = {f"/{name}": 1.0 / seconds for name, seconds in TIME_UNITS.items()}
    return _scaled(text, units, "rate", "0.5 /y")


def throughput_bytes_per_s(text: str) -> float:
    """Bytes per second of "500 MB/s", "1.2 GB/s". Raises UnitError."""
    units = {f"{name}/s": float(size) for name, size in SIZE_UNITS.items()}
    return _scaled(text, units, "throughput", "500 MB/s")


def show_duration(seconds: float) -> str:
    """A duration for people: "1.5 s", "7.1 min", "6.0 h"; three digits are enough to read."""
    for limit, unit in ((120.0, "s"), (120 * MINUTE_S, "min"), (2 * DAY_S, "h"), (2 * YEAR_S, "d")):
        if abs(seconds) < limit:
            return f"{seconds / TIME_UNITS[unit]:.3g} {unit}"
    return f"{seconds / YEAR_S:.3g} y"


def to_ns(seconds: float) -> int:
    """Seconds on the macro clock as whole nanoseconds on the micro clock, rounded to the nearest."""
    return round(seconds * NS_PER_S)


def to_s(ns: int) -> float:
    """Nanoseconds on the micro clock as seconds."""
    return ns / NS_PER_S
