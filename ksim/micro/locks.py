"""Locks of the kernel: mutexes, rwsems and spinlocks, who holds them, who waits, and who waits in a circle.

A spinlock that everybody gives back in time is no more than a clock: see ``Spinlock``.

A task that an oops kills releases nothing (kernel/exit.c rolls nothing back): the lock stays held by a dead task, and
whoever wants it next sleeps in state D, or spins, for ever.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable
from typing import Any

import networkx as nx

from ksim.linux.vocabulary import Lock as Kind
from ksim.micro.clock import LATER, Clock
from ksim.micro.task import Task


class Lock:
    """One lock. ``kind``: how waiters wait. Readers share an rwsem; everything else has one owner."""

    def __init__(self, name: str, kind: Kind) -> None:
        self.name, self.kind = name, kind
        self.owners: list[Task] = []
        self.is_shared = False
        self.queue: deque[tuple[Task, bool]] = deque()

    def try_take(self, task: Task, shared: bool = False) -> bool:
        """Takes the lock if it is free: no event, no time."""
        if self.owners and not (shared and self.is_shared and not self.queue):
            return False
        self._give(task, shared)
        return True

    def take(self, task: Task, *, shared: bool = False) -> Generator[Any, Any, None]:
        """Takes the lock, after waiting for it: asleep (state D) or spinning on the CPU."""
        if self.try_take(task, shared=shared):
            return
        began_ns = task.now_ns
        self.queue.append((task, shared))
        if self.kind.spins:
            task.waits_for = self
            yield LATER
            task.cpu.spun_ns += task.now_ns - began_ns
        else:
            yield task.sleep("D", self)
        task.waits_for = None

    def release(self, task: Task) -> None:
        """Gives it to the first who waits, and for a reader to the readers behind him."""
        self.owners.remove(task)
        task.held.remove(self)
        if self.owners or not self.queue:
            return
        while self.queue and not (self.owners and not (self.is_shared and self.queue[0][1])):
            waiter, shared = self.queue.popleft()
            self._give(waiter, shared)
            waiter.waits_for = None  # it has the lock, although it has not run yet
            if self.kind.spins:
                waiter.clock.put(waiter.at_once())
            else:
                waiter.wake()

    def _give(self, task: Task, shared: bool) -> None:
        self.owners.append(task)
        self.is_shared = shared
        task.held.append(self)

    def __repr__(self) -> str:
        return self.name


class Spinlock:
    """A spinlock that is held for ``hold_ns`` at the beginning of a piece of work, preemption off: who comes meanwhile
    spins, first come, first served (qspinlock). Neither costs an event, for all times are known.

    ``contended``: how often another CPU was inside, for ``spun_ns`` in sum. Interrupts take their time after it.
    """

    def __init__(self, name: str, clock: Clock, hold_ns: int) -> None:
        self.name, self.hold_ns, self._clock = name, hold_ns, clock
        self.free_ns = self.contended = self.spun_ns = 0

    def take(self) -> int:
        """How long the CPU that wants it now spins, in ns: mostly 0."""
        now = self._clock._now
        if self.free_ns <= now:
            self.free_ns = now + self.hold_ns
            return 0
        wait_ns: int = self.free_ns - now
        self.free_ns += self.hold_ns
        self.contended += 1
        self.spun_ns += wait_ns
        return wait_ns


def wait_for_graph(tasks: Iterable[Task]) -> nx.DiGraph[Task]:
    """Who waits for whom: an edge from each waiter to every owner of the lock, which the edge names."""
    graph: nx.DiGraph[Task] = nx.DiGraph()
    for task in tasks:
        if isinstance(task.waits_for, Lock):
            for owner in task.waits_for.owners:
                graph.add_edge(task, owner, lock=task.waits_for.name)
    return graph


def deadlocks(tasks: Iterable[Task]) -> list[str]:
    """Every circle of waiters, by name: ``a[7] waits for L1 of b[9] waits for L2 of a[7]``."""
    graph = wait_for_graph(tasks)
    found = []
    for cycle in nx.simple_cycles(graph):
        first = min(range(len(cycle)), key=lambda at: cycle[at].tid)
        ring = [*cycle[first:], *cycle[:first]]
        texts = [
            f"{task} waits for {graph.edges[task, after]['lock']} of"
            for task, after in zip(ring, [*ring[1:], ring[0]], strict=True)
        ]
        found.append(" ".join([*texts, repr(ring[0])]))
    return sorted(found)
