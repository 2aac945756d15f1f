"""An oops: a kernel-mode exception without fixup. It kills one task, or the machine.

Model    The context of the strike is drawn from ``context``; ``ksim.linux.escalation`` says whether this oops, the
         n-th of this boot, panics. A panic comes after ``detect`` (from the error to the exception). A survived
         oops leaves a tainted kernel (node ``oopsed``: degraded); with ``leaks_lock`` the dead task held a lock that
         the service needs, and everything stops without a word: the hung-task detector is blind after an oops.
Sources  Linux arch/x86/kernel/dumpstack.c, kernel/exit.c; Yoshimura, Yamada, Kono, HotDep 2012 (mostly
         process-local); Gu et al., DSN 2003 (latency); LANL data (rate of fatal kernel failures).
Assumes  at most 15 survived oopses are told apart: with kernel.oops_limit above 16 the limit is never reached.
Solved   yes.
"""

from __future__ import annotations

from ksim.linux.escalation import escalate
from ksim.linux.vocabulary import Context
from ksim.model.fault import FaultSource, Struck
from ksim.model.fields import LawText, PerSecond, Probability, Shares, param
from ksim.model.lifecycle import Branch, Budget, Service
from ksim.model.plan import Plan
from ksim.model.schema import FaultSettings
from ksim.model.stages import NOW
from ksim.source import Source, assumed


class Contexts(Shares):
    """Where oopses strike, by the kernel's own distinction."""

    process: Probability = 0.0
    bh_disabled: Probability = 0.0
    softirq: Probability = 0.0
    hardirq: Probability = 0.0
    nmi: Probability = 0.0
    idle: Probability = 0.0
    init: Probability = 0.0


CONTEXTS = {
    "process": 0.70, "bh_disabled": 0.05, "softirq": 0.15, "hardirq": 0.06, "nmi": 0.0, "idle": 0.03, "init": 0.01
}  # fmt: skip


class Settings(FaultSettings):
    """Keys of ``[faults.kernel_oops]``."""

    rate: PerSecond = param(
        "0.5 /y", "1/y", "0.1 /y", "5 /y",
        Source("LANL failure data LA-UR-05-7318", "0.06 to 0.17 fatal OS failures per node-year, over 0.3 fatal"),
        "oopses of all kinds per year up",
    )  # fmt: skip
    context: Contexts = param(
        CONTEXTS, "1", "process 0.5", "process 0.9",
        assumed("process share as recalled from Yoshimura et al., HotDep 2012 (mostly process-local); the rest split "
                "by judgement"),
        "shares of the contexts that oopses strike",
    )  # fmt: skip
    detect: LawText = param(
        "loguniform(3 ns, 1 s)", "s", "0 s", "2 s",
        Source("Gu, Kalbarczyk, Iyer, Yang, DSN 2003", "crash latency: 40 % within 10 cycles, a tail to seconds"),
        "from the error to the exception",
    )  # fmt: skip
    leaks_lock: Probability = param(
        0.1, "1", "0", "0.5", assumed("share of process-context oopses under a lock that others need"),
        "P(a survived oops leaves the service waiting for a leaked lock)",
    )  # fmt: skip


def strike(plan: Plan, settings: Settings, struck: Struck) -> str:
    panics = survives = 0.0
    for name, share in settings.context.values().items():
        decision = escalate(
            plan.linux,
            Context(name),
            oops_count=struck.oopses,
            crash_kernel_loaded=plan.crash_kernel_loaded,
        )
        if decision.panics:
            panics += share
        else:
            survives += share
    detected = plan.stage(f"{struck.fault}.detection", settings.detect, plan.junction("panic"), phase="detection")
    branches = [Branch(detected, NOW, panics, cause=struck.fault)]
    if survives > 0.0:
        leak = survives * settings.leaks_lock
        branches += [
            Branch(plan.junction("wedged"), NOW, leak, cause=struck.fault),
            Branch(plan.junction(f"oopsed {struck.oopses + 1}"), NOW, survives - leak),
        ]
    # the streams of the copies differ: after n oopses the decision can have other probabilities
    return plan.choice(struck.node, "oops", *branches, service=Service.UP)


FAULT = FaultSource(
    name="kernel_oops",
    summary="kernel exception without fixup: kills one task or panics, by Linux's rules",
    budget=Budget.SOFTWARE,
    settings=Settings,
    strike=strike,
)
