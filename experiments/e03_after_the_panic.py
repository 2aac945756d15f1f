"""A host that hangs after its panic: what kernel.panic, watchdogs, the BMC and a human make of it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from ksim.report.experiment import main
from ksim.report.figure import lines
from ksim.report.rows import Lookup, Row
from ksim.study.experiment import Experiment, Point
from ksim.units import show_duration

RESPONSES = ("5 min", "33 min", "120 min", "720 min")
NO_KDUMP = ("linux.cmdline=quiet", "linux.sysctl.kernel.panic_on_oops=1")
SILENT, REBOOTS = "panic=0", "panic=10"


def point(response: str) -> Point:
    return Point({"operator": response}, (f"recovery.operator=lognormal(median={response}, sigma=1.2)",))


def finds(rows: Sequence[Row]) -> list[str]:
    """What a silent host costs by the time that a human needs, from the exact values."""
    found = []
    for response in RESPONSES:
        own = Lookup(row for row in rows if row["operator"] == response)
        silent, reboots = (own.exact(name, "software_outage_s_mean") for name in (SILENT, REBOOTS))
        if silent and reboots:
            ratio = silent["estimate"] / reboots["estimate"]
            found.append(
                f"With a human after {response} (median), an outage lasts {show_duration(silent['estimate'])} with "
                f"`kernel.panic=0` and {show_duration(reboots['estimate'])} with `kernel.panic=10`: {ratio:.2g} times."
            )
    own = Lookup(row for row in rows if row["operator"] == RESPONSES[1])
    names = ("panic=0, watchdog 60 s", "panic=0, ipmi 60 s", "panic=0, BMC 600 s", "panic=-1")
    saved = [(name, row) for name in names if (row := own.exact(name, "software_outage_s_mean"))]
    found += [
        "What stands in for it, at a response of 33 min: "
        + ", ".join(f"`{name}` {show_duration(row['estimate'])}" for name, row in saved)
        + "."
    ]
    return found


EXPERIMENT = Experiment(
    name="e03_after_the_panic",
    question="What does a host cost that stands still after its panic?",
    scenarios=("rack-server",),
    expectation=(
        "kernel.panic=0, the default of upstream, turns every panic into a wait for a human; any watchdog caps that "
        "at its own timeout, an IPMI watchdog at 255 s, since the kernel extends it at a panic. kernel.panic=10 and -1 "
        "differ by ten seconds. What hangs without a panic still waits for a human under all of them."
    ),
    overrides=("replications=300", *NO_KDUMP),
    points=tuple(point(response) for response in RESPONSES),
    variants={
        SILENT: ("linux.sysctl.kernel.panic=0",),
        "panic=0, watchdog 60 s": ("linux.sysctl.kernel.panic=0", "host.watchdog=60 s"),
        "panic=0, ipmi 60 s": (
            "linux.sysctl.kernel.panic=0",
            "host.watchdog=60 s",
            "host.watchdog_driver=ipmi_watchdog",
        ),
        "panic=0, BMC 600 s": ("linux.sysctl.kernel.panic=0", "host.bmc=600 s"),
        REBOOTS: ("linux.sysctl.kernel.panic=10",),
        "panic=-1": ("linux.sysctl.kernel.panic=-1",),
    },
    shows={
        "software_outage_s_mean": "s per software outage",
        "software_outage_s_p99": "p99",
        "software_downtime_min_per_year": "software min/y",
        "availability": "availability",
    },
    finds=finds,
    draws=partial(
        lines,
        measure="software_outage_s_mean",
        x="operator",
        log_x=True,
        log_y=True,
        axes=("minutes until a human resets the host (median)", "mean seconds of a software outage"),
    ),
)

if __name__ == "__main__":
    main(EXPERIMENT)
