"""Faults at strike points, and what Linux makes of them: a task dies, the clock stops, or nothing worse than a line.

Every decision is ``ksim.linux``'s; this file tells it the state of the boot and carries out what it says. A task that
an oops kills leaves its locks behind, also those of the place where it died.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ksim.errors import ScenarioError
from ksim.linux.escalation import Decision
from ksim.linux.rules import End
from ksim.linux.taint import Taint
from ksim.linux.vocabulary import Context, TaskKind, leak
from ksim.linux.vocabulary import Lock as LockKind
from ksim.linux.vocabulary import Task as LinuxTask
from ksim.micro import build
from ksim.micro.causes import Asked
from ksim.micro.clock import LATER
from ksim.micro.cpu import CPU
from ksim.micro.locks import Lock
from ksim.micro.strike import POINTS, Point, Trigger
from ksim.micro.task import Oopsed, Task

if TYPE_CHECKING:
    from ksim.micro.machine import Boot


@dataclass(slots=True)
class Armed:
    """What waits at a strike point: a fault with its trigger, locks that dead tasks left there, and a program that
    begins to leak then (``leaks``)."""

    point: Point
    fault: Asked | None = None
    trigger: Trigger | None = None
    leaked: list[Lock] = field(default_factory=list)
    leaks: Trigger | None = None


class Oops:
    """The faults of one boot. ``armed``: by strike point; ``struck_ns``: when the last one struck.
    ``parked``: tasks that are dead and will never be reaped.

    ``taint``, ``oopses``, ``warns``, ``hung_reports``: the state of the kernel that decisions ask for.
    """

    def __init__(self, boot: Boot) -> None:
        self._boot = boot
        self.armed: dict[str, Armed] = {}
        self.struck_ns = 0
        self.taint = Taint.none()
        self.oopses = self.warns = self.hung_reports = 0
        self.init_frozen = False
        self._wrong_order: Trigger | None = None
        self._asked: list[tuple[Asked, Trigger]] = []
        self.parked: list[Task] = []

    def never_struck(self) -> list[str]:
        """Faults that somebody asked for and that have not struck, each with how often the kernel came by."""
        return [
            f"{asked.fault.name} has not struck: {trigger.passes} passes of {asked.point}, it waits for {asked.nth}"
            for asked, trigger in self._asked
            if not trigger.strikes
        ]

    def arm(self, asked: Asked) -> None:
        """Sets up a fault that somebody asks for. Raises ScenarioError for an error of another file system,
        and for two faults of which the one would take the place of the other.
        """
        boot, event = self._boot, asked.fault.event
        mounted = boot.micro.disk.file_system
        if event.partition("_")[0] in ("ext4", "xfs") and not event.startswith(mounted):
            raise ScenarioError(f"fault {event}: micro.disk.file_system is {mounted}, which has no such error")
        place = asked.fault.place(asked.point)
        for other, _ in self._asked:
            if other.fault.place(other.point) == place:
                both = f"faults {other.fault.name} and {asked.fault.name}"
                raise ScenarioError(f"{both} both wait at {asked.point}: one each")
        trigger = Trigger(boot.draw(f"fault {asked.fault.name}"), nth=asked.nth)
        match asked.fault.kind:
            case "event":
                armed = self._at(asked.point)
                armed.fault, armed.trigger = asked, trigger
                if asked.point == "do_idle":
                    boot.scheduler.on_idle = self._idles
            case "lock":
                self._wrong_order = trigger
            case "nic":
                setattr(boot.nic, asked.fault.slot, trigger)
            case "disk":
                setattr(boot.disk.ladder, asked.fault.slot, trigger)
                if asked.fault.name == "disk_dies":
                    boot.disk.ladder.abort_works = boot.disk.ladder.reset_works = _no
            case "program":
                self._at(asked.point).leaks = trigger
        self._asked.append((asked, trigger))

    def _at(self, point: str) -> Armed:
        return self.armed.setdefault(point, Armed(POINTS[point]))

    def wrong_order(self) -> bool:
        """Whether this pass takes its locks in the wrong order: from the armed one on, every second does."""
        trigger = self._wrong_order
        return trigger is not None and (trigger.due() or (trigger.strikes > 0 and trigger.passes % 2 == 1))

    # ---------------------------------------------------------------- passing by

    def pass_by(self, point: str, task: Task) -> Generator[Any, Any, None]:
        """A task passes a strike point at which something waits. Raises Oopsed where it dies there."""
        armed = self.armed[point]
        if armed.leaks is not None and armed.leaks.due():
            armed.leaks = None
            build.leak(self._boot)
            if armed.trigger is None and not armed.leaked:
                del self.armed[point]  # nothing waits here any more
        for lock in armed.leaked:  # nobody will ever release it
            if lock.kind.spins:
                yield from self._boot.watchdog.hangs(self.decide(leak(lock.kind).shows_as, task), task)
            yield from lock.take(task)
        if armed.trigger is not None and armed.trigger.due():
            yield from self._strikes(armed, task)

    def passes_irq(self, point: str, cpu: CPU) -> None:
        """The same in an interrupt, on top of whatever runs on ``cpu``."""
        armed = self.armed.get(point)
        if armed is None or armed.trigger is None or not armed.trigger.due():
            return
        decision = self._decide(armed, cpu.current)
        self.struck_ns = self._boot.clock.now
        if decision.strike.event.family == "detector":
            self._boot.watchdog.cpu_hangs(decision, cpu)
        else:
            self.carry_out(decision, cpu.number)

    def _idles(self, cpu: CPU) -> None:
        self.passes_irq("do_idle", cpu)

    def _strikes(self, armed: Armed, task: Task) -> Generator[Any, Any, None]:
        decision = self._decide(armed, task)
        self.struck_ns = self._boot.clock.now
        event = decision.strike.event
        if event.family == "detector":
            for kind in self._missing(armed.point, task):
                if kind.spins:
                    self._leave_behind(armed.point, kind, task)
            yield from self._boot.watchdog.hangs(decision, task)
        died = self.carry_out(decision, task.cpu.number)
        if decision.panics:
            yield LATER
        if not died:
            return
        if event.family == "oops":
            for kind in self._missing(armed.point, task):
                self._leave_behind(armed.point, kind, task)
            if decision.end is End.PARKED:
                self.parked.append(task)
            raise Oopsed
        for thread in task.process.threads:
            thread.kill()

    def _missing(self, point: Point, task: Task) -> list[LockKind]:
        """Locks of the point that the task holds in Linux, and in no ``held`` here."""
        missing = list(point.locks)
        for lock in task.held:
            if lock.kind in missing:
                missing.remove(lock.kind)
        return missing

    def _leave_behind(self, point: Point, kind: LockKind, task: Task) -> None:
        lock = Lock(f"lock of {point.name}", kind)
        lock.try_take(task)
        self._at(point.name).leaked.append(lock)

    # ---------------------------------------------------------------- decisions

    def _decide(self, armed: Armed, task: Task | None) -> Decision:
        assert armed.fault is not None
        point = armed.point
        held = [lock.kind for lock in task.held] if task is not None and point.context is Context.PROCESS else []
        for kind in point.locks:
            if kind not in held:
                held.append(kind)
        event = armed.fault.fault.event
        mount = {"fs_errors": self._boot.micro.disk.errors} if event == "ext4_error" else {}
        return self.decide(
            event, task, context=point.context, locks=tuple(held), irqs_off=point.irqs_off,
            preempt_count=point.preempt_count, **mount,
        )  # fmt: skip

    def decide(self, event: str, task: Task | None = None, **state: Any) -> Decision:
        """What Linux does about ``event`` in the state of this boot, with ``task`` running (None: an idle CPU)."""
        who = task.as_linux() if task is not None else LinuxTask(TaskKind.IDLE)
        return self._boot.linux.decide(
            event, task=who, taint=self.taint, oopses=self.oopses, warns=self.warns,
            hung_reports=self.hung_reports, **state,
        )  # fmt: skip

    def carry_out(self, decision: Decision, cpu: int) -> bool:
        """The consequences that concern the whole kernel. Whether the current task dies of it."""
        boot = self._boot
        self.taint, self.oopses, self.warns = decision.taint, decision.oopses, decision.warns
        boot.reports(decision, cpu)
        if decision.panics:
            boot.panics(decision, cpu)
        elif decision.end is End.FILE_SYSTEM:
            boot.files.shut_down()
        elif decision.end is End.FROZEN:
            self.init_frozen = True
        return decision.end in (End.KILLED, End.PARKED)


def _no() -> bool:
    return False
