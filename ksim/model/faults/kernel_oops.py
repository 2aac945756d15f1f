"""An oops: a kernel-mode exception without fixup. It kills one task, or the machine.

Model    The context of the strike is drawn from ``context``; ``ksim.linux.escalation`` says whether this oops, the
         n-th of this boot, panics. A panic comes after ``detect`` (from the error to the exception). A survived
         oops kills one task. With ``process_local`` that is all (node ``oopsed``: tainted, degraded). Otherwise it
         damaged what others use: with ``leaks_lock`` the dead task held a lock, and others wait for it: asleep, which
         nobody reports any more (the hung-task detector is blind after an oops), or spinning, which the lockup
         detectors see. Without a lock the damage goes unnoticed (event ``damage``) until it brings the kernel down
         after ``damage_shows``.
Sources  Linux arch/x86/kernel/dumpstack.c, kernel/exit.c, kernel/hung_task.c; Yoshimura, Yamada, Kono, HotDep 2012
         (mostly process-local; others block on locks); Gu et al., DSN 2003 (latency); LANL data (rate of fatal
         kernel failures).
Assumes  at most 15 survived oopses are told apart: with kernel.oops_limit above 16 the limit is never reached.
Solved   yes.
"""

from __future__ import annotations

from ksim.linux.taint import Taint
from ksim.linux.vocabulary import Context, Lock, Task, TaskKind, leak
from ksim.model.fault import FaultSource, Struck
from ksim.model.fields import LawText, PerSecond, Probability, Shares, param
from ksim.model.hang import hang
from ksim.model.impact import ImpactTable
from ksim.model.lifecycle import Branch, Budget, Clock, Service
from ksim.model.plan import Alive, Plan
from ksim.model.schema import FaultSettings
from ksim.model.stages import NOW, at_risk_of_one_process
from ksim.source import Param, Source, assumed


class Contexts(Shares):
    """Where oopses strike, by the kernel's own distinction; ``idle`` and ``init`` are the tasks, not interrupted."""

    process: Probability = 0.0
    bh_disabled: Probability = 0.0
    softirq: Probability = 0.0
    hardirq: Probability = 0.0
    nmi: Probability = 0.0
    idle: Probability = 0.0
    init: Probability = 0.0


class Leaked(Shares):
    """Kinds of the lock that a dead task took along."""

    mutex: Probability = 0.0
    rwsem: Probability = 0.0
    spinlock: Probability = 0.0
    spinlock_irq: Probability = 0.0


CONTEXTS = {
    "process": 0.70, "bh_disabled": 0.05, "softirq": 0.15, "hardirq": 0.06, "nmi": 0.0, "idle": 0.03, "init": 0.01
}  # fmt: skip
LEAKED = {"mutex": 0.5, "rwsem": 0.2, "spinlock": 0.2, "spinlock_irq": 0.1}


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
    process_local: Probability = param(
        0.7, "1", "0.5", "0.9",
        assumed("as recalled from Yoshimura et al., HotDep 2012: about 73 % of errors stay within one process"),
        "P(a survived oops harmed only the process that it killed)",
    )  # fmt: skip
    leaks_lock: Probability = param(
        0.35, "1", "0", "0.9",
        assumed("Yoshimura et al., HotDep 2012 say that locks block others before they see bad state; no share"),
        "P(an error that is not process-local shows as a leaked lock that the service needs)",
    )  # fmt: skip
    leaked: Leaked = param(
        LEAKED, "1", "mutex 0.3", "mutex 0.9", assumed("no counts of leaked locks were ever published"),
        "shares of the kinds of leaked locks",
    )  # fmt: skip
    damage_shows: LawText = param(
        "exponential(mean=2 d)", "s", "1 h", "60 d", assumed("nobody measured how long damaged state stays unnoticed"),
        "from a survived oops with unnoticed damage to the panic that it causes",
    )  # fmt: skip


def strike(plan: Plan, settings: Settings, struck: Struck) -> str:
    panics = survives = 0.0
    for name, share in settings.context.values().items():
        if share > 0.0 and _panics(plan, name, struck.state):
            panics += share
        else:
            survives += share
    detected = plan.stage(f"{struck.fault}.detection", settings.detect, plan.junction("panic"), phase="detection")
    branches = [Branch(detected, NOW, panics, cause=struck.fault)]
    if survives > 0.0:
        killed = _killed(plan, settings, struck)
        branches.append(Branch(killed, NOW, survives))
    # the streams of the copies differ: after n oopses the decision can have other probabilities
    return plan.choice(struck.node, "oops", *branches, service=Service.UP)


def _panics(plan: Plan, context: str, state: Alive) -> bool:
    if context in ("idle", "init"):
        where, task = Context.PROCESS, Task(TaskKind(context))
    else:
        where, task = Context(context), Task()
    return plan.decide("bug", context=where, task=task, oopses=state.oopses).panics


def _killed(plan: Plan, settings: Settings, struck: Struck) -> str:
    """One task is dead: nothing more, a lock that others wait for, or damage that nobody sees yet."""
    state = struck.state._replace(oopses=struck.state.oopses + 1)
    damaged = state if state.damaged_by else state._replace(damaged_by=struck.fault)
    spreads = 1.0 - settings.process_local
    branches = [Branch(plan.alive(state), NOW, settings.process_local)]
    if spreads * settings.leaks_lock > 0.0:
        branches += [
            Branch(_leaked(plan, struck, Lock(kind)), NOW, spreads * settings.leaks_lock * share, cause=struck.fault)
            for kind, share in settings.leaked.values().items()
            if share > 0.0
        ]
    if spreads * (1.0 - settings.leaks_lock) > 0.0:
        unseen = plan.choice(
            f"{struck.node} damage", "oops", Branch(plan.alive(damaged), NOW), service=Service.UP, event="damage"
        )
        branches.append(Branch(unseen, NOW, spreads * (1.0 - settings.leaks_lock)))
    return plan.choice(
        f"{struck.node} kill",
        "oops",
        *branches,
        service=Service.UP,
        event="kill",
        stream=f"{struck.fault} kill",
        work_lost_s=at_risk_of_one_process(plan),
    )


def _leaked(plan: Plan, struck: Struck, lock: Lock) -> str:
    """Those who want the lock next: asleep or spinning in a kernel that has taint D."""
    event = leak(lock).shows_as
    return hang(plan, f"{event} ({struck.fault})", event, struck.taint | Taint.DIE)


def aftereffect(plan: Plan, settings: Settings, fault: str, state: Alive) -> tuple[Clock, ...]:
    if state.damaged_by != fault:
        return ()
    return (Clock(f"{fault} damage", settings.damage_shows, plan.junction("panic"), cause=fault),)


IDLE_RUNS = Param(
    1e-4, "1", "1e-6", "1e-2",
    assumed("an idle CPU is halted but for some microseconds at each tick and wake-up"),
    "share of an idle CPU's time in which it runs code that can oops",
)  # fmt: skip


def measured(table: ImpactTable) -> dict[str, dict[str, float]]:
    """Oopses strike where the kernel spends its time: in tasks, in interrupts, at the edges of idleness.

    What the table does not tell stays as in the defaults: NMI and init, how task time splits by BH-disabled sections,
    and interrupt time into hardirq and softirq.
    """
    weights = {
        ("process", "bh_disabled"): table.mean("kernel"),
        ("softirq", "hardirq"): table.mean("irq"),
        ("idle",): table.idle * float(IDLE_RUNS.value),
    }
    told = 1.0 - CONTEXTS["nmi"] - CONTEXTS["init"]
    total = sum(weights.values())
    found = dict(CONTEXTS)
    for names, weight in weights.items():
        whole = sum(CONTEXTS[name] for name in names)
        for name in names:
            found[name] = told * weight / total * CONTEXTS[name] / whole
    return {"context": found}


FAULT = FaultSource(
    name="kernel_oops",
    summary="kernel exception without fixup: kills one task or panics, by Linux's rules",
    budget=Budget.SOFTWARE,
    settings=Settings,
    strike=strike,
    aftereffect=aftereffect,
    measured=measured,
)
