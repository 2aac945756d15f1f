"""How much memory to reserve for the crash kernel: captures lost, RAM given up, and where the knee is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ksim.report.experiment import main
from ksim.report.figure import lines
from ksim.report.rows import Lookup, Row
from ksim.study.experiment import Experiment, Point

MEMORY_GIB = (1, 2, 4, 8, 32, 64, 256, 1024, 6144)
DISTROS = ("rhel8", "rhel9", "rhel10", "debian12", "debian13", "ubuntu24.10", "sles15")
FIXED_MIB = (128, 160, 192, 224, 256, 320, 448, 1024)
ENOUGH = 0.99
"""Of the captures that a reservation without limit would save."""


def point(memory_gib: int) -> Point:
    return Point({"RAM": f"{memory_gib} GiB"}, (f"host.memory={memory_gib} GiB",))


def finds(rows: Sequence[Row]) -> list[str]:
    """The knee by RAM, and which defaults lie below it, from the exact values."""
    found = []
    for memory in (2, 8, 256, 6144):
        own = Lookup(row for row in rows if row["RAM"] == f"{memory} GiB")
        best = own.exact(f"{FIXED_MIB[-1]}M", "vmcore_captured")
        if best is None or not best["estimate"]:
            continue
        for size in FIXED_MIB:
            row = own.exact(f"{size}M", "vmcore_captured")
            if row and row["estimate"] >= ENOUGH * best["estimate"]:
                share = size / 1024 / memory
                found.append(
                    f"{memory} GiB of RAM: the knee is at {size} MiB ({share:.2g} of the memory); more buys less than "
                    f"1 % more captures."
                )
                break
    low: dict[str, list[str]] = {}
    for memory in MEMORY_GIB:
        own = Lookup(row for row in rows if row["RAM"] == f"{memory} GiB")
        best = own.exact(f"{FIXED_MIB[-1]}M", "vmcore_captured")
        for distro in DISTROS:
            row = own.exact(distro, "vmcore_captured")
            if best and best["estimate"] and (row is None or row["estimate"] < 0.9 * best["estimate"]):
                low.setdefault(distro, []).append(f"{memory}")
    listed = [f"{distro} at {', '.join(sizes)} GiB" for distro, sizes in low.items()]
    found.append(
        f"Defaults that lose more than a tenth of the captures on this host, whose capture kernel has the parts that "
        f"kdumpctl estimates for RHEL: {'; '.join(listed) or 'none'}."
    )
    return found


def draw(rows: Sequence[Row], title: str) -> Any:
    """The defaults of the distributions; fixed sizes are horizontal lines, and stand in the table."""
    return lines(
        [row for row in rows if row["strategy"] in DISTROS],
        title,
        measure="vmcore_captured",
        x="RAM",
        log_x=True,
        axes=("RAM, GiB", "share of panics with a vmcore"),
    )


EXPERIMENT = Experiment(
    name="e04_crashkernel",
    question="How much memory should crashkernel= reserve?",
    scenarios=("rack-server",),
    expectation=(
        "A crash kernel that is too small never saves a dump, one that is large enough gains nothing by more: between "
        "them lies a narrow knee near what kdumpctl estimates (about 215 MiB), which hardly moves with RAM. Old "
        "defaults (128M, 160M) lie below it, and hosts below the first range of a ladder reserve nothing."
    ),
    overrides=("replications=40", "faults.kernel_oops.rate=5 /y"),
    points=tuple(point(memory) for memory in MEMORY_GIB),
    variants={
        **{distro: (f"linux.distro={distro}", "linux.sysctl.kernel.panic_on_oops=1") for distro in DISTROS},
        **{
            f"{size}M": (f"linux.cmdline=crashkernel={size}M", "linux.sysctl.kernel.panic_on_oops=1")
            for size in FIXED_MIB
        },
    },
    shows={
        "crashkernel_mib": "reserved MiB",
        "crashkernel_share": "share of RAM",
        "vmcore_captured": "vmcore captured",
        "software_outage_s_mean": "s per software outage",
    },
    finds=finds,
    draws=draw,
)

if __name__ == "__main__":
    main(EXPERIMENT)
