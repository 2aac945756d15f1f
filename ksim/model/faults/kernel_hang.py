"""A hang: the kernel stops working on something, without an exception.

Model    ``shows`` says which detector could see it; ``ksim.linux.detectors`` says whether that detector is on, fires
         and panics. If it does, the panic comes after the detector's latency; for a soft lockup that is twice
         watchdog_thresh plus ``soft_lockup_delay`` (sampling). Where no detector panics, the service is stuck until
         someone outside acts; a silent hang of the whole kernel also starves a hardware watchdog.
Sources  Linux kernel/watchdog.c, kernel/hung_task.c, Documentation/admin-guide/lockup-watchdogs.rst.
Assumes  the service is down from the moment of the hang.
Solved   yes.
"""

from __future__ import annotations

from ksim.chance.distributions import Constant, Law, Uniform
from ksim.linux.detectors import Detection, HangKind, detect
from ksim.model.fault import FaultSource, Struck
from ksim.model.fields import LawText, PerSecond, Probability, Shares, param
from ksim.model.lifecycle import Branch, Budget
from ksim.model.plan import Plan
from ksim.model.schema import LINUX_SCHED, FaultSettings
from ksim.source import assumed


class Shows(Shares):
    """Which detector a hang would show itself to."""

    soft_lockup: Probability = 0.0
    hard_lockup: Probability = 0.0
    hung_task: Probability = 0.0
    silent: Probability = 0.0


SHOWS = {"soft_lockup": 0.6, "hard_lockup": 0.1, "hung_task": 0.2, "silent": 0.1}


class Settings(FaultSettings):
    """Keys of ``[faults.kernel_hang]``."""

    rate: PerSecond = param(
        "0.05 /y",
        "1/y",
        "0.01 /y",
        "0.5 /y",
        assumed("no count of hangs in production was ever published"),
        "hangs",
    )
    shows: Shows = param(
        SHOWS, "1", "silent 0", "silent 0.5", assumed("no shares of kinds of hangs were ever published"),
        "shares of hangs by the detector that could see them",
    )  # fmt: skip
    soft_lockup_delay: LawText = param(
        "uniform(0 s, 6 s)",
        "s",
        "0 s",
        "6 s",
        LINUX_SCHED,
        "from the threshold to the report: 20 to 26 s in all",
    )


def strike(plan: Plan, settings: Settings, struck: Struck) -> str:
    branches = []
    for name, share in settings.shows.values().items():
        kind = HangKind(name)
        found = detect(plan.linux, kind, tainted_by_oops=struck.oopses > 0)
        if not found.panics:
            stuck = plan.junction("hung" if kind is HangKind.SILENT else "wedged")
            branches.append(Branch(stuck, Constant(0.0), share))
        else:
            target = plan.junction("panic")
            if kind is HangKind.SOFT_LOCKUP:
                report = f"{struck.fault}.report"
                target = plan.stage(report, settings.soft_lockup_delay, target, phase="detection")
            branches.append(Branch(target, _latency(found), share))
    return plan.choice(struck.node, "detection", *branches)


def _latency(found: Detection) -> Law:
    return Uniform(found.low_s, found.high_s) if found.low_s < found.high_s else Constant(found.low_s)


FAULT = FaultSource(
    name="kernel_hang",
    summary="lockup or deadlock in the kernel: seen by a detector that may panic, or by nobody",
    budget=Budget.SOFTWARE,
    settings=Settings,
    strike=strike,
)
