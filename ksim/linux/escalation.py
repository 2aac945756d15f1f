"""From one event to everything that follows: who dies, what leaks, which detectors go blind, what the machine
does next.

Nothing else in ksim decides this. ``escalate`` picks the table of the event, asks its rows in the kernel's
order (``ksim.linux.rules``), and where the walk ends in a panic goes on with ``ksim.linux.panic``. Pure
functions, seconds, no randomness.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from ksim.linux.detectors import SEEN_BY, Detection, detections, hang_rows
from ksim.linux.events import Event
from ksim.linux.file_system import FILE_SYSTEM_ROWS
from ksim.linux.hardware import MACHINE_CHECK_ROWS, NMI_ROWS
from ksim.linux.oom import OOM_ROWS
from ksim.linux.oops import OOPS_ROWS
from ksim.linux.panic import Aftermath, Cause, after_panic
from ksim.linux.rules import End, Row, Step, Strike, always, walk
from ksim.linux.taint import Taint, letters
from ksim.linux.user_mode import USER_ROWS
from ksim.linux.vocabulary import Leak, leak
from ksim.linux.warning import USER_TAINT_ROWS, WARNING_ROWS
from ksim.source import Source

DIRECT_ROWS: tuple[Row, ...] = (
    Row(
        "not_built",
        "is this check left out of the kernel's build?",
        lambda s: s.event.name == "stack_end" and not s.settings.sched_stack_end_check,
        "nobody looks: the damage is found later, or never",
        Source("Linux", "lib/Kconfig.debug, SCHED_STACK_END_CHECK"),
        End.GOES_ON,
    ),
    Row(
        "direct_panic",
        "is the kernel still here?",
        always,
        "panic, whatever the settings",
        Source("Linux", "kernel/panic.c, panic()"),
        End.PANIC,
        lambda s: s.event.message.format(function="do_work+0x1f3/0x200 [test]"),
    ),
)
_TABLES = {**NMI_ROWS, **MACHINE_CHECK_ROWS, **OOM_ROWS, **FILE_SYSTEM_ROWS, **USER_ROWS}


def rows_of(strike: Strike) -> tuple[Row, ...]:
    """The decision table of an event."""
    event = strike.event
    if event.name == "user_taint":
        return USER_TAINT_ROWS
    if event.name == "list_corruption" and not strike.settings.bug_on_data_corruption:
        return WARNING_ROWS
    match event.family:
        case "oops":
            return OOPS_ROWS
        case "warning":
            return WARNING_ROWS
        case "panic":
            return DIRECT_ROWS
        case "detector":
            return hang_rows(event.name)
    return _TABLES[event.name]


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of one event, with every consequence that somebody could observe.

    ``rule`` is the stable name of the row that decided and ``steps`` are all rows that were asked.
    ``message`` follows "Kernel panic - not syncing: ". ``prints`` are lines that the rows themselves print
    (``ksim.linux.console`` prints the whole report). ``blind`` names detectors that see nothing from now on.
    ``pstore``: which records are written, "oops" or "panic". ``aftermath`` is None where the kernel lives.
    """

    strike: Strike
    end: End
    rule: str
    source: Source
    steps: tuple[Step, ...]
    message: str
    prints: tuple[str, ...]
    killed: str
    leaks: tuple[Leak, ...]
    blind: tuple[str, ...]
    taint: Taint
    oopses: int
    warns: int
    pstore: tuple[str, ...]
    detections: tuple[Detection, ...]
    aftermath: Aftermath | None

    @property
    def panics(self) -> bool:
        """This boot is over."""
        return self.end in (End.PANIC, End.JUMP)

    @property
    def early_kdump(self) -> bool:
        """The crash kernel is entered from within the oops, before any "Kernel panic" line."""
        return self.end is End.JUMP


def escalate(strike: Strike, *, has_cma: bool = False) -> Decision:
    """What becomes of ``strike``. ``has_cma``: part of the crash kernel's memory lies in CMA."""
    done = walk(rows_of(strike), strike)
    aftermath = None
    if done.end in (End.PANIC, End.JUMP):
        aftermath = after_panic(
            strike.settings,
            crash_kernel_loaded=strike.crash_kernel_loaded,
            cause=_cause(strike.event),
            has_cma=has_cma,
        )
    lives = aftermath is None
    died = done.end in (End.KILLED, End.PARKED) and strike.event.family == "oops"
    blind = ("hung_task",) if lives and done.taint & Taint.DIE else ()
    pstore = (("oops",) if done.writes_pstore else ()) + (("panic",) if aftermath and aftermath.writes_pstore else ())
    return Decision(
        strike=strike,
        end=done.end,
        rule=done.row.name,
        source=done.row.source,
        steps=done.steps,
        message=done.message,
        prints=done.prints,
        killed=done.kills if lives else "everything: user space never runs again",
        leaks=tuple(leak(lock) for lock in strike.locks) if died else (),
        blind=blind,
        taint=done.taint,
        oopses=done.oopses,
        warns=done.warns,
        pstore=pstore,
        detections=detections(strike) if strike.event.family == "detector" else (),
        aftermath=aftermath,
    )


def _cause(event: Event) -> Cause:
    if event.name == "ghes_fatal":
        return "ghes"
    return "machine_check" if event.family == "machine_check" and event.message else ""


def unasked(strike: Strike) -> tuple[str, ...]:
    """Which parts of the state Linux does not ask about for this event, by field name, where they were given."""
    default = Strike(strike.event, strike.settings)
    given = [name for name in Strike.__dataclass_fields__ if getattr(strike, name) != getattr(default, name)]
    asked = _asked(strike)
    return tuple(name for name in given if name not in asked)


_ALWAYS = frozenset({"event", "settings", "taint", "crash_kernel_loaded"})
_BY_FAMILY = {
    "oops": {"context", "task", "locks", "irqs_off", "preempt_count", "oopses", "is_handled"},
    "warning": {"warns", "writes", "task"},
    "nmi": {"is_handled"},
    "detector": {"stalls", "hung_reports", "hung_tasks", "lasts_s", "task"},
    "file_system": {"fs_errors"},
    "user": {"task", "exit_code"},
    "memory": {"task"},
    "machine_check": {"task"},
    "panic": set[str](),
}
_ONLY_FOR = {
    "writes": {"user_taint"},
    "exit_code": {"init_exit"},
    "fs_errors": {"ext4_error", "ext4_abort"},
    "hung_reports": {"hung_task"},
    "hung_tasks": {"hung_task"},
    "stalls": {event for event, seen_by in SEEN_BY.items() if {"rcu_stall", "workqueue_lockup"} & set(seen_by)},
}


def _asked(strike: Strike) -> frozenset[str]:
    event = strike.event
    asked = _BY_FAMILY["warning" if rows_of(strike) is WARNING_ROWS else event.family] - {
        name for name, events in _ONLY_FOR.items() if event.name not in events
    }
    if event.context is not None:  # the event brings its own
        asked -= {"context", "locks", "irqs_off", "preempt_count"}
    return frozenset(asked | _ALWAYS)


def as_data(decision: Decision) -> dict[str, Any]:
    """The decision as plain data for JSON: no NaN and no infinity, units in the keys."""
    after = decision.aftermath
    return {
        "event": decision.strike.event.name,
        "end": decision.end.value,
        "panics": decision.panics,
        "early_kdump": decision.early_kdump,
        "rule": decision.rule,
        "source": str(decision.source),
        "message": decision.message or None,
        "killed": decision.killed or None,
        "leaks": [{"lock": x.lock.value, "followers": x.followers, "shows_as": x.shows_as} for x in decision.leaks],
        "blind": list(decision.blind),
        "taint": int(decision.taint),
        "taint_letters": letters(decision.taint),
        "oops_count": decision.oopses,
        "warn_count": decision.warns,
        "pstore": list(decision.pstore),
        "detections": [
            {
                "detector": d.detector,
                "why": d.why,
                "report_s": _range(d.latency.low_s, d.latency.high_s),
                "panic_s": _range(d.panic_latency.low_s, d.panic_latency.high_s),
            }
            for d in decision.detections
        ],
        "next": None
        if after is None
        else {
            "action": after.action,
            "wait_s": after.wait_s if math.isfinite(after.wait_s) else None,
            "rule": after.rule,
        },
        "steps": [
            _step(step) for step in (*decision.steps, *(after.steps if after and not decision.early_kdump else ()))
        ],
    }


def _range(low: float, high: float) -> list[float] | None:
    return [low, high] if math.isfinite(low) else None


def _step(step: Step) -> dict[str, Any]:
    return {"rule": step.rule, "asks": step.asks, "held": step.held, "says": step.says, "source": str(step.source)}
