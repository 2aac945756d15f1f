"""Uncorrected memory errors that Linux may survive: poisoned pages. Off unless a rate is given.

Model    ``page`` says where the error is; ``ksim.linux.escalation`` says what becomes of it (vm.memory_failure_*).
         A page of user space kills a process: with ``hits_service`` the service, which is away for ``restart``. An
         ignored error in a page of the kernel panics when the page is used, after ``consumed``. Fatal machine
         checks are a source of their own.
Sources  Linux mm/memory-failure.c, arch/x86/kernel/cpu/mce/core.c; Documentation/admin-guide/sysctl/vm.rst.
Solved   yes.
"""

from __future__ import annotations

from ksim.linux.rules import End
from ksim.model.fault import FaultSource, Struck
from ksim.model.fields import LawText, Probability, Shares, param
from ksim.model.lifecycle import Branch, Budget, Clock, Service
from ksim.model.plan import Alive, Plan
from ksim.model.schema import FaultSettings
from ksim.model.stages import NOW, victim
from ksim.source import assumed


class Page(Shares):
    """Where the error is: ``mce_user`` is consumed at once by a user process, the others are found by scrubbing."""

    mce_user: Probability = 0.0
    poison_clean: Probability = 0.0
    poison_user: Probability = 0.0
    poison_kernel: Probability = 0.0


class Settings(FaultSettings):
    """Keys of ``[faults.memory_poison]``."""

    page: Page = param(
        {"mce_user": 0.3, "poison_clean": 0.25, "poison_user": 0.4, "poison_kernel": 0.05},
        "1", "poison_kernel 0", "poison_kernel 0.3", assumed("as the pages of a busy host, by judgement"),
        "shares of errors by the page that they hit",
    )  # fmt: skip
    hits_service: Probability = param(
        0.5, "1", "0", "1", assumed("the service owns about half of the memory"), "P(the page is the service's)"
    )
    touched: Probability = param(
        0.8, "1", "0", "1", assumed("most pages are used again, some are freed first"),
        "P(a poisoned page is touched again before it is freed)",
    )  # fmt: skip
    restart: LawText = param(
        "exponential(mean=30 s)", "s", "1 s", "1800 s", assumed("application start times are the user's own"),
        "from the kill to the first answer of a restarted service",
    )  # fmt: skip
    consumed: LawText = param(
        "exponential(mean=7 d)", "s", "1 h", "90 d", assumed("how often the kernel comes back to one of its pages"),
        "until the kernel uses a poisoned page of its own",
    )  # fmt: skip


def strike(plan: Plan, settings: Settings, struck: Struck) -> str:
    branches = []
    for event, share in settings.page.values().items():
        decision = plan.decide(event)
        if decision.panics:
            to, cause = plan.junction("panic"), struck.fault
        elif event == "poison_kernel":
            damaged = struck.state if struck.state.damaged_by else struck.state._replace(damaged_by=struck.fault)
            to, cause = plan.alive(damaged), ""
        elif event == "poison_clean":
            to, cause = struck.alive, ""
        else:  # killed now, or later if somebody touches the page
            hits = settings.hits_service * (1.0 if decision.end is End.KILLED else settings.touched)
            name = f"{struck.node} {'killed' if decision.end is End.KILLED else 'poisoned'}"
            to, cause = victim(plan, name, struck.alive, hits, settings.restart, struck.fault), ""
        branches.append(Branch(to, NOW, share, cause=cause))
    return plan.choice(struck.node, "machine check", *branches, service=Service.UP)


def aftereffect(plan: Plan, settings: Settings, fault: str, state: Alive) -> tuple[Clock, ...]:
    if state.damaged_by != fault:
        return ()
    return (Clock(f"{fault} consumed", settings.consumed, plan.junction("panic machine_check"), cause=fault),)


FAULT = FaultSource(
    name="memory_poison",
    summary="uncorrected memory error in a page: a process dies, nobody notices, or a panic",
    budget=Budget.HARDWARE,
    settings=Settings,
    strike=strike,
    aftereffect=aftereffect,
)
