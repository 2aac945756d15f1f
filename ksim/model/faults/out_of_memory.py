"""Memory runs out: the OOM killer takes one process, or the machine panics. Off unless a rate is given.

Model    ``constraint`` says who is short of memory; ``ksim.linux.escalation`` says whether vm.panic_on_oom makes that
         a panic. Otherwise one process dies: with ``hits_service`` the service itself, which is away for ``restart``.
         With vm.oom_kill_allocating_task the victim is whoever asked: ``asks_service``.
Sources  Linux mm/oom_kill.c; Documentation/admin-guide/sysctl/vm.rst.
Solved   yes.
"""

from __future__ import annotations

from ksim.model.fault import FaultSource, Struck
from ksim.model.fields import LawText, Probability, Shares, param
from ksim.model.lifecycle import Branch, Budget, Service
from ksim.model.plan import Plan
from ksim.model.schema import FaultSettings
from ksim.model.stages import NOW, victim
from ksim.source import assumed


class Constraint(Shares):
    """Who is short of memory: the machine, a cpuset or memory policy, a memory cgroup."""

    oom: Probability = 0.0
    oom_cpuset: Probability = 0.0
    oom_memcg: Probability = 0.0


class Settings(FaultSettings):
    """Keys of ``[faults.out_of_memory]``."""

    constraint: Constraint = param(
        {"oom": 0.3, "oom_cpuset": 0.0, "oom_memcg": 0.7}, "1", "oom 0", "oom 1",
        assumed("containers have limits of their own; nobody counted"), "shares of events by who is short of memory",
    )  # fmt: skip
    hits_service: Probability = param(
        0.6, "1", "0", "1", assumed("the largest process is often the service itself"),
        "P(the process of the highest badness is the service)",
    )  # fmt: skip
    asks_service: Probability = param(
        0.3, "1", "0", "1", assumed("whoever asks first is nearly random"),
        "P(the process that asked for memory is the service)",
    )  # fmt: skip
    restart: LawText = param(
        "exponential(mean=30 s)", "s", "1 s", "1800 s", assumed("application start times are the user's own"),
        "from the kill to the first answer of a restarted service",
    )  # fmt: skip


def strike(plan: Plan, settings: Settings, struck: Struck) -> str:
    branches = []
    for event, share in settings.constraint.values().items():
        decision = plan.decide(event)
        if decision.panics:
            branches.append(Branch(plan.junction("panic"), NOW, share, cause=struck.fault))
        else:
            asked = decision.rule == "oom_kill_allocating_task"
            hits = settings.asks_service if asked else settings.hits_service
            name = f"{struck.node} {'asking' if asked else 'largest'}"
            branches.append(Branch(victim(plan, name, struck.alive, hits, settings.restart, struck.fault), NOW, share))
    return plan.choice(struck.node, "oom", *branches, service=Service.UP)


FAULT = FaultSource(
    name="out_of_memory",
    summary="memory runs out: one process is killed, or a panic by vm.panic_on_oom",
    budget=Budget.SOFTWARE,
    settings=Settings,
    strike=strike,
)
