"""A single server with a queue that breaks down and is repaired: a disk or network card whose driver resets.

Model    Poisson arrivals, exponential service in order of arrival, interrupted service goes on where it was.
         Breakdowns strike at any time or only while the server is busy (``strikes``); a repair is exponential or, for
         ``repair_c2`` above 1, a mixture of two exponentials with balanced means of that squared coefficient of
         variation. The queue has room for ``room`` customers, and later ones are turned away: the truncation, whose
         size the reward "full" tells (share of time with no room). "customers" is the number in the system,
         "time_in_system" the mean time of a customer by Little's law.
Sources  Avi-Itzhak, Naor, Operations Research 11, 1963; Mitrany, Avi-Itzhak, Operations Research 16, 1968; Gaver, "A
         waiting line with interrupted service, including priorities", J. Royal Stat. Soc. B 24, 1962.
Solved   yes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from typing import Literal, NamedTuple

from pydantic import model_validator

from ksim.model.family import Chain, Family, FamilySettings, Move, lifecycle_of
from ksim.model.fields import MeanTime, Number, PerSecond, Whole, param
from ksim.model.lifecycle import Budget, Lifecycle, Service
from ksim.source import assumed

EXAMPLE = assumed("an example in units of one service")
MOST_ROOM = 2000


class Settings(FamilySettings):
    """Keys of ``[lifecycle]`` for this family."""

    arrivals: PerSecond = param("0.6 /s", "1/y", "1 /h", "0.9 /s", EXAMPLE, "customers per second")
    service: MeanTime = param("1 s", "s", "1 ms", "1 h", EXAMPLE, "mean time of a service")
    breakdowns: PerSecond = param("0.01 /s", "1/y", "1 /y", "0.1 /s", EXAMPLE, "breakdowns per second that count")
    repair: MeanTime = param("5 s", "s", "1 ms", "1 h", EXAMPLE, "mean time of a repair")
    repair_c2: Number = param(1.0, "1", "1", "10", EXAMPLE, "squared coefficient of variation of a repair")
    strikes: Literal["any_time", "in_service"] = param("any_time", "", "", "", EXAMPLE, "when a server can break down")
    room: Whole = param(160, "1", "10", "500", EXAMPLE, "customers at most")

    @model_validator(mode="after")
    def _possible(self) -> Settings:
        if not 1 <= self.room <= MOST_ROOM:
            raise ValueError(f"room: expected 1 to {MOST_ROOM}, got {self.room}")
        if not 1.0 <= self.repair_c2 <= 1000.0:
            raise ValueError(f"repair_c2: expected 1 to 1000, got {self.repair_c2:g}")
        for key in ("arrivals", "breakdowns"):
            if getattr(self, key) == 0.0:
                raise ValueError(f"{key}: expected a rate above zero")
        return self


class State(NamedTuple):
    customers: int
    repair: int = 0
    """0: the server works; else which of the exponentials its repair is."""


def repairs(own: Settings) -> tuple[tuple[float, float], ...]:
    """(probability, rate) of each exponential that a repair may be; each carries the same share of the mean."""
    if own.repair_c2 == 1.0:
        return ((1.0, 1.0 / own.repair),)
    first = 0.5 * (1.0 + math.sqrt((own.repair_c2 - 1.0) / (own.repair_c2 + 1.0)))
    return tuple((p, 2.0 * p / own.repair) for p in (first, 1.0 - first))


def moves(own: Settings, state: State) -> Iterator[Move]:
    n, repair = state
    if n < own.room:
        yield Move("arrival", own.arrivals, State(n + 1, repair))
    if repair:
        yield Move(f"repair ends, kind {repair}", repairs(own)[repair - 1][1], State(n))
        return
    if n:
        yield Move("service ends", 1.0 / own.service, State(n - 1))
    if n or own.strikes == "any_time":
        for kind, (p, _) in enumerate(repairs(own), 1):
            yield Move(f"breakdown, kind {kind}", own.breakdowns * p, State(n, kind), "breakdown")


def name(state: State) -> str:
    return f"{state.customers} in system" + (f", repair kind {state.repair}" if state.repair else "")


def build(own: Settings) -> Lifecycle:
    return lifecycle_of(
        Chain(
            entry=State(0),
            moves=partial(moves, own),
            name=name,
            service=lambda state: Service.DOWN if state.repair else Service.UP,
            budgets={"breakdown": Budget.SOFTWARE},
            phase=lambda state: "repair" if state.repair else "at work",
            rewards={
                "customers": (lambda state: float(state.customers), "1"),
                "time_in_system": (lambda state: state.customers / own.arrivals, "s"),
                "full": (lambda state: float(state.customers == own.room), "1"),
            },
        )
    )


FAMILY = Family(
    name="queue_with_breakdowns",
    summary="M/M/1 with a server that breaks down at any time or in service, truncated",
    settings=Settings,
    build=build,
)
