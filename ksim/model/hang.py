"""A hang as nodes: the detectors race, the first that panics ends it; or it is over; or nobody helps.

Which detector can see what, when it looks and whether it panics is ``ksim.linux.detectors``'s to say. What a
detector has no eyes for stays as it is until someone outside acts: with a kernel that still runs tasks
(``wedged``: systemd feeds the watchdog) or without (``dead``).
"""

from __future__ import annotations

from ksim.chance.distributions import Constant, Law, Uniform
from ksim.linux.detectors import Latency
from ksim.linux.taint import Taint
from ksim.model.lifecycle import Clock
from ksim.model.plan import Plan


def hang(plan: Plan, name: str, event: str, taint: Taint, over: Clock | None = None) -> str:
    """The nodes of a hang of kind ``event`` (of ``ksim.linux.events``) in a kernel of this taint.

    ``over``: the clock of a hang that ends by itself.
    """
    decision = plan.decide(event, taint=taint)
    panic = plan.junction("panic")
    clocks = [
        Clock(f"{found.detector} detector", law(found.panic_latency), panic)
        for found in decision.detections
        if found.panics
    ]
    if over is not None:
        clocks.append(over)
    if not clocks:
        return plan.junction("dead" if event == "all_cpus_hang" else "wedged")
    return plan.race(name, "detection", *clocks)


def law(latency: Latency) -> Law:
    """A detector's latency: what varies is the phase of its timer against the hang."""
    return Uniform(latency.low_s, latency.high_s) if latency.low_s < latency.high_s else Constant(latency.low_s)
