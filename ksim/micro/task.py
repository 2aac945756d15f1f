"""Tasks: threads of user processes and of the kernel, in the states of ps(1), each a SimPy process.

A task's ``program`` is a generator that yields work (``task.cpu.user`` or ``task.cpu.kernel``), a sleep
(``task.sleep``) or a system call (``ksim.micro.syscall``): each of them says what is due then. What a system call
returns comes back from the ``yield``; after one that returns nothing that is of no meaning.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from heapq import heappush
from typing import TYPE_CHECKING, Any, Literal

import simpy
from simpy.events import Event

from ksim.linux.sched import weight
from ksim.linux.vocabulary import Task as LinuxTask
from ksim.linux.vocabulary import TaskKind
from ksim.micro.clock import LATER, Clock, Due
from ksim.micro.cpu import SLEEPING, Scheduler

if TYPE_CHECKING:
    from ksim.micro.filesystem import File

State = Literal["R", "S", "D", "Z", "X"]
"""Running or waiting for a CPU; sleeping, interruptible or not; zombie; gone. As in ps(1)."""

Program = Callable[["Task"], Generator[Any, Any, None]]


class Oopsed(Exception):
    """The kernel kills the task in the middle of whatever it does; nothing that it holds is released."""


@dataclass(eq=False)
class Process:
    """What the threads of one program share: memory in pages, and who may be killed for it.

    ``anon``: resident anonymous pages; ``swapped``: in swap; ``tables``: page tables for both. ``mapped``: its program
    and libraries, a file in the page cache that it shares with others of its kind.
    ``restarts``: systemd starts it again, as ``program`` in ``size`` (threads and pages), when it is killed; ``nice``:
    of all its threads. ``parent`` (None: systemd) has to wait for it when it has ended; ``zombies``: children that did.
    """

    pid: int
    comm: str
    kind: TaskKind = TaskKind.USER
    oom_score_adj: int = 0
    anon: int = 0
    swapped: int = 0
    tables: int = 0
    mapped: File | None = None
    threads: list[Task] = field(default_factory=list)
    is_dying: bool = False
    restarts: bool = True
    program: Any = None
    nice: int = 0
    parent: Process | None = None
    children: list[Process] = field(default_factory=list)
    zombies: list[Process] = field(default_factory=list)
    size: tuple[int, int] = (1, 0)

    @property
    def rss(self) -> int:
        """Resident pages as get_mm_rss() counts them: shared ones in full for everybody who maps them."""
        return self.anon + (self.mapped.cached if self.mapped is not None else 0)

    @property
    def is_kernel(self) -> bool:
        return self.kind in (TaskKind.KTHREAD, TaskKind.KWORKER)

    @property
    def alive(self) -> int:
        """Threads that are not dead."""
        return sum(task.state not in ("Z", "X") for task in self.threads)


class Task(simpy.Process):
    """One thread, a SimPy process that starts when the scheduler first runs it.

    ``since_ns``: when it fell asleep, or died; ``waits_for``: what it sleeps on; ``serves``: the call of a client that
    it works on; ``result``: what the last system call returned, or what the next step of the one under way gets.
    ``is_stuck``: nothing will ever wake it; ``is_killable``: SIGKILL ends the sleep in state D that it is in
    (TASK_KILLABLE). ``is_bound``: it runs on its CPU ``on`` and on no other. ``rt``: real-time priority, 0 for
    everybody else. The clock calls ``resume`` at the end of whatever it waits for, so that SimPy's bookkeeping of
    targets is left out: it is woken and killed, never interrupted.
    """

    # Slots, because CPython 3.11 gives up its quick way to attributes where an instance has 30 of them.
    __slots__ = (
        "_on_exit", "_outer", "_send", "before_ns", "clock", "comm", "cpu", "held", "is_bound", "is_killable",
        "is_killed", "is_stuck", "nice", "process", "result", "resume", "rt", "scheduler", "serves", "since_ns",
        "slice_ns", "state", "tid", "vruntime", "waits_for", "weight",
    )  # fmt: skip

    def __init__(
        self,
        clock: Clock,
        scheduler: Scheduler,
        tid: int,
        comm: str,
        process: Process,
        program: Program,
        on_exit: Callable[[Task, bool], None],
        *,
        nice: int = 0,
        rt: int = 0,
        on: int | None = None,
    ) -> None:
        Event.__init__(self, clock)
        self._generator = program(self)
        self._target = None  # type: ignore[assignment]
        self._send: Callable[[Any], Any] = self._generator.send
        self._outer: Any = None
        self.result: Any = None
        self.clock, self.scheduler, self.tid, self.comm, self.process = clock, scheduler, tid, comm, process
        self.nice, self.rt, self.weight = nice, rt, weight(nice)
        self._on_exit = on_exit
        self.state: State = "S"
        self.since_ns = clock.now
        self.resume: Callable[[], Any] = self._runs
        self.is_bound = on is not None
        self.cpu = scheduler.cpus[tid % len(scheduler.cpus) if on is None else on]
        self.before_ns = self.slice_ns = self.vruntime = 0
        self.held: list[Any] = []
        self.waits_for: Any = None
        self.serves: Any = None
        self.is_stuck = self.is_killed = self.is_killable = False
        process.threads.append(self)
        self.wake()

    @property
    def ran_ns(self) -> int:
        """CPU time so far: in slices that are over, and in this one."""
        return self.before_ns + self.slice_ns

    @property
    def now_ns(self) -> int:
        return self.clock._now

    def became(self, state: State) -> None:
        """Enters a state."""
        self.state = state
        self.since_ns = self.clock._now

    def sleep(self, state: State, waits_for: Any = None) -> Due:
        """Leaves the CPU until somebody wakes it. Due is what that CPU does next."""
        self.state = state
        self.since_ns = self.clock._now
        self.waits_for = waits_for
        return self.cpu.leave(self)

    def wake(self) -> None:
        """Makes it runnable; nothing happens to a task that does not sleep."""
        due = self.rouse()
        if due:
            heappush(self.clock._queue, due)

    def rouse(self, _: object = None) -> Due:
        """The same, for those who return what is due. As a callback it takes what the task waited for."""
        if self.state not in SLEEPING or self.is_stuck:
            return LATER
        self.state = "R"
        cpu, idle = self.cpu, self.scheduler.idle
        if cpu not in idle:
            return self.scheduler.place(self)
        if self.vruntime < cpu.min_vruntime:  # sleeping saves up nothing
            self.vruntime = cpu.min_vruntime
        del idle[cpu]
        return cpu.start(self)

    def kill(self) -> None:
        """SIGKILL: ends a sleep that it may end, and the task dies where it next returns to user space.

        PID 1 and threads of the kernel do not hear it.
        """
        if self.process.kind is not TaskKind.USER:
            return
        self.is_killed = True
        if self._outer is None:  # the program itself is next, and never runs again
            self._send = _dies
        else:
            self._outer = _dies
        if self.state == "S" or (self.state == "D" and self.is_killable):
            self.wake()

    def as_linux(self) -> LinuxTask:
        """The task as the rules of the kernel see it."""
        process = self.process
        threads = 1 if process.is_kernel else max(1, process.alive)
        return LinuxTask(process.kind, threads, comm=self.comm, pid=self.tid)

    def enter(self, call: Generator[Any, Any, Any]) -> Due:
        """A system call that takes more than one piece of work: it runs to its end before the program goes on."""
        self._outer, self._send = self._send, call.send
        try:
            due: Due = self._send(None)
        except StopIteration as stop:
            self._send, self._outer, self.result = self._outer, None, stop.value
            due = self.at_once()
        return due

    def at_once(self) -> Due:
        """It goes on now, after all that is due now already."""
        return self.clock._now, next(self.clock._eid), self.resume

    def silence(self) -> None:
        """It never goes on."""
        self.clock.forget(self.resume)
        self.resume = _nothing

    def then(self, step: Callable[[Any], Due | None], what: Any) -> None:
        """The same without a generator: ``step(what)`` is called at the end of each piece of work.

        It returns what the call waits for next; None, with the ``result`` set: the call is over.
        """
        self._outer, self._send, self.result = self._send, step, what

    def next(self, step: Callable[[Any], Due | None], what: Any) -> None:
        """For a step: another one follows."""
        self._send, self.result = step, what

    def last(self) -> None:
        """For a step: the call is over when what it waits for now is."""
        self._send, self._outer = self._outer, None

    def goes_on(self, call: Generator[Any, Any, Any]) -> Any:
        """For a step: the rest of the call is longer than it hoped."""
        self._send = call.send
        return self._send(None)

    def _runs(self) -> Due:
        """The end of a piece of work, or of a sleep: somebody else's turn, or on to the next wait; the task may end."""
        try:
            while True:
                cpu = self.cpu
                if cpu.queue and (self.slice_ns >= cpu.limit_ns or cpu.rt_waiting) and cpu.should_switch(self):
                    return cpu.step_aside(self)
                send = self._send
                try:
                    due: Due | None = send(self.result)
                    if due is not None:
                        return due
                except StopIteration as stop:
                    if self._outer is None:
                        return self._ends(oopsed=False)
                    self.result = stop.value
                self._send, self._outer = self._outer, None  # the call is over
        except Oopsed:
            return self._ends(oopsed=True)

    def _ends(self, *, oopsed: bool) -> Due:
        self.became("X")
        self._on_exit(self, oopsed)
        due = self.cpu.leave(self)
        self.succeed()
        return due

    def __repr__(self) -> str:
        return f"{self.comm}[{self.tid}]"


def _nothing() -> None:
    return None


def _dies(_: Any) -> Any:
    """get_signal() on the way to user space: do_group_exit()."""
    raise StopIteration
