"""An embedded control system that reboots after transient faults and shuts down after too many skipped cycles.

Model    An input processor reads ``sensors``, a main processor computes once a cycle, an output processor drives
         ``actuators``; a bus remembers what waits where. Sensors, actuators and processors fail for good; input and
         output processor also have transient faults, which a reboot of ``reboot`` cures. A cycle in which nothing was
         computed counts as skipped; more than ``skipped_cycles`` of them in a row shut the system down, as do a dead
         main processor, fewer than ``sensors_needed`` sensors at a working input, or fewer than ``actuators_needed``
         actuators at a working output. Up: no transient fault; degraded ("danger"): a reboot is going on; down: shut
         down. ``after_shutdown = "replaced"``: the whole system is replaced. "runs_on" is the published chain, in
         which cycles are counted on and a shutdown by skipped cycles may end by itself; a replacement ends it at last,
         after ``replacement`` on average, which must then be much longer than the time of interest.
Sources  Muppala, Ciardo, Trivedi, "Stochastic reward nets for reliability prediction", Communications in Reliability,
         Maintainability and Serviceability 1(2), 1994; the chain of the PRISM benchmark suite (case study embedded).
Solved   yes.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Literal, NamedTuple

from pydantic import model_validator

from ksim.model.family import Chain, Family, FamilySettings, Move, lifecycle_of
from ksim.model.fields import MeanTime, Whole, param
from ksim.model.lifecycle import Budget, Lifecycle, Service
from ksim.source import Source, assumed

MCT = Source("Muppala, Ciardo, Trivedi 1994", "as in the PRISM case study embedded")
MOST = 20
OK, REBOOTING, DEAD = 2, 1, 0
"""States of an input or output processor."""


class Settings(FamilySettings):
    """Keys of ``[lifecycle]`` for this family."""

    skipped_cycles: Whole = param(2, "1", "1", "8", MCT, "cycles in a row that may be skipped (MAX_COUNT)")
    sensors: Whole = param(3, "1", "2", "6", MCT, "sensors")
    sensors_needed: Whole = param(2, "1", "1", "2", MCT, "of them needed")
    actuators: Whole = param(2, "1", "1", "6", MCT, "actuators")
    actuators_needed: Whole = param(1, "1", "1", "1", MCT, "of them needed")
    sensor_fails: MeanTime = param("30 d", "s", "1 h", "10 y", MCT, "mean time to the failure of one sensor")
    actuator_fails: MeanTime = param("60 d", "s", "1 h", "10 y", MCT, "of one actuator")
    processor_fails: MeanTime = param("1 y", "s", "1 h", "100 y", MCT, "of one processor, for good")
    transient: MeanTime = param("1 d", "s", "1 h", "1 y", MCT, "mean time to a transient fault")
    reboot: MeanTime = param("30 s", "s", "1 s", "1 h", MCT, "mean time of the reboot after it")
    cycle: MeanTime = param("60 s", "s", "1 s", "1 h", MCT, "mean time of a cycle")
    after_shutdown: Literal["replaced", "runs_on"] = param(
        "replaced", "", "", "", MCT, "what follows a shutdown: a new system at once, or the chain as published"
    )
    replacement: MeanTime = param(
        "1 d", "s", "1 h", "1000000 y", assumed("the published chain ends there"), "mean time of a replacement"
    )

    @model_validator(mode="after")
    def _possible(self) -> Settings:
        for key, low in (("skipped_cycles", 0), ("sensors_needed", 1), ("actuators_needed", 1)):
            if not low <= getattr(self, key) <= MOST:
                raise ValueError(f"{key}: expected {low} to {MOST}, got {getattr(self, key)}")
        for key, needed in (("sensors", self.sensors_needed), ("actuators", self.actuators_needed)):
            if not needed <= getattr(self, key) <= MOST:
                raise ValueError(f"{key}: expected {needed} (those needed) to {MOST}, got {getattr(self, key)}")
        return self


class State(NamedTuple):
    """Parts that work, the three processors, cycles skipped in a row, and what the bus remembers of this cycle."""

    sensors: int
    actuators: int
    input: int = OK
    output: int = OK
    main: bool = True
    skipped: int = 0
    computed: bool = True
    input_waits: bool = True
    output_waits: bool = False


class Shutdown(NamedTuple):
    """The system is down and will be replaced."""

    cause: str


def shut_down_by(own: Settings, state: State) -> str:
    """Why the system is down in this state; "" if it is not."""
    if state.input == OK and state.sensors < own.sensors_needed:
        return "sensors"
    if state.output == OK and state.actuators < own.actuators_needed:
        return "actuators"
    if not state.main:
        return "main"
    return "io" if state.skipped > own.skipped_cycles else ""


def moves(own: Settings, state: State | Shutdown) -> Iterator[Move]:
    new = State(own.sensors, own.actuators)
    if isinstance(state, Shutdown):
        yield Move("replaced", 1.0 / own.replacement, new)
        return
    for what, rate, to in _changes(own, state):
        cause = shut_down_by(own, to)
        yield Move(what, rate, Shutdown(cause) if cause and own.after_shutdown == "replaced" else to, cause)
    if shut_down_by(own, state):
        yield Move("replaced", 1.0 / own.replacement, new)


def _changes(own: Settings, state: State) -> Iterator[tuple[str, float, State]]:
    s, a = state.sensors, state.actuators
    reads, drives = s >= own.sensors_needed, a >= own.actuators_needed
    if reads:
        yield f"sensor fails, {s} at work", s / own.sensor_fails, state._replace(sensors=s - 1)
    if a:
        yield f"actuator fails, {a} at work", a / own.actuator_fails, state._replace(actuators=a - 1)
    if state.main:
        yield "main processor fails", 1.0 / own.processor_fails, state._replace(main=False)
    if reads and state.input != DEAD:
        yield "input processor fails", 1.0 / own.processor_fails, state._replace(input=DEAD)
    if drives and state.output != DEAD:
        yield "output processor fails", 1.0 / own.processor_fails, state._replace(output=DEAD)
    if reads and state.input == OK:
        yield "transient fault of input", 1.0 / own.transient, state._replace(input=REBOOTING)
    if drives and state.output == OK:
        yield "transient fault of output", 1.0 / own.transient, state._replace(output=REBOOTING)
    input_works, output_works = reads and state.input == OK, drives and state.output == OK
    if reads and state.input == REBOOTING:
        # the data that come up with the input go through to the output, unless something waits there already
        yield "input rebooted", 1.0 / own.reboot, state._replace(
            input=OK,
            computed=state.computed or (state.main and not state.output_waits),
            input_waits=True,
            output_waits=not output_works and (state.output_waits or state.main),
        )  # fmt: skip
    if drives and state.output == REBOOTING:
        # what waited at the output is done, what waits at the input is computed
        yield "output rebooted", 1.0 / own.reboot, state._replace(
            output=OK,
            computed=state.computed or (state.input_waits and state.main),
            input_waits=input_works or (state.input_waits and not state.main),
            output_waits=False,
        )  # fmt: skip
    yield "cycle ends", 1.0 / own.cycle, state._replace(
        skipped=0 if state.computed else min(state.skipped + 1, own.skipped_cycles + 1),
        computed=state.input_waits and not state.output_waits and state.main,
        input_waits=input_works or (state.input_waits and (state.output_waits or not state.main)),
        output_waits=not output_works and (state.output_waits or (state.input_waits and state.main)),
    )  # fmt: skip


def name(state: State | Shutdown) -> str:
    if isinstance(state, Shutdown):
        return f"shut down: {state.cause}"
    processor = {OK: "works", REBOOTING: "reboots", DEAD: "dead"}
    parts = [
        f"{state.sensors} sensors, input {processor[state.input]}",
        f"{state.actuators} actuators, output {processor[state.output]}",
        "" if state.main else "main dead",
        f"{state.skipped} skipped" if state.skipped else "",
        "computed" if state.computed else "nothing computed",
        "input waits" if state.input_waits else "",
        "output waits" if state.output_waits else "",
    ]
    return ", ".join(part for part in parts if part)


def service(own: Settings, state: State | Shutdown) -> Service:
    if isinstance(state, Shutdown) or shut_down_by(own, state):
        return Service.DOWN
    return Service.DEGRADED if REBOOTING in (state.input, state.output) else Service.UP


def build(own: Settings) -> Lifecycle:
    words = {Service.UP: "up", Service.DEGRADED: "danger", Service.DOWN: "shut down"}
    return lifecycle_of(
        Chain(
            entry=State(own.sensors, own.actuators),
            moves=partial(moves, own),
            name=name,
            service=partial(service, own),
            budgets={
                "sensors": Budget.HARDWARE,
                "actuators": Budget.HARDWARE,
                "main": Budget.HARDWARE,
                "io": Budget.SOFTWARE,
            },
            phase=lambda state: words[service(own, state)],
            rewards={},
        )
    )


FAMILY = Family(
    name="embedded_controller",
    summary="sensors, actuators, three processors, reboots after transient faults, a limit on skipped cycles",
    settings=Settings,
    build=build,
)
