"""The simulated reader: one host and its clocks as SimPy processes. It knows no fault and no strategy by name.

The *host* process walks the lifecycle graph: at a choice it draws the branch, then waits for the dwell; at a
race it draws a time for each clock and waits to be struck. Every clock (a fault source, a watchdog, an
operator) is a process of its own: it sleeps until it is armed, waits its time out and strikes. Only the
earliest clock of a race is armed: the times are known, the others cannot win, and a timer that cannot win
would only have to be cancelled. At equal times the clock named first wins.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import partial
from itertools import repeat
from typing import Any, NamedTuple

import simpy

from ksim.chance.distributions import Constant, Law, Outcomes
from ksim.chance.portable import Array
from ksim.chance.streams import Stream
from ksim.evidence.transition import Path
from ksim.model.lifecycle import Lifecycle, Node

Process = Generator[simpy.Event, Any, None]
Draw = Callable[[], Any]


class Stop(NamedTuple):
    """A node as the host process meets it; numbers refer to the walker's draws, sources, nodes and edges."""

    branch: int | None
    durations: tuple[int, ...]
    targets: tuple[int, ...]
    first_edge: int
    clocks: tuple[int, ...]


class Walker:
    """Walks replications of one lifecycle under one seed, ``batch`` of them with draws made together."""

    def __init__(self, life: Lifecycle, seed: int, batch: int = 64) -> None:
        self._seed, self._batch = seed, batch
        self._entry = life.index[life.entry]
        self._numbers: dict[str, int] = {}
        self._starts: list[Callable[[int], Draw]] = []
        self._sources = sorted({clock.name for node in life.nodes for clock in node.clocks})
        self._stops: list[Stop] = []
        edge = 0
        for node in life.nodes:
            self._stops.append(self._stop(life, node, edge))
            edge += len(node.ways)

    def path(self, replication: int, horizon_s: float) -> Path:
        """One replication from time 0 to ``horizon_s`` (excluded), as it happened."""
        draws: list[Draw] = []

        def begin(number: int) -> Any:
            """The first draw of a stream in this replication: most replications need few of the streams."""
            draws[number] = self._starts[number](replication)
            return draws[number]()

        draws.extend(partial(begin, number) for number in range(len(self._starts)))
        env = simpy.Environment()
        path = Path()
        env.process(self._host(env, draws, path))
        env.run(until=horizon_s)
        return path

    def _host(self, env: simpy.Environment, draws: list[Draw], path: Path) -> Process:
        sources: dict[int, Source] = {}
        stops, dwelled = self._stops, Alarm(env)
        note_time, note_edge = path.times.append, path.edges.append
        node = self._entry
        while True:
            branch, durations, targets, first_edge, clocks = stops[node]
            if clocks:
                times = [draws[number]() for number in durations]
                first = min(times)
                way = times.index(first)
                clock = clocks[way]
                if clock not in sources:
                    sources[clock] = Source(env)
                yield sources[clock].arm(first)
            else:
                way = 0 if branch is None else draws[branch]()
                dwell = draws[durations[way]]()
                if dwell:
                    yield dwelled.clear().set(dwell)
            note_time(env.now)
            note_edge(first_edge + way)
            node = targets[way]

    def _stop(self, life: Lifecycle, node: Node, first_edge: int) -> Stop:
        if node.clocks:
            durations = [self._duration(f"clock {clock.name}", clock.after) for clock in node.clocks]
        else:
            laws = [branch.dwell for branch in node.branches]
            # branches of one law share one stream: which of them is taken does not change the dwell
            durations = [self._duration(f"dwell {node.draws} {laws.index(law)}", law) for law in laws]
        branch = None
        if len(node.branches) > 1:
            outcomes = Outcomes.of(tuple(way.p for way in node.branches))
            branch = self._stream(f"branch {node.draws}", outcomes.indices)
        return Stop(
            branch,
            tuple(durations),
            tuple(life.index[way.to] for way in node.ways),
            first_edge,
            tuple(self._sources.index(clock.name) for clock in node.clocks),
        )

    def _duration(self, name: str, law: Law) -> int:
        if isinstance(law, Constant):
            if name not in self._numbers:
                value = law.value
                self._numbers[name] = len(self._starts)
                self._starts.append(lambda _replication: repeat(value).__next__)
            return self._numbers[name]

        def values(u: Array) -> list[Any]:
            found: list[Any] = law.quantile(u).tolist()
            return found

        return self._stream(name, values)

    def _stream(self, name: str, transform: Callable[[Array], list[Any]]) -> int:
        if name not in self._numbers:
            stream = Stream(self._seed, name, transform, self._batch)
            self._numbers[name] = len(self._starts)
            self._starts.append(lambda replication: stream.start(replication).__next__)
        return self._numbers[name]


class Alarm(simpy.Event):
    """A timeout that is used again and again: to create SimPy's own costs half as much again as to wait for it."""

    def set(self, delay_s: float) -> simpy.Event:
        """Ring ``delay_s`` from now."""
        self._ok, self._value = True, None
        self.env.schedule(self, delay=delay_s)
        return self

    def clear(self) -> Alarm:
        """Ready to be waited for again, once it has rung."""
        if self.callbacks is None:
            self.callbacks = []
        return self


class Source:
    """A clock of a race as a process: armed by the host for the time at which it will strike."""

    def __init__(self, env: simpy.Environment) -> None:
        self._due, self._strike = Alarm(env), Alarm(env)
        env.process(self._run())

    def arm(self, delay_s: float) -> simpy.Event:
        """The event at which this clock strikes, ``delay_s`` from now."""
        self._due.set(delay_s)
        return self._strike.clear()

    def _run(self) -> Process:
        while True:
            yield self._due.clear()
            self._strike.set(0.0)
