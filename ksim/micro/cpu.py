"""CPUs and the scheduler: a run queue each, a base slice, weights of nice, real-time tasks first.

A task that runs is the ``current`` of a CPU and says how long it works there, in user space (``user``) or in the kernel
(``kernel``): one event each. Whether somebody else should run is asked where Linux asks: at the end of a piece of
work, and at the tick in a long one. Interrupts take time from whoever runs: it is added to the next piece of work of
that CPU, so that an interrupt costs no event. A CPU without work takes some from the longest queue, but no thread of
the kernel that is bound to its CPU.

Of the tasks whose virtual runtime is not above the average, the one with the earliest virtual deadline runs next
(EEVDF, Linux 6.6); before, the one with the least virtual runtime (CFS).
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappush
from typing import TYPE_CHECKING

from simpy.events import NORMAL

from ksim.linux.sched import EEVDF_SINCE, base_slice_ns, weight
from ksim.linux.vocabulary import Release
from ksim.micro.clock import Alarm, Clock

if TYPE_CHECKING:
    from ksim.micro.task import Task

NICE_0 = weight(0)
SLEEPING = ("S", "D")


class Scheduler:
    """All CPUs of the machine. ``hz``: ticks per second; ``switch_ns``: what a context switch costs.

    ``cpu_class``: makes CPUs that tell somebody what they do.
    """

    def __init__(
        self,
        clock: Clock,
        cpus: int,
        *,
        release: Release,
        hz: int,
        switch_ns: int,
        cpu_class: Callable[[Scheduler, int], CPU] | None = None,
    ) -> None:
        self.clock = clock
        self.slice_ns = base_slice_ns(cpus, release)
        self.tick_ns = 10**9 // hz
        self.switch_ns = switch_ns
        self.is_eevdf = release >= EEVDF_SINCE
        self.cpus = [(cpu_class or CPU)(self, number) for number in range(cpus)]
        self.idle: dict[int, CPU] = {cpu.number: cpu for cpu in self.cpus}
        self.waiting = 0
        self.on_idle: Callable[[CPU], None] | None = None

    def wake(self, task: Task) -> None:
        """The task becomes runnable: at once on an idle CPU, its own first; else in the shortest queue."""
        if task.state not in SLEEPING or task.is_stuck:
            return
        task.state = "R"
        task.since_ns = self.clock._now
        cpu = task.cpu
        idle = self.idle
        if idle:
            number = cpu.number
            if number not in idle:
                if task.is_bound:
                    cpu.enqueue(task)
                    return
                task.vruntime -= cpu.min_vruntime  # every queue has a clock of its own
                number, cpu = next(iter(idle.items()))
                task.vruntime += cpu.min_vruntime
            if task.vruntime < cpu.min_vruntime:  # sleeping saves up nothing
                task.vruntime = cpu.min_vruntime
            del idle[number]
            cpu.start(task)
            return
        if (cpu.queue or cpu.is_lost) and not task.is_bound:  # else nobody's is shorter
            shortest = self._shortest()
            if cpu.is_lost or len(cpu.queue) > len(shortest.queue):
                task.vruntime += shortest.min_vruntime - cpu.min_vruntime
                cpu = shortest
        cpu.enqueue(task)

    def _shortest(self) -> CPU:
        found = None
        for cpu in self.cpus:
            if not cpu.is_lost and (found is None or len(cpu.queue) < len(found.queue)):
                found = cpu
        return found or min(self.cpus, key=_queued)  # all are lost


class CPU:
    """One CPU. ``user_ns``, ``kernel_ns``, ``irq_ns``: where its time went; the rest was idle.

    ``is_lost``: somebody loops here in the kernel for ever, and nobody else will ever run; ``is_deaf``: with
    interrupts or bottom halves off, so that the card's packets are not heard here either.
    """

    def __init__(self, scheduler: Scheduler, number: int) -> None:
        self.scheduler, self.number = scheduler, number
        self._clock, self._heap, self._number = scheduler.clock, scheduler.clock._queue, scheduler.clock._eid.__next__
        self.current: Task | None = None
        self.queue: list[Task] = []
        self.user_ns = self.kernel_ns = self.irq_ns = self._stolen_ns = 0
        self.switches = self._rt_waiting = self._bound_waiting = 0
        self._switch_ns, self._slice_ns = scheduler.switch_ns, scheduler.slice_ns
        self.min_vruntime = 0
        self.is_lost = self.is_deaf = False

    # ---------------------------------------------------------------- work of the current task

    # the same twice, but for the account: a call in between would cost a tenth of a system call
    def user(self, task: Task, ns: int) -> Alarm:
        """``ns`` of work in user space: the event at its end."""
        self.user_ns += ns
        task.ran_ns += ns
        if self._stolen_ns:
            ns, self._stolen_ns = ns + self._stolen_ns, 0
        number, alarm = self._number, task.alarm
        heappush(self._heap, (self._clock._now + ns, NORMAL, number(), alarm))
        return alarm

    def kernel(self, task: Task, ns: int) -> Alarm:
        """``ns`` of work in the kernel, in process context: the event at its end."""
        self.kernel_ns += ns
        task.ran_ns += ns
        if self._stolen_ns:
            ns, self._stolen_ns = ns + self._stolen_ns, 0
        number, alarm = self._number, task.alarm
        heappush(self._heap, (self._clock._now + ns, NORMAL, number(), alarm))
        return alarm

    def interrupt(self, ns: int) -> None:
        """``ns`` in a hard interrupt or softirq, taken from whoever runs here."""
        self.irq_ns += ns
        if self.current is not None:
            self._stolen_ns += ns

    # ---------------------------------------------------------------- who runs

    def enqueue(self, task: Task) -> None:
        task.cpu = self
        if task.vruntime < self.min_vruntime:  # sleeping saves up nothing
            task.vruntime = self.min_vruntime
        self._joins(task)

    def _joins(self, task: Task) -> None:
        self.queue.append(task)
        self.scheduler.waiting += 1
        if task.rt:
            self._rt_waiting += 1
        if task.is_bound:
            self._bound_waiting += 1

    def should_switch(self, task: Task) -> bool:
        """need_resched(): somebody waits here, and the slice of the current task is over or he goes first."""
        if self._rt_waiting and max(other.rt for other in self.queue) > task.rt:
            return True
        return task.rt == 0 and task.ran_ns - task.slice_began_ns >= self._slice_ns

    def step_aside(self, task: Task) -> None:
        """schedule() of a task that could go on: back into the queue."""
        self._account(task)
        self._joins(task)
        self.current = None
        self.dispatch()

    def leave(self, task: Task) -> None:
        """schedule() of a task that sleeps or is dead."""
        self._account(task)
        self.current = None
        scheduler = self.scheduler
        if scheduler.waiting or scheduler.on_idle:  # waiting: in any queue, also his own
            self.dispatch()
        else:
            scheduler.idle[self.number] = self
            self._stolen_ns = 0

    def dispatch(self) -> None:
        """The next task runs after a context switch; without one the CPU looks at other queues, then idles."""
        scheduler = self.scheduler
        task = self._pick() if self.queue else self._steal() if scheduler.waiting else None
        if task is None:
            scheduler.idle[self.number] = self
            self._stolen_ns = 0
            if scheduler.on_idle is not None:
                scheduler.on_idle(self)
            return
        scheduler.waiting -= 1
        self.start(task)

    def start(self, task: Task) -> None:
        """The task has this CPU, after a context switch."""
        self.current, task.cpu = task, self
        task.slice_began_ns = task.ran_ns
        self.switches += 1
        ns, number = self._switch_ns, self._number
        self.kernel_ns += ns
        heappush(self._heap, (self._clock._now + ns, NORMAL, number(), task.alarm))

    def _pick(self) -> Task:
        queue = self.queue
        if len(queue) == 1:
            self._rt_waiting = self._bound_waiting = 0
            return queue.pop()
        return self._takes(self._next(queue))

    def _takes(self, found: Task) -> Task:
        self.queue.remove(found)
        if found.rt:
            self._rt_waiting -= 1
        if found.is_bound:
            self._bound_waiting -= 1
        return found

    def _next(self, queue: list[Task]) -> Task:
        urgent = max(task.rt for task in queue) if self._rt_waiting else 0
        if urgent:
            return next(task for task in queue if task.rt == urgent)
        if self.scheduler.is_eevdf:
            total, many = sum([task.vruntime for task in queue]), len(queue)
            eligible = [task for task in queue if task.vruntime * many <= total]
            return min(eligible, key=_deadline) if len(eligible) > 1 else eligible[0]
        return min(queue, key=_vruntime)

    def _steal(self) -> Task | None:
        victim, most = self, 0
        for cpu in self.scheduler.cpus:
            movable = len(cpu.queue) - cpu._bound_waiting
            if movable > most:
                victim, most = cpu, movable
        if not most:
            return None
        task = victim._takes(victim._next([task for task in victim.queue if not task.is_bound]))
        task.vruntime += self.min_vruntime - victim.min_vruntime
        return task

    def _account(self, task: Task) -> None:
        ran = task.ran_ns - task.slice_began_ns
        task.vruntime += ran if task.weight == NICE_0 else ran * NICE_0 // task.weight
        least = task.vruntime
        for other in self.queue:
            if other.vruntime < least:
                least = other.vruntime
        if least > self.min_vruntime:
            self.min_vruntime = least


def _queued(cpu: CPU) -> int:
    return len(cpu.queue)


def _vruntime(task: Task) -> int:
    return task.vruntime


def _deadline(task: Task) -> int:
    return task.vruntime + task.cpu.scheduler.slice_ns * NICE_0 // task.weight
