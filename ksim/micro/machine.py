"""One boot of one host: CPUs, tasks, memory, a disk and a network card at work, until a panic, a hang or the end.

What a fault does is decided by ``ksim.linux`` alone; this file carries it out: a task dies and leaves its locks
behind, a CPU loops for ever, a file system takes no more writes, or the clock stops. The state after the last event
is what a crash dump would show.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ksim.chance.distributions import Law
from ksim.chance.portable import Array
from ksim.chance.streams import Stream
from ksim.linux.escalation import Decision
from ksim.linux.vocabulary import Context, TaskKind
from ksim.micro import build, crash, programs
from ksim.micro.blkdev import BlockDevice, Request
from ksim.micro.causes import Asked
from ksim.micro.clock import Clock
from ksim.micro.cpu import Scheduler
from ksim.micro.filesystem import File, FileSystem
from ksim.micro.netdev import NetDevice, Socket
from ksim.micro.oops import Oops
from ksim.micro.pager import Pager
from ksim.micro.recorder import Recorder
from ksim.micro.syscall import WAIT, Syscalls
from ksim.micro.task import Process, Task
from ksim.micro.watchdog import Watchdog
from ksim.model.impact import CrashImpact
from ksim.model.machine import Machine
from ksim.model.scenario import Scenario
from ksim.model.schema_micro import Micro
from ksim.units import to_ns, to_s

FOREVER_NS = 2.0**62
"""146 years."""
PARTS = 50
"""In how many parts a boot is played, for those who wait."""


@dataclass(frozen=True, slots=True)
class Entry:
    """Something on the console: the lines of a device, or a decision whose report is printed when somebody asks."""

    at_ns: int
    cpu: int
    lines: tuple[str, ...] = ()
    decision: Decision | None = None


@dataclass(frozen=True, slots=True)
class Ending:
    """How a boot ended. ``decision``: the one that ended it; ``struck_ns``: when its fault had struck.

    ``hung``: something stands still for ever and nothing panicked; ``stuck`` says what. ``silent``: and not a line
    about it is on the console. ``damage``: what a kernel that goes on will not get back before the next boot.
    ``serves``: false where that leaves no disk or no network to serve with.
    """

    kind: Literal["survived", "panicked", "hung"]
    at_ns: int
    decision: Decision | None
    struck_ns: int
    cpu: int
    stuck: tuple[str, ...]
    silent: bool
    damage: tuple[str, ...]
    serves: bool
    impact: CrashImpact


class Boot:
    """One boot. ``faults``: asked for by name and pass; those of the devices strike by chance besides.

    Raises ScenarioError where the workload does not fit into the machine.
    """

    scheduler: Scheduler
    disk: BlockDevice
    pager: Pager
    files: FileSystem
    socket: Socket
    nic: NetDevice
    sys: Syscalls
    user_ns: Callable[[], int]

    def __init__(
        self,
        scenario: Scenario,
        replication: int = 0,
        *,
        faults: Sequence[Asked] = (),
        recorder: Recorder | None = None,
    ) -> None:
        self.scenario, self.replication, self.recorder = scenario, replication, recorder
        self.micro = scenario.micro or Micro()
        self.linux = Machine(scenario)
        self.clock = Clock()
        self.oops = Oops(self)
        self.armed = self.oops.armed
        self.pass_by, self.passes_irq = self.oops.pass_by, self.oops.passes_irq
        self.watchdog = Watchdog(self)
        self.console: list[Entry] = []
        self.ending: Ending | None = None
        self.jobs = self.failed_calls = self.restarts = 0
        self.tasks: list[Task] = []
        self.oom_killed: list[str] = []
        self.by_name: dict[str, File] = {}
        self.next_pid = 1
        self._sector = 2048
        build.hardware(self)
        build.user_space(self)
        for asked in faults:
            self.oops.arm(asked)

    # ---------------------------------------------------------------- chance

    def draw(self, name: str) -> Callable[[], float]:
        """Uniform numbers of the stream ``micro NAME``."""
        return self._stream(name, np.ndarray.tolist)

    def draw_ns(self, name: str, law: Law) -> Callable[[], int]:
        """Whole nanoseconds of a law in seconds."""

        def values(u: Array) -> list[Any]:
            drawn: list[int] = np.rint(np.minimum(law.quantile(u) * 1e9, FOREVER_NS)).astype(np.int64).tolist()
            return drawn

        return self._stream(name, values)

    def _stream(self, name: str, transform: Callable[[Array], list[Any]]) -> Callable[[], Any]:
        return Stream(self.scenario.seed, f"micro {name}", transform, 1).start(self.replication).__next__

    # ---------------------------------------------------------------- time

    def run(self, span_s: float | None = None, progress: Callable[[int, int], None] | None = None) -> Ending:
        """Plays the boot to its end: a panic, or ``span_s`` (by default ``micro.span``).

        ``progress``: called now and then with seconds of the boot, played and in all.
        """
        if self.ending is None:
            span = self.micro.span if span_s is None else span_s
            for part in range(1, PARTS + 1):
                self.clock.play(to_ns(span * part / PARTS))
                if self.ending is not None:
                    break
                if progress is not None:
                    progress(round(span * part / PARTS), round(span))
            if self.ending is None:
                stuck = self.watchdog.stuck()
                kind: Literal["survived", "hung"] = "hung" if stuck else "survived"
                decision = next((e.decision for e in reversed(self.console) if e.decision), None)
                silent = bool(stuck) and not self.watchdog.is_reported()
                self.ending = Ending(
                    kind,
                    self.clock.now,
                    decision,
                    self.oops.struck_ns,
                    0,
                    stuck,
                    silent,
                    self.damage(),
                    self.serves(),
                    self.impact(),
                )
        return self.ending

    def reports(self, decision: Decision, cpu: int) -> None:
        """A report of the kernel on the console."""
        self.console.append(Entry(self.clock.now, cpu, decision=decision))

    def panics(self, decision: Decision, cpu: int) -> None:
        """panic(): the clock stops."""
        if self.ending is not None:
            return
        self.clock.stop()
        struck_ns, stuck = self.oops.struck_ns, self.watchdog.stuck()
        impact = self.impact(to_s(self.clock.now - struck_ns))
        self.ending = Ending(
            "panicked", self.clock.now, decision, struck_ns, cpu, stuck, False, self.damage(), False, impact
        )

    def damage(self) -> tuple[str, ...]:
        """What this kernel has lost for good although it goes on."""
        found = [f"{self.disk.name} is offline"] if self.disk.is_offline else []
        found += [f"{self.micro.disk.file_system} takes no more writes"] if self.files.is_read_only else []
        if self.nic.is_hung and not self.nic.rules.resets:
            found.append(f"{self.nic.name} sends nothing any more")
        found += ["systemd is frozen"] if self.oops.init_frozen else []
        found += [f"{self.oops.oopses} oopses"] if self.oops.oopses else []
        found += [f"the OOM killer ended {victim}" for victim in self.oom_killed]
        return tuple(found)

    def serves(self) -> bool:
        """Whether there is still a disk and a network card to serve clients with."""
        return not self.disk.is_offline and (not self.nic.is_hung or self.nic.rules.resets)

    # ---------------------------------------------------------------- tasks and memory

    def spawn(
        self, comm: str, body: Callable[[Boot, Task], Generator[Any, Any, None]], process: Process, **how: int
    ) -> Task:
        """A new thread of ``process``."""
        task = (Task if self.recorder is None else self.recorder.task)(
            self.clock, self.scheduler, self.pid(), comm, process, lambda task: body(self, task), self.exits, **how
        )
        self.tasks.append(task)
        return task

    def pid(self) -> int:
        """A new number for a thread."""
        self.next_pid += 1
        return self.next_pid - 1

    def exits(self, task: Task, oopsed: bool) -> None:
        """do_exit(): the call of a client that it served is lost; the last thread gives all memory back.

        The first thread of a process is a zombie until the last has ended, and then until the parent has waited for it:
        systemd does at once, unless it is frozen. Nobody reaps a task that the kernel has parked.
        """
        if task in self.oops.parked or (task is task.process.threads[0] and not task.process.is_kernel):
            task.became("Z")
        if task.serves is not None:
            self.nic.abandons(task.serves)
        process = task.process
        if process.alive == 0 and not process.is_kernel:
            for child in process.children:  # KillMode=control-group
                child.parent = None
                for thread in child.threads:
                    thread.kill()
            self.pager.release(process)
            if process in self.pager.processes:
                self.pager.processes.remove(process)
            if process.restarts and not self.oops.init_frozen and process.kind is TaskKind.USER:
                self.clock.after(build.RESTART_NS, lambda: build.restart(self, process))
            if process.parent is not None:
                process.parent.zombies.append(process)
                if process.parent.threads[0].waits_for == WAIT:
                    process.parent.threads[0].wake()
            elif not self.oops.init_frozen:
                self._reaped(process)

    def fork(self, parent: Process, comm: str, body: programs.Body, pages: int) -> None:
        """A child that runs another program."""
        build.fork(self, parent, comm, body, pages)

    def reap(self, child: Process) -> None:
        """release_task(): the parent has waited for a child that had ended; nothing is left of it."""
        assert child.parent is not None
        child.parent.children.remove(child)
        self._reaped(child)
        for thread in child.threads:
            self.tasks.remove(thread)

    def _reaped(self, process: Process) -> None:
        leader = process.threads[0]
        if leader not in self.oops.parked:
            leader.became("X")

    def out_of_memory(self, task: Task | None) -> bool:
        """The OOM killer: a process dies or the machine does. False: nobody may be killed, or it is over."""
        victim = crash.oom_victim(self, task)
        decision = self.oops.decide("oom" if victim is not None else "oom_no_victim", task)
        if decision.panics:
            self.oops.struck_ns = self.clock.now
        if victim is None or decision.panics or not victim.is_dying:
            self.oops.carry_out(decision, task.cpu.number if task is not None else 0)
        if victim is None or decision.panics:
            return False
        if not victim.is_dying:
            victim.is_dying = True
            self.oom_killed.append(f"{victim.comm}[{victim.pid}]")
            for thread in victim.threads:
                thread.kill()
            self.pager.reap_later(victim)
        return True

    def answered(self, ok: bool) -> None:
        """A call of a client got its answer; not ``ok``: an error."""
        self.failed_calls += not ok

    def request(self, op: Literal["read", "write", "flush"], pages: int, done: Callable[[Request], None]) -> Request:
        """A new command for the disk."""
        self._sector += pages * 8
        request = Request(self.clock, op, pages, done, self._sector)
        if self.recorder is not None:
            self.recorder.asked(request)
        return request

    def log(self, lines: list[str]) -> None:
        """Lines of a driver on the console."""
        self.console.append(Entry(self.clock.now, 0, tuple(lines)))

    def tx_timeout_warns(self) -> None:
        """The TX watchdog of older kernels: a WARN in a timer, so taint W, and a panic under panic_on_warn."""
        self.oops.struck_ns = self.clock.now
        self.oops.carry_out(self.oops.decide("warn", None, context=Context.SOFTIRQ), 0)

    def file_system_error(self, event: str, task: Task) -> None:
        """The disk let the file system down, and ``task`` found out."""
        mount = {"fs_errors": self.micro.disk.errors} if event.startswith("ext4") else {}
        self.oops.struck_ns = self.clock.now
        self.oops.carry_out(self.oops.decide(event, task, **mount), task.cpu.number)

    # ---------------------------------------------------------------- what is left

    def impact(self, detect_s: float = 0.0) -> CrashImpact:
        """The state of the machine as a crash at this moment meets it."""
        return crash.impact(self, detect_s)
