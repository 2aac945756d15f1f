"""Two groups of workstations, each behind a switch, a backbone between them, and one repair unit for everything.

Model    Each group has ``stations``; stations, switches and backbone fail at constant rates, also while others are
         down. The repair unit takes one broken kind of component at a time: it first finds it (an inspection for each
         kind, in a race), then repairs one piece of it, and no failure interrupts a repair. *Minimum* quality of
         service: floor(``minimum`` * stations) stations in a group whose switch works, or in both groups together if
         the switches and the backbone work. *Premium*: the same with ``stations``. Up is premium, degraded minimum,
         down less.
Sources  Haverkort, Hermanns, Katoen, "On the use of model checking techniques for dependability evaluation", SRDS
         2000; rates as in the PRISM benchmark suite (case study cluster).
Solved   yes.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

from pydantic import model_validator

from ksim.model.family import Chain, Family, FamilySettings, Move, lifecycle_of
from ksim.model.fields import MeanTime, Probability, Whole, param
from ksim.model.lifecycle import Budget, Lifecycle, Service
from ksim.source import Source

HHK = Source("Haverkort, Hermanns, Katoen, SRDS 2000", "workstation cluster")
MOST_STATIONS = 20


class Settings(FamilySettings):
    """Keys of ``[lifecycle]`` for this family."""

    stations: Whole = param(2, "1", "1", "20", HHK, "workstations in each of the two groups")
    station_fails: MeanTime = param("500 h", "s", "10 h", "10 y", HHK, "mean time to the failure of one station")
    switch_fails: MeanTime = param("4000 h", "s", "10 h", "10 y", HHK, "of a switch")
    backbone_fails: MeanTime = param("5000 h", "s", "10 h", "10 y", HHK, "of the backbone")
    inspection: MeanTime = param("6 min", "s", "1 s", "10 h", HHK, "mean time to find what is broken")
    station_repair: MeanTime = param("30 min", "s", "1 min", "10 d", HHK, "mean time to repair a station")
    switch_repair: MeanTime = param("4 h", "s", "1 min", "10 d", HHK, "mean time to repair a switch")
    backbone_repair: MeanTime = param("8 h", "s", "1 min", "10 d", HHK, "mean time to repair the backbone")
    minimum: Probability = param(0.75, "1", "0.1", "1", HHK, "share of a group's stations that minimum quality takes")

    @model_validator(mode="after")
    def _possible(self) -> Settings:
        if not 1 <= self.stations <= MOST_STATIONS:
            raise ValueError(f"stations: expected 1 to {MOST_STATIONS}, got {self.stations}")
        return self


class State(NamedTuple):
    """Stations that work left and right; switches and backbone that work; what the repair unit is at, or ""."""

    left: int
    right: int
    left_switch: int
    right_switch: int
    backbone: int
    repairs: str = ""

    def connected(self, stations: int) -> bool:
        """Whether so many working stations can reach each other."""
        return bool(
            (self.left >= stations and self.left_switch)
            or (self.right >= stations and self.right_switch)
            or (self.left + self.right >= stations and self.left_switch and self.backbone and self.right_switch)
        )


def moves(own: Settings, state: State) -> Iterator[Move]:
    fails = {
        "left": own.station_fails, "right": own.station_fails, "left_switch": own.switch_fails,
        "right_switch": own.switch_fails, "backbone": own.backbone_fails,
    }  # fmt: skip
    full = {"left": own.stations, "right": own.stations, "left_switch": 1, "right_switch": 1, "backbone": 1}
    for part, mean in fails.items():
        works = getattr(state, part)
        what = f"{part} station" if part in ("left", "right") else part.replace("_", " ")
        if works:
            cause = "backbone" if part == "backbone" else "switch" if "switch" in part else "station"
            yield Move(f"{what} fails, {works} at work", works / mean, state._replace(**{part: works - 1}), cause)
        if works < full[part] and not state.repairs:
            yield Move(f"{what} found broken", 1.0 / own.inspection, state._replace(repairs=part))
        if state.repairs == part:
            mended = state._replace(**{part: works + 1}, repairs="")
            yield Move(f"{what} repaired", repair_rate(own, state), mended)


def repair_rate(own: Settings, state: State) -> float:
    """Repairs per second that the unit is just finishing."""
    if not state.repairs:
        return 0.0
    if state.repairs == "backbone":
        return 1.0 / own.backbone_repair
    return 1.0 / (own.switch_repair if "switch" in state.repairs else own.station_repair)


def name(state: State) -> str:
    broken = [
        text for text, works in zip(("left switch", "right switch", "backbone"), state[2:5], strict=True) if not works
    ]
    text = f"{state.left}+{state.right} stations"
    text += f", no {', '.join(broken)}" if broken else ""
    return text + (f"; repairing {state.repairs.replace('_', ' ')}" if state.repairs else "")


def service(own: Settings, state: State) -> Service:
    if state.connected(own.stations):
        return Service.UP
    return Service.DEGRADED if state.connected(int(own.minimum * own.stations)) else Service.DOWN


def build(own: Settings) -> Lifecycle:
    quality = {Service.UP: "premium", Service.DEGRADED: "minimum", Service.DOWN: "below minimum"}
    return lifecycle_of(
        Chain(
            entry=State(own.stations, own.stations, 1, 1, 1),
            moves=partial(moves, own),
            name=name,
            service=partial(service, own),
            budgets=dict.fromkeys(("station", "switch", "backbone"), Budget.HARDWARE),
            phase=lambda state: quality[service(own, state)],
            rewards={
                "stations_at_work": (lambda state: 50.0 * (state.left + state.right) / own.stations, "%"),
                "repairs": (partial(repair_rate, own), "1/s"),
            },
        )
    )


FAMILY = Family(
    name="workstation_cluster",
    summary="two groups of stations, two switches, a backbone, one repair unit with inspection",
    settings=Settings,
    build=build,
)
