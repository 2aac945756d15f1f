"""A hang that ends by itself: slow storage, a long loop, a storm of interrupts. Off unless a rate is given.

Model    The service stands still for ``lasts``. A detector that panics before it is over turns a stall into an
         outage: the false alarm of a lockup or hung-task panic. Afterwards the kernel goes on as it was.
Sources  Linux kernel/watchdog.c, kernel/hung_task.c; bottlerocket issue 3087 (why hung_task_panic is off there).
Solved   yes.
"""

from __future__ import annotations

from ksim.model.fault import FaultSource, Struck
from ksim.model.fields import LawText, Probability, Shares, param
from ksim.model.hang import hang
from ksim.model.lifecycle import Branch, Budget, Clock
from ksim.model.plan import Plan
from ksim.model.schema import FaultSettings
from ksim.model.stages import NOW
from ksim.source import assumed


class Shows(Shares):
    """How a stall shows itself: the events of ``ksim.linux.events`` by their names."""

    soft_lockup: Probability = 0.0
    hard_lockup: Probability = 0.0
    hung_task: Probability = 0.0
    rcu_stall: Probability = 0.0
    workqueue_lockup: Probability = 0.0


class Settings(FaultSettings):
    """Keys of ``[faults.stall]``."""

    shows: Shows = param(
        {"soft_lockup": 0.3, "hard_lockup": 0.0, "hung_task": 0.6, "rcu_stall": 0.1, "workqueue_lockup": 0.0},
        "1", "hung_task 0", "hung_task 1", assumed("slow storage is the usual suspect; nobody counted"),
        "shares of stalls by the way they show",
    )  # fmt: skip
    lasts: LawText = param(
        "lognormal(median=30 s, sigma=1.2)", "s", "5 s", "600 s",
        assumed("from a failed-over path to a resync of an array"), "until the stall is over by itself",
    )  # fmt: skip


def strike(plan: Plan, settings: Settings, struck: Struck) -> str:
    over = Clock(f"{struck.fault} over", settings.lasts, struck.alive)
    branches = [
        Branch(hang(plan, f"{kind} ({struck.node})", kind, struck.taint, over), NOW, share)
        for kind, share in settings.shows.values().items()
        if share > 0.0
    ]
    return plan.choice(struck.node, "detection", *branches, stream=struck.fault)


FAULT = FaultSource(
    name="stall",
    summary="a hang that is over by itself, unless a detector panics first",
    budget=Budget.SOFTWARE,
    settings=Settings,
    strike=strike,
)
