"""CPUs and the scheduler: a run queue each, a base slice, weights of nice, real-time tasks first.

A task that runs is the ``current`` of a CPU and says how long it works there, in user space (``user``) or in the kernel
(``kernel``): one event each, due at its end, which the task yields. Whether somebody else should run is asked where
Linux asks: at the end of a piece of work, and at the tick in a long one. Interrupts take time from whoever runs: it is
added to the next piece of work of that CPU, so that an interrupt costs no event. A CPU without work takes some from
the longest queue, but no thread of the kernel that is bound to its CPU.

Of the tasks whose virtual runtime is not above the average, the one with the earliest virtual deadline runs next
(EEVDF, Linux 6.6); before, the one with the least virtual runtime (CFS).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ksim.linux.sched import EEVDF_SINCE, base_slice_ns, weight
from ksim.linux.vocabulary import Release
from ksim.micro.clock import LATER, Clock, Due

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
        self.idle: dict[CPU, None] = dict.fromkeys(self.cpus)
        self.waiting = 0
        self.on_idle: Callable[[CPU], None] | None = None

    def place(self, task: Task) -> Due:
        """A task that woke up and found its CPU busy: to an idle one, else into the shortest queue."""
        cpu, idle = task.cpu, self.idle
        if idle:
            if task.is_bound:
                cpu.enqueue(task)
                return LATER
            task.vruntime -= cpu.min_vruntime  # every queue has a clock of its own
            task.cpu = cpu = next(iter(idle))
            task.vruntime += cpu.min_vruntime
            if task.vruntime < cpu.min_vruntime:  # sleeping saves up nothing
                task.vruntime = cpu.min_vruntime
            del idle[cpu]
            return cpu.start(task)
        if (cpu.queue or cpu.is_lost) and not task.is_bound:  # else nobody's is shorter
            shortest = self._shortest()
            if cpu.is_lost or len(cpu.queue) > len(shortest.queue):
                task.vruntime += shortest.min_vruntime - cpu.min_vruntime
                cpu = shortest
        cpu.enqueue(task)
        return LATER

    def _shortest(self) -> CPU:
        found = None
        for cpu in self.cpus:
            if not cpu.is_lost and (found is None or len(cpu.queue) < len(found.queue)):
                found = cpu
                if not cpu.queue:
                    break
        return found or min(self.cpus, key=_queued)  # all are lost


class CPU:
    """One CPU. ``user_ns``, ``kernel_ns``, ``irq_ns``: where its time went; the rest was idle.

    ``is_lost``: somebody loops here in the kernel for ever, and nobody else will ever run; ``is_deaf``: with
    interrupts or bottom halves off, so that the card's packets are not heard here either.
    """

    def __init__(self, scheduler: Scheduler, number: int) -> None:
        self.scheduler, self.number = scheduler, number
        self._clock, self._eid = scheduler.clock, scheduler.clock._eid
        self.current: Task | None = None
        self.queue: list[Task] = []
        self.user_ns = self.irq_ns = self.spun_ns = self._stolen_ns = self._slices_ns = 0
        self.switches = self.rt_waiting = self._bound_waiting = 0
        self._switch_ns, self.limit_ns = scheduler.switch_ns, scheduler.slice_ns
        self.min_vruntime = 0
        self.is_lost = self.is_deaf = False

    @property
    def kernel_ns(self) -> int:
        """All that its tasks were here but in user space, and the switches between them: no work keeps this account."""
        running = self.current.slice_ns if self.current is not None else 0
        return self._slices_ns + running + self.spun_ns + self.switches * self._switch_ns - self.user_ns

    # ---------------------------------------------------------------- work of the current task

    # the same three times, but for the account: a call in between would cost a tenth of a system call
    def user(self, task: Task, ns: int) -> Due:
        """``ns`` of work in user space: the event at its end."""
        self.user_ns += ns
        task.slice_ns += ns
        if self._stolen_ns:
            ns, self._stolen_ns = ns + self._stolen_ns, 0
        return self._clock._now + ns, next(self._eid), task.resume

    def kernel(self, task: Task, ns: int) -> Due:
        """``ns`` of work in the kernel, in process context: the event at its end."""
        task.slice_ns += ns
        if self._stolen_ns:
            ns, self._stolen_ns = ns + self._stolen_ns, 0
        return self._clock._now + ns, next(self._eid), task.resume

    def faulting(self, task: Task, ns: int, faults_ns: int) -> Due:
        """``ns`` of work in user space, with exceptions that take ``faults_ns`` in the kernel."""
        self.user_ns += ns
        ns += faults_ns
        task.slice_ns += ns
        if self._stolen_ns:
            ns, self._stolen_ns = ns + self._stolen_ns, 0
        return self._clock._now + ns, next(self._eid), task.resume

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
            self.rt_waiting += 1
        if task.is_bound:
            self._bound_waiting += 1

    def should_switch(self, task: Task) -> bool:
        """need_resched(): somebody waits here, and the slice of the current task is over or he goes first."""
        if self.rt_waiting and max(other.rt for other in self.queue) > task.rt:
            return True
        return task.rt == 0 and task.slice_ns >= self.limit_ns

    def step_aside(self, task: Task) -> Due:
        """schedule() of a task that could go on: back into the queue."""
        self._joins(task)
        return self.leave(task)

    def leave(self, task: Task) -> Due:
        """schedule() of a task that sleeps or is dead, or waits in a queue again: when the next one is here."""
        ran = task.slice_ns
        task.slice_ns = 0
        task.before_ns += ran
        self._slices_ns += ran
        if task.nice:
            ran = ran * NICE_0 // task.weight
        task.vruntime = least = task.vruntime + ran
        for other in self.queue:
            if other.vruntime < least:
                least = other.vruntime
        if least > self.min_vruntime:
            self.min_vruntime = least
        self.current = None
        scheduler = self.scheduler
        if scheduler.waiting or scheduler.on_idle:  # waiting: in any queue, also his own
            return self.dispatch()
        scheduler.idle[self] = None
        self._stolen_ns = 0
        return LATER

    def dispatch(self) -> Due:
        """The next task runs after a context switch; without one the CPU looks at other queues, then idles."""
        scheduler = self.scheduler
        task = self._pick() if self.queue else self._steal() if scheduler.waiting else None
        if task is None:
            scheduler.idle[self] = None
            self._stolen_ns = 0
            if scheduler.on_idle is not None:
                scheduler.on_idle(self)
            return LATER
        scheduler.waiting -= 1
        return self.start(task)

    def start(self, task: Task) -> Due:
        """The task, whose ``cpu`` this is, has it after a context switch."""
        self.current = task
        self.switches += 1
        return self._clock._now + self._switch_ns, next(self._eid), task.resume

    def _pick(self) -> Task:
        queue = self.queue
        if len(queue) == 1:
            self.rt_waiting = self._bound_waiting = 0
            return queue.pop()
        return self._takes(self._next(queue))

    def _takes(self, found: Task) -> Task:
        self.queue.remove(found)
        if found.rt:
            self.rt_waiting -= 1
        if found.is_bound:
            self._bound_waiting -= 1
        return found

    def _next(self, queue: list[Task]) -> Task:
        urgent = max(task.rt for task in queue) if self.rt_waiting else 0
        if urgent:
            return next(task for task in queue if task.rt == urgent)
        if not self.scheduler.is_eevdf:
            return min(queue, key=_vruntime)
        total, many = 0, len(queue)
        for task in queue:
            total += task.vruntime
        found = None
        for task in queue:
            if task.vruntime * many <= total and (found is None or _deadline(task) < _deadline(found)):
                found = task
        assert found is not None, "nobody is above the average if all are"
        return found

    def _steal(self) -> Task | None:
        cpus = self.scheduler.cpus
        movable = [len(cpu.queue) - cpu._bound_waiting for cpu in cpus]
        most = max(movable)
        if not most:
            return None
        victim = cpus[movable.index(most)]
        task = victim._takes(victim._next([task for task in victim.queue if not task.is_bound]))
        task.vruntime += self.min_vruntime - victim.min_vruntime
        task.cpu = self
        return task


def _queued(cpu: CPU) -> int:
    return len(cpu.queue)


def _vruntime(task: Task) -> int:
    return task.vruntime


def _deadline(task: Task) -> int:
    return task.vruntime + task.cpu.scheduler.slice_ns * NICE_0 // task.weight
