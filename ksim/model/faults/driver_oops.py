"""An oops in a device driver: as kernel_oops, but more often in interrupt context, where it always panics.

Model    Drivers run in hardirq handlers, in NAPI polling (softirq) and under BH-disabled locks, so that
         panic_on_oops=0 saves fewer of these hosts. Off unless a rate is given: the rate of ``kernel_oops`` already
         covers oopses of all origins, drivers (about half of them) included.
Sources  Linux arch/x86/kernel/dumpstack.c (in_interrupt); Swift, Bershad, Levy, SOSP 2003 and Palix et al., ASPLOS
         2011 (share of drivers).
Solved   yes.
"""

from __future__ import annotations

from dataclasses import replace

from ksim.model.fault import nothing_measured
from ksim.model.faults import kernel_oops
from ksim.model.fields import PerSecond, param
from ksim.source import assumed

CONTEXTS = {
    "process": 0.45, "bh_disabled": 0.10, "softirq": 0.25, "hardirq": 0.20, "nmi": 0.0, "idle": 0.0, "init": 0.0
}  # fmt: skip


class Settings(kernel_oops.Settings):
    """Keys of ``[faults.driver_oops]``."""

    rate: PerSecond = param("0 /y", "1/y", "0 /y", "10 /y", assumed("off unless a rate is given"), "driver oopses")
    context: kernel_oops.Contexts = param(
        CONTEXTS, "1", "process 0.2", "process 0.7", assumed("no shares of contexts of driver oopses were published"),
        "shares of the contexts that driver oopses strike",
    )  # fmt: skip


FAULT = replace(
    kernel_oops.FAULT,
    name="driver_oops",
    summary="oops in a driver: mostly where it cannot be survived",
    settings=Settings,
    measured=nothing_measured,
)
