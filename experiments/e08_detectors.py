"""What each detector's panic knob buys, and from which rate of false alarms on it costs more than it buys."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from ksim.report.experiment import main
from ksim.report.figure import lines
from ksim.report.rows import Lookup, Row
from ksim.study.experiment import Experiment, Point

STALLS = (0.01, 0.1, 1.0, 10.0)
HANGS_PER_YEAR = 0.5
OFF = {
    "kernel.softlockup_panic": 0,
    "kernel.hardlockup_panic": 0,
    "kernel.hung_task_panic": 0,
    "kernel.panic_on_rcu_stall": 0,
}
QUIET = ("linux.cmdline=crashkernel=512M", *(f"linux.sysctl.{key}={value}" for key, value in OFF.items()))
NOBODY = "no knob"


def on(*keys: str) -> tuple[str, ...]:
    return (*QUIET, *(f"linux.sysctl.{key}=1" for key in keys))


VARIANTS = {
    NOBODY: QUIET,
    "softlockup_panic": on("kernel.softlockup_panic"),
    "hardlockup_panic": on("kernel.hardlockup_panic"),
    "hung_task_panic": on("kernel.hung_task_panic"),
    "panic_on_rcu_stall": on("kernel.panic_on_rcu_stall"),
    "workqueue.panic_on_stall": (
        *QUIET,
        "linux.cmdline=crashkernel=512M workqueue.watchdog_thresh=30 workqueue.panic_on_stall=1",
    ),
    "all": (
        *on(*OFF),
        "linux.cmdline=crashkernel=512M workqueue.watchdog_thresh=30 workqueue.panic_on_stall=1",
    ),
    "none of them, BMC 600 s": (*QUIET, "host.bmc=600 s"),
}


def finds(rows: Sequence[Row]) -> list[str]:
    """What a knob saves at few false alarms, and at which rate of stalls it stops paying, from the exact values."""
    lookups = {rate: Lookup(row for row in rows if row["stalls/y"] == f"{rate:g}") for rate in STALLS}
    found = []
    for name in list(VARIANTS)[1:]:
        saved = {}
        for rate, own in lookups.items():
            without, with_it = (own.exact(n, "software_downtime_min_per_year") for n in (NOBODY, name))
            if without and with_it:
                saved[rate] = without["estimate"] - with_it["estimate"]
        first, worst = saved[STALLS[0]], [rate for rate, value in saved.items() if value < 0.0]
        turns = (
            f"; it costs more than it buys from {min(worst):g} stalls a year on"
            if worst
            else "; it pays at every rate in the table"
        )
        if abs(first) < 1e-9:
            turns = ": nothing on this host"
        found.append(f"`{name}` saves {first:.3g} min a year where stalls are rare{turns}.")
    everything = lookups[STALLS[0]].exact("all", "downtime_min_per_year:phase=hung")
    if everything:
        found.append(
            f"With every knob set, {everything['estimate']:.3g} min a year are still spent hung: after a lost wake-up "
            f"or a lock that a survived oops leaked (taint D blinds the hung-task detector), where nobody detects "
            f"anything, and in capture kernels that hang themselves."
        )
    return found


EXPERIMENT = Experiment(
    name="e08_detectors",
    question="What does each detector's panic knob buy?",
    scenarios=("rack-server",),
    expectation=(
        "Each knob turns the hangs that its detector sees from a wait for a human into an outage of minutes. The "
        "soft-lockup knob buys most, since most hangs show that way, and RCU sees the same ones. hung_task_panic is "
        "the one that false alarms can spoil: a stall of slow storage lasts minutes. The hang that nobody detects "
        "stays."
    ),
    overrides=(
        "replications=200",
        f"faults.kernel_hang.rate={HANGS_PER_YEAR} /y",
        "linux.sysctl.kernel.panic_on_oops=0",
    ),
    points=tuple(Point({"stalls/y": f"{rate:g}"}, (f"faults.stall.rate={rate} /y",)) for rate in STALLS),
    variants=VARIANTS,
    shows={
        "software_downtime_min_per_year": "software min/y",
        "downtime_min_per_year:phase=hung": "hung min/y",
        "downtime_min_per_year:cause=stall": "by stalls min/y",
        "panics_per_year": "panics/y",
        "software_outage_s_p99": "p99 outage s",
    },
    finds=finds,
    draws=partial(
        lines,
        measure="software_downtime_min_per_year",
        x="stalls/y",
        log_x=True,
        axes=("stalls a year that end by themselves", "software downtime, min/y"),
    ),
)

if __name__ == "__main__":
    main(EXPERIMENT)
