"""The micro clock: a SimPy environment in integer nanoseconds since boot, and events that are used again.

One boot is one clock. A panic is "stop stepping and read the state": ``stopped`` is looked at before every event, so
nothing can happen after it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from heapq import heappop, heappush
from typing import Any

import simpy
from simpy.events import NORMAL, Event, EventPriority


class Clock(simpy.Environment):
    """Time since the start of this boot, in ns. ``steps`` counts the events that have happened.

    What is in the queue has a method ``happens``: the events of this file, and SimPy's own in a ``Timer``.
    """

    _now: int
    _queue: list[Any]

    def __init__(self) -> None:
        super().__init__(0)
        self.stopped = False
        self.steps = 0

    @property
    def now(self) -> int:
        """Nanoseconds since boot."""
        return self._now

    def play(self, until_ns: int) -> None:
        """All events up to and including ``until_ns``, or up to the one that stops the clock."""
        queue, steps = self._queue, 0
        while queue and not self.stopped:
            entry = heappop(queue)
            self._now = now = entry[0]
            if now > until_ns:
                heappush(queue, entry)
                break
            steps += 1
            happens = entry[3].happens
            happens()
        if not self.stopped:
            self._now = until_ns
        self.steps += steps

    def step(self) -> None:
        """The next event."""
        if not self._queue:
            raise simpy.core.EmptySchedule
        self._now, _, _, event = heappop(self._queue)
        self.steps += 1
        event.happens()

    def schedule(self, event: Event, priority: EventPriority = NORMAL, delay: float = 0) -> None:
        """An event of SimPy's own, which happens once, with all of SimPy's bookkeeping."""
        once = Timer(partial(_happens, event))
        heappush(self._queue, (self._now + delay, priority, next(self._eid), once))

    def after(self, delay_ns: int, call: Callable[[], object]) -> Timer:
        """Calls ``call`` once, ``delay_ns`` from now, unless it is cancelled before."""
        timer = Timer(call)
        heappush(self._queue, (self._now + delay_ns, NORMAL, next(self._eid), timer))
        return timer


class Timer:
    """A call in the future, for work that nobody waits for."""

    __slots__ = ("happens",)

    def __init__(self, happens: Callable[[], object]) -> None:
        self.happens = happens

    def cancel(self) -> None:
        """Whoever set it has changed his mind."""
        self.happens = _nothing


def _nothing() -> None:
    return None


def _happens(event: Event) -> None:
    callbacks, event.callbacks = event.callbacks, None  # type: ignore[assignment]
    for callback in callbacks:
        callback(event)
    if not event._ok and not event.defused:
        raise event._value


class Alarm(Event):
    """The event that happens again and again: making one costs SimPy half of what waiting does.

    ``happens`` is called each time that it rings; a task that yields it need not say so again.
    """

    def __init__(self, clock: Clock, happens: Callable[[], object]) -> None:
        super().__init__(clock)
        self._ok, self._value = True, None
        self.happens = happens
        self._clock, self._heap, self._number = clock, clock._queue, clock._eid.__next__

    def silence(self) -> None:
        """Whoever waits for it waits for ever."""
        self.happens = _nothing

    def ring(self, delay_ns: int) -> Alarm:
        """Rings ``delay_ns`` from now; so does whoever puts it into the queue himself, as a CPU does for each task."""
        number = self._number
        heappush(self._heap, (self._clock._now + delay_ns, NORMAL, number(), self))
        return self


class Deadline(Alarm):
    """An alarm that is put off, always by the same delay, far more often than it rings: one event in the queue does."""

    def __init__(self, clock: Clock, call: Callable[[], object]) -> None:
        super().__init__(clock, self._looks)
        self._call = call
        self.due_ns: int | None = None
        self._is_waiting = False

    def set(self, delay_ns: int) -> None:
        """Calls ``delay_ns`` from now, unless it is set anew or cancelled before."""
        self.due_ns = self._clock._now + delay_ns
        if not self._is_waiting:
            self._is_waiting = True
            self.ring(delay_ns)

    def cancel(self) -> None:
        """Whoever set it has changed his mind."""
        self.due_ns = None

    def _looks(self) -> None:
        due_ns = self.due_ns
        if due_ns is not None and due_ns > self._clock._now:
            self.ring(due_ns - self._clock._now)
            return
        self._is_waiting = False
        if due_ns is not None:
            self._call()
