"""The micro clock: a SimPy environment in integer nanoseconds since boot, whose events are plain calls.

An event is due: a time, a number, and what to call. What is called may return its successor, due, in place of putting
it into the queue: most often that comes next, and never has to go through the queue.

One boot is one clock. A panic is "stop stepping and read the state": nothing can happen after ``stop``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from heapq import heapify, heappop, heappush, heappushpop
from typing import Any

import simpy
from simpy.events import NORMAL, Event, EventPriority

Due = tuple[int, float, Callable[[], Any]] | tuple[()]
"""When and in which order something happens, and what to call then; or nothing: somebody will see to that later."""
LATER: Due = ()
URGENCY = 1 << 62
"""How much lower an urgent event's number is, at the same time: SimPy starts its processes so."""


class Clock(simpy.Environment):
    """Time since the start of this boot, in ns.

    SimPy's own events and processes can be played in it too; their priority is a part of the number.
    """

    _now: int
    _queue: list[Any]

    def __init__(self) -> None:
        super().__init__(0)
        self.stopped = False
        self._unborn = 0  # numbers of events that never happen

    @property
    def now(self) -> int:
        """Nanoseconds since boot."""
        return self._now

    @property
    def steps(self) -> int:
        """How many events have happened: all that have a number but those in the queue. Nobody counts while playing."""
        self._unborn += 1
        return next(self._eid) + 1 - self._unborn - len(self._queue)

    def play(self, until_ns: int) -> None:
        """All events up to and including ``until_ns``, or up to the one that stops the clock."""
        if self.stopped:
            return
        queue = self._queue
        heappush(queue, (until_ns, math.inf, _pauses))  # as SimPy's run() does: nobody asks at each event
        try:
            entry = heappop(queue)
            while True:
                self._now, _, call = entry
                due = call()
                entry = heappushpop(queue, due) if due else heappop(queue)
        except _Pause:
            if not self.stopped:
                self._now = until_ns
        finally:
            self.forget(_pauses)

    def stop(self) -> None:
        """Nothing happens any more."""
        self.stopped = True
        heappush(self._queue, (self._now, -math.inf, _pauses))

    def put(self, due: Due) -> None:
        """Into the queue, for whoever cannot return it."""
        if due:
            heappush(self._queue, due)

    def forget(self, call: Callable[[], object]) -> None:
        """Takes a call out of the queue."""
        before = len(self._queue)
        self._queue[:] = [entry for entry in self._queue if entry[2] is not call]
        heapify(self._queue)
        if call is not _pauses:
            self._unborn += before - len(self._queue)

    def step(self) -> None:
        """The next event."""
        if not self._queue:
            raise simpy.core.EmptySchedule
        self._now, _, call = heappop(self._queue)
        self.put(call())

    def schedule(self, event: Event, priority: EventPriority = NORMAL, delay: float = 0) -> None:
        """An event of SimPy's own, which happens once, with all of SimPy's bookkeeping."""
        number = next(self._eid) + (priority - NORMAL) * URGENCY
        heappush(self._queue, (self._now + delay, number, partial(_happens, event)))

    def after(self, delay_ns: int, call: Callable[[], object]) -> Timer:
        """Calls ``call`` once, ``delay_ns`` from now, unless it is cancelled before."""
        timer = Timer(call)
        heappush(self._queue, (self._now + delay_ns, next(self._eid), timer.happens))
        return timer


class Timer:
    """A call in the future, for work that nobody waits for."""

    __slots__ = ("_call",)

    def __init__(self, call: Callable[[], object]) -> None:
        self._call = call

    def happens(self) -> None:
        """Its time has come."""
        call = self._call
        call()

    def cancel(self) -> None:
        """Whoever set it has changed his mind."""
        self._call = _nothing


class _Pause(Exception):
    """No more events for now."""


def _pauses() -> None:
    raise _Pause


def _nothing() -> None:
    return None


def _happens(event: Event) -> None:
    callbacks, event.callbacks = event.callbacks, None  # type: ignore[assignment]
    for callback in callbacks:
        callback(event)
    if not event._ok and not event.defused:
        raise event._value


class Alarm:
    """Something that happens again and again: ``happens`` is called each time that it rings."""

    def __init__(self, clock: Clock, happens: Callable[[], object]) -> None:
        self.happens = happens
        self._clock, self._heap, self._eid = clock, clock._queue, clock._eid

    def ring(self, delay_ns: int) -> None:
        """Rings ``delay_ns`` from now."""
        heappush(self._heap, (self._clock._now + delay_ns, next(self._eid), self.happens))


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
