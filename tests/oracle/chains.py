"""Published Markov chains as lifecycle graphs, written down from their sources for the tests alone."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from functools import cache
from typing import Any, NamedTuple

from ksim.chance.distributions import Exponential
from ksim.model.lifecycle import Budget, Clock, Lifecycle, Node, Service
from ksim.units import DAY_S, HOUR_S, YEAR_S

CAUSES = {"fault": Budget.HARDWARE}


class Published(NamedTuple):
    """A graph, and the state behind each node."""

    life: Lifecycle
    states: dict[str, Any]

    def where(self, which: Callable[[Any], float]) -> dict[str, float]:
        """Node by node, what ``which`` says of its state; zeros left out."""
        found = {name: float(which(state)) for name, state in self.states.items()}
        return {name: value for name, value in found.items() if value}


def graph(
    start: Hashable,
    moves: Callable[[Any], Iterable[tuple[float, Hashable]]],
    service: Callable[[Any], Service],
) -> Published:
    """All states reachable from ``start``; ``moves`` gives (rate per second, next state)."""
    names, todo, nodes = {start: "s0"}, [start], []
    while todo:
        state = todo.pop()
        clocks = []
        for number, (rate, to) in enumerate(moves(state)):
            if to not in names:
                names[to] = f"s{len(names)}"
                todo.append(to)
            clock = f"{names[state]}.{number}"
            clocks.append(Clock(clock, Exponential(1.0 / rate), names[to], "fault"))
        nodes.append(Node(names[state], service(state).value, service(state), clocks=tuple(clocks)))
    return Published(Lifecycle("s0", tuple(nodes), CAUSES), {name: state for state, name in names.items()})


# ---------------------------------------------------------------- C1, C2: workstation cluster


class Cluster(NamedTuple):
    """Working stations left and right, switches, backbone; what is being repaired, if anything."""

    left: int
    right: int
    left_switch: bool = True
    right_switch: bool = True
    backbone: bool = True
    repaired: str = ""

    def connected(self, k: int) -> bool:
        both = self.left + self.right >= k and self.left_switch and self.right_switch and self.backbone
        return (self.left >= k and self.left_switch) or (self.right >= k and self.right_switch) or both


FAILS = {"left": 1 / 500, "right": 1 / 500, "left_switch": 1 / 4000, "right_switch": 1 / 4000, "backbone": 1 / 5000}
REPAIRED = {"left": 2.0, "right": 2.0, "left_switch": 0.25, "right_switch": 0.25, "backbone": 0.125}


@cache
def cluster(n: int) -> Published:
    """Haverkort, Hermanns, Katoen 2000: up with n connected stations, degraded with 3/4 of that, else down."""

    def moves(state: Cluster) -> Iterable[tuple[float, Cluster]]:
        for part, rate in FAILS.items():
            works, all_of_them = getattr(state, part), n if part in ("left", "right") else True
            if works:
                fewer = works - 1 if part in ("left", "right") else False
                yield works * rate / HOUR_S, state._replace(**{part: fewer})
            if works < all_of_them and not state.repaired:
                yield 10.0 / HOUR_S, state._replace(repaired=part)
            if state.repaired == part:
                more = works + 1 if part in ("left", "right") else True
                yield REPAIRED[part] / HOUR_S, state._replace(repaired="", **{part: more})

    def service(state: Cluster) -> Service:
        if state.connected(n):
            return Service.UP
        return Service.DEGRADED if state.connected(int(0.75 * n)) else Service.DOWN

    return graph(Cluster(n, n), moves, service)


# ---------------------------------------------------------------- C3: embedded controller


class Controller(NamedTuple):
    """PRISM's case study "embedded": sensors, input (2 works, 1 reboots, 0 dead), actuators, output, main, cycles
    skipped; whether this cycle was computed, a request of the input waits, one of the output waits."""

    s: int = 3
    i: int = 2
    a: int = 2
    o: int = 2
    m: int = 1
    count: int = 0
    comp: bool = True
    reqi: bool = True
    reqo: bool = False


LIMIT = 2
"""MAX_COUNT: so many cycles in a row may be skipped."""


def failed(x: Controller) -> str:
    if x.i == 2 and x.s < 2:
        return "sensors"
    if x.o == 2 and x.a < 1:
        return "actuators"
    if x.m == 0:
        return "main"
    return "io" if x.count > LIMIT else ""


@cache
def controller() -> Published:
    """Muppala, Ciardo, Trivedi 1994. Once it is down a new one takes over, which ends every published story."""

    def moves(x: Controller) -> Iterable[tuple[float, Controller]]:
        if failed(x):
            yield 1.0 / DAY_S, Controller()
            return
        i_reads, o_writes = x.s >= 2, x.a >= 1
        if x.s > 1:
            yield x.s / (30 * DAY_S), x._replace(s=x.s - 1)
        if x.a > 0:
            yield x.a / (60 * DAY_S), x._replace(a=x.a - 1)
        yield 1.0 / YEAR_S, x._replace(m=0)
        i_ready, o_ready = x.i == 2 and i_reads, x.o == 2 and o_writes
        if i_reads and x.i > 0:
            yield 1.0 / YEAR_S, x._replace(i=0)
            if x.i == 2:
                yield 1.0 / DAY_S, x._replace(i=1)
            else:
                # its data reach the main processor at once, unless the output is still occupied
                yield (
                    1.0 / 30.0,
                    x._replace(i=2, comp=x.comp or not x.reqo, reqi=True, reqo=not o_ready and (x.reqo or x.m == 1)),
                )
        if o_writes and x.o > 0:
            yield 1.0 / YEAR_S, x._replace(o=0)
            if x.o == 2:
                yield 1.0 / DAY_S, x._replace(o=1)
            else:
                yield 1.0 / 30.0, x._replace(o=2, comp=x.comp or x.reqi, reqi=i_ready, reqo=False)
        yield (
            1.0 / 60.0,
            x._replace(
                comp=x.reqi and not x.reqo,
                reqi=i_ready or (x.reqi and x.reqo),
                reqo=not o_ready and (x.reqi or x.reqo),
                count=0 if x.comp else x.count + 1,
            ),
        )

    def service(x: Controller) -> Service:
        if failed(x):
            return Service.DOWN
        return Service.DEGRADED if 1 in (x.i, x.o) else Service.UP

    return graph(Controller(), moves, service)
