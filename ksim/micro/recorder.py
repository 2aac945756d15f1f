"""Who did what, when: for pictures of one boot. Without a recorder the same classes run without a question asked.

It only looks: the boot that it records goes the same way, event by event, as one that nobody records.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from ksim.micro.blkdev import Request
from ksim.micro.clock import Due
from ksim.micro.cpu import CPU, SLEEPING, Scheduler
from ksim.micro.task import State, Task

if TYPE_CHECKING:
    from ksim.micro.machine import Boot

SAMPLE_NS = 1_000_000
FORGETS_AT = 10_000


class Work(NamedTuple):
    """A piece of work on a CPU: "user", "kernel" or "switch"."""

    start_ns: int
    end_ns: int
    cpu: int
    task: Task
    mode: str


class Change(NamedTuple):
    """A task sleeps from now on (S or D, and on what), or was woken (R)."""

    at_ns: int
    task: Task
    state: State
    why: str


class Sample(NamedTuple):
    """Queues and memory at one moment; memory in pages."""

    at_ns: int
    runnable: int
    disk: int
    ring: int
    calls: int
    free: int
    cache: int
    dirty: int
    anon: int


class Recorder:
    """Records from ``from_ns`` on; ``before`` is the last change of each task until then. One boot each."""

    def __init__(self, from_ns: int = 0) -> None:
        self.from_ns = from_ns
        self.works: list[Work] = []
        self.changes: list[Change] = []
        self.before: dict[Task, Change] = {}
        self.requests: list[Request] = []
        self.samples: list[Sample] = []

    def cpu(self, scheduler: Scheduler, number: int) -> CPU:
        """A CPU that is watched."""
        return _Cpu(scheduler, number, self)

    def task(self, *args: Any, **how: Any) -> Task:
        """A task that is watched."""
        return _Task(self, *args, **how)

    def asked(self, request: Request) -> None:
        """A command of the disk; those that were over before the recording are forgotten in time."""
        self.requests.append(request)
        if len(self.requests) >= FORGETS_AT and request.issued_ns < self.from_ns:
            self.requests = [request for request in self.requests if not request.is_over]

    def watch(self, boot: Boot) -> None:
        """Looks at queues and memory every millisecond."""

        def look() -> None:
            memory = boot.pager.memory
            self.samples.append(
                Sample(
                    boot.clock.now,
                    boot.scheduler.waiting,
                    boot.disk.in_flight,
                    len(boot.nic.ring),
                    boot.nic.in_flight,
                    memory.free,
                    memory.cache,
                    memory.dirty,
                    memory.anon,
                )
            )
            boot.clock.after(SAMPLE_NS, look)

        boot.clock.after(self.from_ns, look)


class _Cpu(CPU):
    def __init__(self, scheduler: Scheduler, number: int, recorder: Recorder) -> None:
        super().__init__(scheduler, number)
        self._recorder = recorder

    def user(self, task: Task, ns: int) -> Due:
        self._note(task, ns, "user")
        return super().user(task, ns)

    def kernel(self, task: Task, ns: int) -> Due:
        self._note(task, ns, "kernel")
        return super().kernel(task, ns)

    def faulting(self, task: Task, ns: int, faults_ns: int) -> Due:
        self._note(task, ns + faults_ns, "user")
        return super().faulting(task, ns, faults_ns)

    def start(self, task: Task) -> Due:
        self._note(task, self._switch_ns, "switch")
        return super().start(task)

    def _note(self, task: Task, ns: int, mode: str) -> None:
        now = self.scheduler.clock.now
        end_ns = now + ns + (self._stolen_ns if mode != "switch" else 0)
        if end_ns >= self._recorder.from_ns:
            self._recorder.works.append(Work(now, end_ns, self.number, task, mode))


class _Task(Task):
    def __init__(self, recorder: Recorder, *args: Any, **how: Any) -> None:
        self._recorder = recorder
        super().__init__(*args, **how)

    def sleep(self, state: State, waits_for: Any = None) -> Due:
        self._note(state, _why(waits_for))
        return super().sleep(state, waits_for)

    def rouse(self, _: object = None) -> Due:
        if self.state in SLEEPING and not self.is_stuck:
            self._note("R", "")
        return super().rouse()

    def _note(self, state: State, why: str) -> None:
        recorder, change = self._recorder, Change(self.clock.now, self, state, why)
        if change.at_ns < recorder.from_ns:
            recorder.before[self] = change
        else:
            recorder.changes.append(change)


def _why(waits_for: Any) -> str:
    if isinstance(waits_for, Request):
        return f"disk {waits_for.op}"
    return "" if waits_for is None else str(waits_for)
