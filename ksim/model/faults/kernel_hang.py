"""A hang: the kernel stops working on something for good, without an exception.

Model    ``shows`` says how it hangs; ``ksim.linux.detectors`` says which detectors could see that, whether they are
         on, when they look and whether they panic. The first that panics ends the hang. Where none does, the
         service is stuck until someone outside acts; if no CPU runs tasks any more, a hardware watchdog starves.
Sources  Linux kernel/watchdog.c, kernel/hung_task.c, kernel/rcu/tree_stall.h, kernel/workqueue.c.
Assumes  the service is down from the moment of the hang.
Solved   yes.
"""

from __future__ import annotations

from ksim.model.fault import FaultSource, Struck
from ksim.model.fields import PerSecond, Probability, Shares, param
from ksim.model.hang import hang
from ksim.model.lifecycle import Branch, Budget
from ksim.model.plan import Plan
from ksim.model.schema import FaultSettings
from ksim.model.stages import NOW
from ksim.source import assumed


class Shows(Shares):
    """How a hang shows itself: the events of ``ksim.linux.events`` by their names."""

    soft_lockup: Probability = 0.0
    hard_lockup: Probability = 0.0
    hung_task: Probability = 0.0
    rcu_stall: Probability = 0.0
    workqueue_lockup: Probability = 0.0
    all_cpus_hang: Probability = 0.0
    silent_hang: Probability = 0.0


SHOWS = {
    "soft_lockup": 0.55, "hard_lockup": 0.1, "hung_task": 0.2, "rcu_stall": 0.02, "workqueue_lockup": 0.03,
    "all_cpus_hang": 0.02, "silent_hang": 0.08,
}  # fmt: skip


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
        SHOWS, "1", "silent_hang 0", "silent_hang 0.5", assumed("no shares of kinds of hangs were ever published"),
        "shares of hangs by the way they show",
    )  # fmt: skip


def strike(plan: Plan, settings: Settings, struck: Struck) -> str:
    branches = [
        Branch(hang(plan, f"{kind} ({struck.node})", kind, struck.taint), NOW, share)
        for kind, share in settings.shows.values().items()
        if share > 0.0
    ]
    return plan.choice(struck.node, "detection", *branches, stream=struck.fault)


FAULT = FaultSource(
    name="kernel_hang",
    summary="lockup or deadlock in the kernel: seen by a detector that may panic, or by nobody",
    budget=Budget.SOFTWARE,
    settings=Settings,
    strike=strike,
)
