"""The micro clock: a SimPy environment in integer nanoseconds since boot, and events that are used again.

One boot is one clock. A panic is "stop stepping and read the state": ``stopped`` is looked at before every event, so
nothing can happen after it.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any

import simpy
from simpy.events import NORMAL, Event

from ksim.units import to_s


class Clock(simpy.Environment):
    """Time since the start of this boot, in ns. ``steps`` counts the events that have happened."""

    _now: int

    def __init__(self) -> None:
        super().__init__(0)
        self.stopped = False
        self.steps = 0

    @property
    def now(self) -> int:
        """Nanoseconds since boot."""
        return self._now

    @property
    def seconds(self) -> float:
        """Time since boot in seconds, for the console and for people."""
        return to_s(self._now)

    def play(self, until_ns: int) -> None:
        """All events up to and including ``until_ns``, or up to the one that stops the clock."""
        queue, steps = self._queue, 0
        while queue and not self.stopped:
            entry = heappop(queue)
            self._now = entry[0]  # type: ignore[assignment]
            if self._now > until_ns:
                heappush(queue, entry)
                break
            steps += 1
            event = entry[3]
            callbacks, event.callbacks = event.callbacks, None  # type: ignore[assignment]
            for callback in callbacks:
                callback(event)
            if not event._ok and not event.defused:
                raise event._value
        if not self.stopped:
            self._now = until_ns
        self.steps += steps

    def after(self, delay_ns: int, call: Callable[[], object]) -> Timer:
        """Calls ``call`` once, ``delay_ns`` from now, unless it is cancelled before."""
        timer = Timer(call)
        heappush(self._queue, (self._now + delay_ns, NORMAL, next(self._eid), timer))  # type: ignore[misc]
        return timer


class Timer:
    """A call in the future, for work that nobody waits for.

    To the clock it is an event like any other, but a small one.
    """

    __slots__ = ("call", "callbacks")
    _ok = True

    def __init__(self, call: Callable[[], object]) -> None:
        self.call = call
        self.callbacks: Any = _RING

    def cancel(self) -> None:
        """Whoever set it has changed his mind."""
        self.call = _nothing


def _ring(timer: Timer) -> None:
    timer.call()


def _nothing() -> None:
    return None


_RING = (_ring,)


class Alarm(Event):
    """The event that one task waits for, again and again: making one costs SimPy half of what waiting does.

    ``listeners`` are called each time that it rings; a task that yields it need not say so again.
    """

    def __init__(self, clock: Clock, listeners: tuple[Callable[[Event], None], ...]) -> None:
        super().__init__(clock)
        self._ok, self._value = True, None
        self.listeners = listeners
        self._clock, self._heap, self._number = clock, clock._queue, clock._eid.__next__

    def silence(self) -> None:
        """Whoever waits for it waits for ever."""
        self.callbacks = self.listeners = ()  # type: ignore[assignment]

    def ring(self, delay_ns: int) -> Alarm:
        """Rings ``delay_ns`` from now. One at a time: who waits for it has nothing else to wait for."""
        self.callbacks = self.listeners  # type: ignore[assignment]
        heappush(self._heap, (self._clock._now + delay_ns, NORMAL, self._number(), self))
        return self
