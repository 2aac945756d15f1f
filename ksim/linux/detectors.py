"""When does Linux notice a hang, and does it panic: soft lockup, hard lockup and hung task detectors.

By default every one of them only prints; a panic needs its own sysctl. Seconds, no randomness: a latency is
the range that the design of the detector allows, and a model draws from it.

Not modelled: the buddy detector of Linux 6.5, kernels that are built without a detector, RCU stalls, the
limit of 10 hung-task reports (``kernel.hung_task_warnings``), hardware watchdogs.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable
from dataclasses import dataclass

from ksim.linux.sysctl import Settings
from ksim.source import Source


class HangKind(enum.Enum):
    """What hangs. ``SOFT_LOCKUP``: a CPU that loops in the kernel with interrupts on. ``HARD_LOCKUP``: one
    with interrupts off. ``HUNG_TASK``: a task that sleeps uninterruptibly. ``SILENT``: nothing that Linux
    looks at, such as a service that waits for a lost wake-up."""

    SOFT_LOCKUP = "soft_lockup"
    HARD_LOCKUP = "hard_lockup"
    HUNG_TASK = "hung_task"
    SILENT = "silent"


@dataclass(frozen=True, slots=True)
class Latency:
    """From the start of the hang to the first report: ``low_s`` at the earliest, ``high_s`` at the latest."""

    low_s: float
    high_s: float


@dataclass(frozen=True, slots=True)
class Detection:
    """What the detector does: ``fires`` (it prints), ``panics`` (it also panics), between ``low_s`` and
    ``high_s`` after the start of the hang; both infinite if it never fires. ``rule`` is a stable name for the
    reason."""

    fires: bool
    panics: bool
    low_s: float
    high_s: float
    rule: str
    source: Source


@dataclass(frozen=True, slots=True)
class _Detector:
    is_on: Callable[[Settings], bool]
    latency: Callable[[Settings], Latency]
    panics: Callable[[Settings], bool]
    source: Source


def _soft_lockup(settings: Settings) -> Latency:
    # The threshold alone. Linux looks every 2/5 of watchdog_thresh and counts in units of 1.074 s, so that
    # reports come up to 6 s later at the default; that delay is a parameter of the model, added where hangs
    # are drawn.
    # softlockup_panic=N, which only 7.0 and later accept for N > 1, waits for N thresholds.
    threshold = 2.0 * settings.watchdog_thresh * max(1, settings.softlockup_panic)
    return Latency(threshold, threshold)


def _hard_lockup(settings: Settings) -> Latency:
    # NMI samples watchdog_thresh apart must see no timer tick in between (Documentation/.../lockup-
    # watchdogs.rst).
    return Latency(0.6 * settings.watchdog_thresh, 2.0 * settings.watchdog_thresh)


def _hung_task(settings: Settings) -> Latency:
    # khungtaskd scans once per timeout and wants to see the same switch count twice.
    return Latency(float(settings.hung_task_timeout_secs), 2.0 * settings.hung_task_timeout_secs)


_DETECTORS = {
    HangKind.SOFT_LOCKUP: _Detector(
        lambda s: s.watchdog_thresh > 0 and s.soft_watchdog != 0,
        _soft_lockup,
        lambda s: s.softlockup_panic != 0,
        Source("Linux", "kernel/watchdog.c, watchdog_timer_fn()"),
    ),
    HangKind.HARD_LOCKUP: _Detector(
        lambda s: s.watchdog_thresh > 0 and s.nmi_watchdog != 0,
        _hard_lockup,
        lambda s: s.hardlockup_panic != 0,
        Source("Linux", "kernel/watchdog_perf.c and kernel/watchdog.c, watchdog_hardlockup_check()"),
    ),
    HangKind.HUNG_TASK: _Detector(
        lambda s: s.hung_task_timeout_secs > 0,
        _hung_task,
        lambda s: s.hung_task_panic != 0,
        Source("Linux", "kernel/hung_task.c, check_hung_uninterruptible_tasks()"),
    ),
}
_NOBODY_LOOKS = Source("Linux", "no detector covers a service that waits in an interruptible sleep")


def detect(settings: Settings, kind: HangKind, *, tainted_by_oops: bool = False) -> Detection:
    """What the kernel makes of a hang of this ``kind``.

    ``tainted_by_oops``: an oops was survived in this boot (taint D). khungtaskd then returns at once and
    never reports or panics again; the lockup detectors go on.
    """
    detector = _DETECTORS.get(kind)
    if detector is None:
        return _never("nobody_looks", _NOBODY_LOOKS)
    if not detector.is_on(settings):
        return _never(f"{kind.value}_off", detector.source)
    if kind is HangKind.HUNG_TASK and tainted_by_oops:
        return _never("hung_task_silent_after_oops", detector.source)
    latency = detector.latency(settings)
    panics = detector.panics(settings)
    rule = f"{kind.value}_{'panic' if panics else 'report'}"
    return Detection(True, panics, latency.low_s, latency.high_s, rule, detector.source)


def _never(rule: str, source: Source) -> Detection:
    return Detection(False, False, math.inf, math.inf, rule, source)
