"""When does Linux notice a hang, and does it panic: lockup, hung task, RCU and workqueue detectors.

By default every one of them only prints; a panic needs its own knob. Seconds, no randomness: a latency is the
range that the design of the detector allows, and a model draws from it (uniformly: what varies is the phase of
a timer). Several detectors may see the same hang; the first that panics ends it.

Follows kernel/watchdog.c, kernel/watchdog_perf.c, kernel/watchdog_buddy.c, kernel/hung_task.c,
kernel/rcu/tree_stall.h, kernel/workqueue.c and Documentation/admin-guide/lockup-watchdogs.rst.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from ksim.linux.rules import NO_TAINT, End, Row, Strike
from ksim.linux.sysctl import COUNTS_HUNG_TASKS_SINCE, SOFTLOCKUP_COUNT_SINCE, Settings
from ksim.linux.taint import Taint
from ksim.linux.vocabulary import Release
from ksim.source import Source

BUDDY_EVERY_SAMPLE_SINCE: Release = (7, 1)
"""Since then the buddy looks at every sample and wants three misses; before, it looked at every third sample."""


@dataclass(frozen=True, slots=True)
class Latency:
    """From the start of the hang to the report: ``low_s`` at the earliest, ``high_s`` at the latest."""

    low_s: float
    high_s: float


NEVER = Latency(math.inf, math.inf)


@dataclass(frozen=True, slots=True)
class Detector:
    """One detector. ``blind`` says why it cannot see although it is on (empty: it can).

    ``panics``: whether it panics at all; ``panic_latency``: when, where that is later than the first report.
    """

    name: str
    is_on: Callable[[Settings], bool]
    blind: Callable[[Strike], str]
    latency: Callable[[Strike], Latency]
    panics: Callable[[Strike], bool]
    panic_latency: Callable[[Strike], Latency]
    message: Callable[[Strike], str]
    knob: str
    source: Source
    taint: Taint = NO_TAINT


@dataclass(frozen=True, slots=True)
class Detection:
    """What one detector makes of a hang: whether it prints, and when; whether it panics, and when.

    Latencies are infinite for what never happens. ``why`` is a stable name: ``off``, ``blind: ...``,
    ``over before``, ``reports``, ``panics``.
    """

    detector: str
    fires: bool
    latency: Latency
    panics: bool
    panic_latency: Latency
    why: str
    message: str
    source: Source


def _sees(_: Strike) -> str:
    return ""


def _soft_lockup(s: Strike, thresholds: int = 1) -> Latency:
    # hrtimer every 2/5 of watchdog_thresh, time counted in units of 2^30 ns: 20 to 26 s at the default of 10
    thresh = s.settings.watchdog_thresh
    return Latency(2.0 * thresh * thresholds, 2.0 * thresh * thresholds + 0.6 * thresh)


def _soft_lockup_panic(s: Strike) -> Latency:
    counts = s.settings.release >= SOFTLOCKUP_COUNT_SINCE
    return _soft_lockup(s, max(1, s.settings.softlockup_panic) if counts else 1)


def _hard_lockup(s: Strike) -> Latency:
    thresh = s.settings.watchdog_thresh
    if s.settings.hardlockup_detector == "buddy":  # a sample every 2/5 of watchdog_thresh; three must be missed
        late = 1.2 if s.settings.release >= BUDDY_EVERY_SAMPLE_SINCE else 2.0
        return Latency(0.8 * thresh, late * thresh)
    return Latency(0.6 * thresh, 2.0 * thresh)  # NMI samples watchdog_thresh apart, without a timer tick in between


def _hard_lockup_blind(s: Strike) -> str:
    if s.event.name == "all_cpus_hang" and s.settings.hardlockup_detector == "buddy":
        return "no neighbour is left to look"
    return ""


def _hung_task(s: Strike) -> Latency:
    # a task must stand still from one scan to another that is at least the timeout later
    timeout = s.settings.hung_task_timeout_secs
    interval = min(s.settings.hung_task_check_interval_secs or timeout, timeout)
    first = float(math.ceil(timeout / interval) * interval)
    return Latency(first, first + interval)


def _hung_task_blind(s: Strike) -> str:
    return "taint D: khungtaskd returns at once after an oops" if s.taint & Taint.DIE else ""


def _hung_task_panics(s: Strike) -> bool:
    wanted = s.settings.hung_task_panic
    counts = s.settings.release >= COUNTS_HUNG_TASKS_SINCE
    return wanted != 0 and (s.hung_tasks >= wanted or not counts)


def _rcu_stall(s: Strike) -> Latency:
    return Latency(float(s.settings.rcu_cpu_stall_timeout), float(s.settings.rcu_cpu_stall_timeout))


def _rcu_panic(s: Strike) -> Latency:
    # the same stall is reported again after three times the timeout
    more = max(0, s.settings.max_rcu_stall_to_panic - 1 - s.stalls)
    at = s.settings.rcu_cpu_stall_timeout * (1.0 + 3.0 * more)
    return Latency(at, at)


def _workqueue(s: Strike) -> Latency:
    thresh = s.settings.workqueue_watchdog_thresh  # a timer that looks once per threshold
    return Latency(float(thresh), 2.0 * thresh)


def _workqueue_panic(s: Strike) -> Latency:
    thresh, wanted = s.settings.workqueue_watchdog_thresh, s.settings.workqueue_panic_on_stall
    first = _workqueue(s)
    found = []
    if wanted:
        more = max(0, wanted - 1 - s.stalls) * float(thresh)
        found.append(Latency(first.low_s + more, first.high_s + more))
    if s.settings.workqueue_panic_on_stall_time:
        at = max(float(s.settings.workqueue_panic_on_stall_time), first.low_s)
        found.append(Latency(at, at + thresh))
    return min(found, key=lambda latency: latency.low_s, default=NEVER)


def _workqueue_message(s: Strike) -> str:
    wanted = s.settings.workqueue_panic_on_stall
    return f"workqueue: {max(wanted, s.stalls + 1)} stall(s) exceeded threshold {wanted}"


DETECTORS: Mapping[str, Detector] = {
    detector.name: detector
    for detector in (
        Detector(
            "soft_lockup",
            lambda k: k.watchdog_thresh > 0 and k.soft_watchdog != 0,
            _sees,
            _soft_lockup,
            lambda s: s.settings.softlockup_panic != 0,
            _soft_lockup_panic,
            lambda s: "softlockup: hung tasks",
            "kernel.softlockup_panic",
            Source("Linux", "kernel/watchdog.c, watchdog_timer_fn()"),
            Taint.SOFTLOCKUP,
        ),
        Detector(
            "hard_lockup",
            lambda k: k.watchdog_thresh > 0 and k.nmi_watchdog != 0 and k.hardlockup_detector != "none",
            _hard_lockup_blind,
            _hard_lockup,
            lambda s: s.settings.hardlockup_panic != 0,
            _hard_lockup,
            lambda s: "Hard LOCKUP",
            "kernel.hardlockup_panic",
            Source("Linux", "kernel/watchdog.c, watchdog_hardlockup_check()"),
        ),
        Detector(
            "hung_task",
            lambda k: k.hung_task_timeout_secs > 0,
            _hung_task_blind,
            _hung_task,
            _hung_task_panics,
            _hung_task,
            lambda s: "hung_task: blocked tasks",
            "kernel.hung_task_panic",
            Source("Linux", "kernel/hung_task.c, check_hung_uninterruptible_tasks()"),
        ),
        Detector(
            "rcu_stall",
            lambda k: k.rcu_cpu_stall_suppress == 0,
            _sees,
            _rcu_stall,
            lambda s: s.settings.panic_on_rcu_stall != 0,
            _rcu_panic,
            lambda s: "RCU Stall",
            "kernel.panic_on_rcu_stall",
            Source("Linux", "kernel/rcu/tree_stall.h, panic_on_rcu_stall()"),
        ),
        Detector(
            "workqueue_lockup",
            lambda k: k.workqueue_watchdog_thresh > 0,
            _sees,
            _workqueue,
            lambda s: _workqueue_panic(s) != NEVER,
            _workqueue_panic,
            _workqueue_message,
            "workqueue.panic_on_stall",
            Source("Linux", "kernel/workqueue.c, panic_on_wq_watchdog()"),
        ),
    )
}

SEEN_BY: Mapping[str, tuple[str, ...]] = {
    "soft_lockup": ("soft_lockup", "rcu_stall"),
    "hard_lockup": ("hard_lockup", "rcu_stall"),
    "all_cpus_hang": ("hard_lockup",),
    "hung_task": ("hung_task",),
    "rcu_stall": ("rcu_stall",),
    "workqueue_lockup": ("workqueue_lockup",),
    "silent_hang": (),
}
"""Which detectors look at what. A CPU that loops in the kernel passes no quiescent state, so RCU notices too;
where no CPU takes a timer interrupt any more, only the NMI is left."""


def detections(strike: Strike) -> tuple[Detection, ...]:
    """What each detector that could see this hang makes of it."""
    return tuple(_detect(DETECTORS[name], strike) for name in SEEN_BY[strike.event.name])


def _detect(detector: Detector, strike: Strike) -> Detection:
    silent = Detection(detector.name, False, NEVER, False, NEVER, "off", "", detector.source)
    if not detector.is_on(strike.settings):
        return silent
    blind = detector.blind(strike)
    if blind:
        return replace(silent, why=f"blind: {blind}")
    latency = detector.latency(strike)
    if latency.low_s > strike.lasts_s:
        return replace(silent, why="over before")
    panic_latency = detector.panic_latency(strike) if detector.panics(strike) else NEVER
    message = detector.message(strike)
    if detector.taint & strike.settings.panic_on_taint:  # the first report taints, before any panic of its own
        panic_latency, message = latency, "panic_on_taint set ..."
    panics = panic_latency.low_s <= strike.lasts_s and panic_latency != NEVER
    if not panics:
        panic_latency = NEVER
    why = "panics" if panics else "reports"
    return Detection(detector.name, True, latency, panics, panic_latency, why, message, detector.source)


def first_panic(found: tuple[Detection, ...]) -> Detection | None:
    """The detection that ends the hang if the latencies are at their earliest; None if nobody panics."""
    return min((d for d in found if d.panics), key=lambda d: d.panic_latency.low_s, default=None)


def _row(detector: Detector) -> tuple[Row, Row]:
    def found(strike: Strike) -> Detection:
        return next(d for d in detections(strike) if d.detector == detector.name)

    def says(strike: Strike) -> str:
        d = found(strike)
        if not reports(strike):
            return f"nothing: {'another detector panics first' if d.fires else d.why}"
        again = ""
        if detector.name == "hung_task":
            left = strike.settings.hung_task_warnings
            spent = left >= 0 and strike.hung_reports >= left
            again = "; all its reports of this boot are spent, it prints nothing" if spent and not d.panics else ""
        return f"a report after {d.latency.low_s:g} to {d.latency.high_s:g} s{again}"

    def reports(strike: Strike) -> bool:
        d, first = found(strike), first_panic(detections(strike))
        return d.fires and (first is None or d.latency.low_s <= first.panic_latency.low_s)

    def ends(strike: Strike) -> bool:
        first = first_panic(detections(strike))
        return first is not None and first.detector == detector.name

    def when(strike: Strike) -> str:
        d = found(strike)
        return f"panic after {d.panic_latency.low_s:g} to {d.panic_latency.high_s:g} s" if d.panics else "panic"

    return (
        Row(
            detector.name,
            f"is the {detector.name.replace('_', ' ')} detector on, can it see this, and does the hang last so long?",
            reports,
            says,
            detector.source,
            taints=lambda s: detector.taint,
        ),
        Row(
            f"{detector.name}_panic",
            f"does {detector.knob} make it panic, before any other?",
            ends,
            when,
            detector.source,
            End.PANIC,
            detector.message,
        ),
    )


def _over(strike: Strike) -> bool:
    return math.isfinite(strike.lasts_s)


def hang_rows(event: str) -> tuple[Row, ...]:
    """The rows of one kind of hang: each detector that could see it, then what is left."""
    rows = [row for name in SEEN_BY[event] for row in _row(DETECTORS[name])]
    nobody = Source("Linux", "no detector ends it")
    return (
        *rows,
        Row("over", "does it end by itself?", _over, "the hang is over, the kernel goes on", nobody, End.GOES_ON),
        Row(
            "stuck",
            "is the kernel still here?",
            lambda s: True,
            "it stays like this until something outside acts",
            nobody,
            End.STUCK,
        ),
    )
