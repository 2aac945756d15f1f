"""What panic_on_oops costs and buys: availability, damage that nobody sees, work thrown away."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from ksim.report.experiment import main
from ksim.report.figure import lines
from ksim.report.rows import Lookup, Row
from ksim.study.experiment import Experiment, Point

OOPSES_PER_YEAR = 0.5
"""As rack-server; split between drivers and the rest of the kernel."""
DRIVER_SHARES = (0.3, 0.5, 0.7, 0.85)
LOCAL_SHARES = (0.5, 0.7, 0.9)
KEEPS, PANICS = "panic_on_oops=0", "panic_on_oops=1"


def point(drivers: float, local: float) -> Point:
    return Point(
        {"driver share": f"{drivers}", "process-local": f"{local}"},
        (
            f"faults.driver_oops.rate={OOPSES_PER_YEAR * drivers} /y",
            f"faults.kernel_oops.rate={OOPSES_PER_YEAR * (1.0 - drivers)} /y",
            f"faults.driver_oops.process_local={local}",
            f"faults.kernel_oops.process_local={local}",
        ),
    )


def finds(rows: Sequence[Row]) -> list[str]:
    """Where the decision turns, point by point, from the exact values."""
    better, cheaper, total, most = 0, 0, 0, 0.0
    for drivers in DRIVER_SHARES:
        for local in LOCAL_SHARES:
            own = Lookup(r for r in rows if (r["driver share"], r["process-local"]) == (f"{drivers}", f"{local}"))
            down = [own.exact_value(name, "software_downtime_min_per_year") for name in (KEEPS, PANICS)]
            lost = [own.exact_value(name, "work_lost_min_per_year") for name in (KEEPS, PANICS)]
            total += 1
            better += down[0] < down[1]
            cheaper += lost[0] < lost[1]
            most = max(most, own.exact_value(KEEPS, "damages_per_year"))
    return [
        f"`panic_on_oops=0` has less software downtime at {better} of {total} points, and throws away less work at "
        f"{cheaper} of {total}.",
        f"It never comes free: up to {most:.2g} times a year a survived oops leaves damage that nobody sees until it "
        f"brings the kernel down; with `panic_on_oops=1` that cannot happen.",
        f"Of the oopses in drivers most strike in interrupt context, where Linux panics whatever the setting. With "
        f"process-local errors of {LOCAL_SHARES[-1]}, panic_on_oops=1 costs {_difference(rows, DRIVER_SHARES[0]):.3g} "
        f"min of software downtime a year more at a driver share of {DRIVER_SHARES[0]}, and "
        f"{_difference(rows, DRIVER_SHARES[-1]):.3g} more at {DRIVER_SHARES[-1]}.",
    ]


def _difference(rows: Sequence[Row], drivers: float) -> float:
    point = (f"{drivers}", f"{LOCAL_SHARES[-1]}")
    own = Lookup(row for row in rows if (row["driver share"], row["process-local"]) == point)
    kept, panicked = (own.exact_value(name, "software_downtime_min_per_year") for name in (KEEPS, PANICS))
    return panicked - kept


EXPERIMENT = Experiment(
    name="e02_panic_on_oops",
    question="Should an oops kill one task or the machine?",
    scenarios=("rack-server",),
    expectation=(
        "panic_on_oops=0 keeps more hosts up where errors stay within a process and strike outside of drivers; it "
        "pays with leaked locks that nobody reports (the hung-task detector is blind after an oops) and with unseen "
        "damage. With many driver oopses both settings come closer, since interrupt context always panics."
    ),
    overrides=("replications=300",),
    points=tuple(point(drivers, local) for drivers in DRIVER_SHARES for local in LOCAL_SHARES),
    variants={
        KEEPS: ("linux.sysctl.kernel.panic_on_oops=0",),
        PANICS: ("linux.sysctl.kernel.panic_on_oops=1",),
    },
    shows={
        "availability": "availability",
        "software_downtime_min_per_year": "software min/y",
        "panics_per_year": "panics/y",
        "damages_per_year": "unseen damage/y",
        "work_lost_min_per_year": "work lost min/y",
    },
    finds=finds,
    draws=partial(
        lines,
        measure="software_downtime_min_per_year",
        x="driver share",
        panel="process-local",
        axes=("share of oopses that strike drivers", "software downtime, min/y"),
    ),
)

if __name__ == "__main__":
    main(EXPERIMENT)
