"""The simulated reader: one host and its clocks as SimPy processes. It knows no fault and no strategy by name.

The *host* process walks the lifecycle graph: at a choice it draws the branch and the dwell; at a race it draws
a time for each clock and waits to be struck. Every clock (a fault source, a watchdog, an operator) is a process
of its own: it sleeps until it is armed, waits its time out and strikes. Only the earliest clock of a race is
armed: the times are known, the others cannot win, and a timer that cannot win would only have to be cancelled.
At equal times the clock named first wins.

Between two races nothing can happen to the host, so it sleeps through such a stretch at once and notes each
transition at its own time. ``time`` is the sum of the durations in their order, counted from the start of the
replication: the same bits, whatever is slept through at once. A host ends before it would pass the horizon and
leaves no event behind, so the next replication goes on in the same environment with the same processes.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from itertools import repeat
from typing import Any

import simpy
from simpy.events import NORMAL

from ksim.chance.distributions import Constant, Law, Outcomes
from ksim.chance.portable import Array
from ksim.chance.streams import Stream
from ksim.evidence.transition import Path
from ksim.model.course import course
from ksim.model.lifecycle import Lifecycle

Process = Generator[simpy.Event, Any, None]
Draw = Callable[[], Any]


class Walker:
    """Walks replications of one lifecycle under one seed, ``batch`` of them with draws made together."""

    def __init__(self, life: Lifecycle, seed: int, batch: int = 64) -> None:
        found = course(life)
        self._seed, self._batch = seed, batch
        self._entry = found.entry
        self._replication = 0
        self._draws: list[Draw] = []
        self._begin = [self._first(number, name, law) for number, (name, law) in enumerate(found.streams)]
        self._env = simpy.Environment()
        names = sorted({name for stop in found.stops for name in stop.clocks})
        sources = {name: Source(self._env) for name in names}
        self._stops = [(*stop[:4], tuple(sources[name] for name in stop.clocks)) for stop in found.stops]

    def path(self, replication: int, horizon_s: float) -> Path:
        """One replication from time 0 to ``horizon_s`` (excluded), as it happened. One at a time per walker."""
        self._replication = replication
        self._draws = self._begin.copy()
        path = Path()
        self._env.run(until=self._env.process(self._host(path, horizon_s)))
        return path

    def _host(self, path: Path, horizon_s: float) -> Process:
        stops, draws, env = self._stops, self._draws, self._env
        note_time, note_edge = path.times.append, path.edges.append
        start, node, time = env.now, self._entry, 0.0
        while True:
            branch, durations, targets, first_edge, clocks = stops[node]
            if clocks:
                times = [draws[number]() for number in durations]
                first = min(times)
                way = times.index(first)
                time += first
                if time >= horizon_s:
                    return
                yield clocks[way].arm(max(0.0, start + time - env.now))
            else:
                way = 0 if branch is None else draws[branch]()
                time += draws[durations[way]]()
                if time >= horizon_s:
                    return
            note_time(time)
            note_edge(first_edge + way)
            node = targets[way]

    def _first(self, number: int, name: str, law: Law | Outcomes) -> Draw:
        """What draws the first value of a stream in a replication; most replications need few of the streams."""
        if isinstance(law, Constant):
            return repeat(law.value).__next__

        def values(u: Array) -> list[Any]:
            found: list[Any] = law.indices(u) if isinstance(law, Outcomes) else law.quantile(u).tolist()
            return found

        stream = Stream(self._seed, name, values, self._batch)

        def begin() -> Any:
            draw = self._draws[number] = stream.start(self._replication).__next__
            return draw()

        return begin


class Alarm(simpy.Event):
    """A timeout that is used again and again: to create SimPy's own costs half as much as to wait for it."""

    def __init__(self, env: simpy.Environment) -> None:
        super().__init__(env)
        self._ok, self._value = True, None
        self._schedule = env.schedule

    def ready(self) -> Alarm:
        """Nobody waits any more for the last ring."""
        self.callbacks = []
        return self

    def ring(self, delay_s: float) -> None:
        """Rings ``delay_s`` from now, for whoever waits for it."""
        self._schedule(self, NORMAL, delay_s)


class Source:
    """A clock of a race as a process: armed by the host for the time at which it will strike."""

    def __init__(self, env: simpy.Environment) -> None:
        self._due, self._strike = Alarm(env), Alarm(env)
        env.process(self._run())

    def arm(self, delay_s: float) -> simpy.Event:
        """The event at which this clock strikes, ``delay_s`` from now."""
        self._due.ring(delay_s)
        return self._strike.ready()

    def _run(self) -> Process:
        while True:
            yield self._due.ready()
            self._strike.ring(0.0)
