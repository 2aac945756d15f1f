"""Hangs and who notices: CPUs that loop for ever, tasks that never wake up, khungtaskd, and circles of waiters.

When a detector sees a hang, and whether it panics, is ``ksim.linux.detectors``'s to say: the moment is drawn within the
range of its latency. khungtaskd is a task of its own here: what it finds, and when, follows from when it looks.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

from ksim.linux.detectors import Detection
from ksim.linux.escalation import Decision
from ksim.micro.clock import LATER
from ksim.micro.cpu import CPU
from ksim.micro.filesystem import BALANCE, COMMIT
from ksim.micro.locks import Lock, deadlocks
from ksim.micro.task import Task
from ksim.units import to_ns

if TYPE_CHECKING:
    from ksim.micro.machine import Boot

LOOPS = ("soft_lockup", "hard_lockup", "rcu_stall", "workqueue_lockup", "all_cpus_hang")
"""Hangs that hold a CPU; in the others a task sleeps."""


class Watchdog:
    """The detectors of one boot."""

    def __init__(self, boot: Boot) -> None:
        self._boot = boot
        self._draw = boot.draw("detection")

    def hangs(self, decision: Decision, task: Task) -> Generator[Any, Any, None]:
        """``task`` hangs for ever: on its CPU, or asleep."""
        event = decision.strike.event.name
        task.is_stuck = True
        if event in LOOPS:
            self.cpu_hangs(decision, task.cpu)
            yield LATER
        else:
            yield task.sleep("D" if event == "hung_task" else "S", event)

    def cpu_hangs(self, decision: Decision, cpu: CPU) -> None:
        """Nobody else will ever run on ``cpu``; with all_cpus_hang on none."""
        strike = decision.strike
        everywhere = strike.event.name == "all_cpus_hang"
        is_deaf = everywhere or strike.event.name == "hard_lockup" or strike.has_irqs_off or strike.in_interrupt
        for lost in self._boot.scheduler.cpus if everywhere else [cpu]:
            lost.is_lost = True
            if lost.current is not None:  # an interrupt that never ends: who was interrupted does not go on either
                lost.current.is_stuck = True
                lost.current.silence()
            self._boot.scheduler.idle.pop(lost, None)
            if is_deaf:
                lost.is_deaf = True
                self._boot.nic.unheard_by(lost)
        u = self._draw()
        for found in decision.detections:
            if found.fires:
                self._at(found.latency.low_s, found.latency.high_s, u, lambda: self._reports(decision, cpu.number))
            if found.panics:
                low_s, high_s = found.panic_latency.low_s, found.panic_latency.high_s
                self._at(low_s, high_s, u, lambda: self._boot.panics(decision, cpu.number))

    def _at(self, low_s: float, high_s: float, u: float, call: Callable[[], None]) -> None:
        self._boot.clock.after(to_ns(low_s + u * (high_s - low_s)), call)

    def _reports(self, decision: Decision, cpu: int) -> None:
        self._boot.oops.taint |= decision.taint
        if not any(entry.decision is decision for entry in self._boot.console):
            self._boot.reports(decision, cpu)

    def run_khungtaskd(self, task: Task) -> Generator[Any, Any, None]:
        """khungtaskd: looks for tasks that have been in state D for too long, and decides about them.

        It passes over those that SIGKILL can wake (task_is_hung(): TASK_WAKEKILL): readers and swapped-out tasks that
        wait for their disk, and writers in balance_dirty_pages().
        """
        boot, settings = self._boot, self._boot.linux.linux
        timeout_ns = settings.hung_task_timeout_secs * 10**9
        interval_ns = (settings.hung_task_check_interval_secs or settings.hung_task_timeout_secs) * 10**9
        while True:
            if timeout_ns:
                boot.clock.after(min(interval_ns, timeout_ns), task.wake)
            yield task.sleep("S", "watchdog")
            late = boot.clock.now - timeout_ns
            hung = [t for t in boot.tasks if t.state == "D" and not t.is_killable and t.since_ns <= late]
            if not hung:
                continue
            decision = boot.oops.decide("hung_task", hung[0], hung_tasks=len(hung))
            (found,) = (d for d in decision.detections if d.detector == "hung_task")
            if found.fires:
                self._hung(decision, found, hung)

    def _hung(self, decision: Decision, found: Detection, hung: list[Task]) -> None:
        boot = self._boot
        boot.oops.struck_ns = min(t.since_ns for t in hung)
        boot.reports(decision, hung[0].cpu.number)
        boot.oops.hung_reports += len(hung)
        if found.panics:
            boot.panics(decision, hung[0].cpu.number)

    def is_reported(self) -> bool:
        """Whether a line on the console is about what stands still: of a detector, or of an oops with heirs."""
        families = {entry.decision.strike.event.family for entry in self._boot.console if entry.decision is not None}
        return "detector" in families or ("oops" in families and bool(self._heirs()))

    def stuck(self) -> tuple[str, ...]:
        """What stands still for ever: lost CPUs, tasks that nothing wakes, heirs of dead ones, circles of waiters."""
        boot = self._boot
        found = [f"CPU {cpu.number}" for cpu in boot.scheduler.cpus if cpu.is_lost]
        found += [f"{task} ({task.state})" for task in boot.tasks if task.is_stuck]
        return tuple(found + self._heirs() + deadlocks(boot.tasks))

    def _heirs(self) -> list[str]:
        """Who waits for what dead tasks hold, or for work that a dead or stuck one does not do any more."""
        tasks, files = self._boot.tasks, self._boot.files
        found = [f"{task} waits for {task.waits_for} of a dead task" for task in tasks if _waits_for_dead(task)]
        for worker, work, where in ((files.jbd2, "a commit", COMMIT), (files.flusher, "writeback", BALANCE)):
            if worker is not None and (_is_dead(worker) or worker.is_stuck or _waits_for_dead(worker)):
                how = "dead" if _is_dead(worker) else "stuck"
                found += [f"{task} waits for {work} of {how} {worker}" for task in tasks if task.waits_for == where]
        return found


def _is_dead(task: Task) -> bool:
    return task.state in ("X", "Z")


def _waits_for_dead(task: Task) -> bool:
    return isinstance(task.waits_for, Lock) and any(_is_dead(owner) for owner in task.waits_for.owners)
