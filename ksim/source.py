"""Where a number comes from. No default of ksim is a naked number: it is a Param with unit, range and source.

``low`` and ``high`` are the range over which the value should be swept before it is believed (for a
distribution: the range of its mean). They are no limits for users: what is possible is checked elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Source:
    """A publication, a kernel file, a set of real lines; or, honestly, an assumption."""

    title: str
    locator: str = ""
    is_assumed: bool = False

    def __str__(self) -> str:
        text = f"{self.title}, {self.locator}" if self.locator else self.title
        return f"ASSUMED: {text}" if self.is_assumed else text


def assumed(why: str) -> Source:
    """No citable measurement was found: ``why`` says what the choice rests on. Such a value must be swept."""
    return Source(why, is_assumed=True)


ENGINEERING = assumed("general engineering value, no single measurement")


@dataclass(frozen=True, slots=True)
class Param:
    """One default: ``value`` as it would stand in a scenario file, its unit, sweep range and source."""

    value: Any
    unit: str
    low: str
    high: str
    source: Source
    what: str = ""
