"""Drivers that fail per operation: from a lost command or a hung queue up to the downtime of the service."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from itertools import pairwise

from ksim.model.loader import load
from ksim.report.experiment import main
from ksim.report.figure import lines
from ksim.report.rows import Lookup, Row
from ksim.study.compare import solve
from ksim.study.experiment import Experiment, Point

HORIZONS = {
    "1e-12": "10 y", "1e-11": "10 y", "1e-10": "10 y", "1e-9": "5 y", "1e-8": "1 y", "1e-7": "0.2 y", "1e-6": "0.05 y"
}  # fmt: skip
"""Shorter where more happens: some hundred strikes per replication are enough."""
WORKLOADS = ("database", "web-server")
ALONE = tuple(f"faults.{name}.rate=0" for name in ("kernel_oops", "kernel_hang", "machine_check", "hardware_repair"))
DISK, NIC = ("faults.packet.per_s=0.0",), ("faults.disk_command.per_s=0.0",)
NVME, PANICS = "nvme, ext4 remount-ro", "nvme, ext4 errors=panic"
DEADLY, OUTSIDE = "nvme, no reset helps", "nvme, BMC 600 s"
CARD, MUTE = "ixgbe", "virtio_net"
VARIANTS = {
    NVME: DISK,
    PANICS: (*DISK, "faults.disk_command.errors=panic"),
    "nvme, xfs": (*DISK, "faults.disk_command.fs=xfs"),
    DEADLY: (*DISK, "faults.disk_command.reset_works=0.0"),
    OUTSIDE: (*DISK, "host.bmc=600 s"),
    "scsi, ext4 remount-ro": (*DISK, "faults.disk_command.disk=scsi"),
    CARD: NIC,
    "mlx5_core": (*NIC, "faults.packet.driver=mlx5_core"),
    MUTE: (*NIC, "faults.packet.driver=virtio_net"),
}


def point(workload: str, p: str) -> Point:
    return Point(
        {"workload": workload, "p": p},
        (
            f"workload.impact={workload}",
            f"faults.disk_command.p={p}",
            f"faults.packet.p={p}",
            f"horizon={HORIZONS[p]}",
        ),
    )


def finds(rows: Sequence[Row]) -> list[str]:
    """From which probability on a device costs more than all else, and what a policy changes, from exact values."""
    rest = Lookup(solve(load("rack-server")).rows).exact_value("auto", "downtime_min_per_year")
    found = [f"Everything else that fails on this host costs {rest:.3g} min a year."]
    for workload in WORKLOADS:
        downs = {
            (name, p): Lookup(r for r in rows if (r["workload"], r["p"]) == (workload, p)).exact_value(
                name, "downtime_min_per_year"
            )
            for name in VARIANTS
            for p in HORIZONS
        }
        firsts = {name: _reaches({p: downs[name, p] for p in HORIZONS}, rest) for name in VARIANTS}
        found.append(
            f"{workload}: as much as all that costs a device that fails with this probability per operation: "
            + ", ".join(f"{name} {first}" for name, first in firsts.items())
            + "."
        )
        at = "1e-10"
        found.append(
            f"{workload}: of failures that are equally likely per operation, those of the network card ({CARD}) cost "
            f"{downs[CARD, at] / downs[NVME, at]:.3g} times what those of the disk ({NVME}) cost."
        )
        found.append(
            f"{workload} at {at}: {downs[NVME, at]:.3g} min a year with `errors=remount-ro`, {downs[PANICS, at]:.3g} "
            f"with `errors=panic`, {downs[OUTSIDE, at]:.3g} with a BMC that resets after 600 s, "
            f"{downs[DEADLY, at]:.3g} where no reset helps; the network card {downs[CARD, at]:.2g}, and "
            f"{downs[MUTE, at]:.3g} with a driver that only reports."
        )
    return found


def _reaches(downs: dict[str, float], limit: float) -> str:
    """Where the downtime, which grows in proportion to p while outages are rare, passes the limit; log-log."""
    points = [(float(p), down) for p, down in downs.items() if down > 0.0]
    for (p0, d0), (p1, d1) in pairwise(points):
        if d0 < limit <= d1:
            return f"{p0 * (p1 / p0) ** (math.log(limit / d0) / math.log(d1 / d0)):.1e}"
    return "below 1e-12" if points and points[0][1] >= limit else "above 1e-6"


EXPERIMENT = Experiment(
    name="e06_drivers",
    question="How often may a disk command or a packet fail before drivers decide the downtime of a service?",
    scenarios=("rack-server",),
    expectation=(
        "downtime grows in proportion to the probability. What costs is not the retry of half a minute but the disk "
        "that goes offline and leaves a live kernel without its files: errors=panic, which reboots at once, beats "
        "remount-ro, which waits for a human, and a BMC comes close to it. A network card costs ten seconds each time "
        "and never a reboot, so it may fail about a hundred times as often, unless its driver only reports."
    ),
    overrides=("replications=40", *ALONE),
    points=tuple(point(workload, p) for workload in WORKLOADS for p in HORIZONS),
    variants=VARIANTS,
    shows={
        "outages_per_year": "outages/y",
        "outage_s_mean": "s per outage",
        "downtime_min_per_year": "downtime min/y",
        "degraded_min_per_year": "degraded min/y",
        "availability": "availability",
    },
    finds=finds,
    draws=partial(
        lines,
        measure="downtime_min_per_year",
        x="p",
        panel="workload",
        log_x=True,
        log_y=True,
        axes=("P(failure) per command or packet", "downtime, min/y"),
    ),
)

if __name__ == "__main__":
    main(EXPERIMENT)
