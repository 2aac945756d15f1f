"""How long a task runs before the next one, and how CPU time is shared: CFS before 6.6, EEVDF since.

Nanoseconds. Follows kernel/sched/fair.c (get_update_sysctl_factor), kernel/sched/core.c (sched_prio_to_weight) and
kernel/sched/rt.c.
"""

from __future__ import annotations

from ksim.errors import LinuxError
from ksim.linux.vocabulary import Release
from ksim.source import Param, Source, assumed

EEVDF_SINCE: Release = (6, 6)
SHORTER_SLICE_SINCE: Release = (6, 12)
"""Commit 2ae891b82695 of 6.15, ported back to the 6.12 long-term release."""

_FAIR = "kernel/sched/fair.c"
CFS_MIN_GRANULARITY = Param(
    750_000, "ns", "750 us", "3 ms", Source("Linux 6.1", f"{_FAIR}, sysctl_sched_min_granularity"), "for one CPU"
)
CFS_LATENCY = Param(
    6_000_000, "ns", "6 ms", "24 ms", Source("Linux 6.1", f"{_FAIR}, sysctl_sched_latency"), "for one CPU"
)
EEVDF_BASE_SLICE = Param(
    700_000, "ns", "700 us", "3 ms", Source("Linux 6.12.117", f"{_FAIR}, sysctl_sched_base_slice"), "for one CPU"
)
EEVDF_FIRST_BASE_SLICE = Param(
    750_000, "ns", "700 us", "3 ms", Source("Linux 6.6", f"{_FAIR}; commit 2ae891b82695 names it"), "for one CPU"
)
RT_PERIOD = Param(
    1_000_000_000, "ns", "1 s", "1 s", Source("Linux", "kernel/sched/rt.c, sysctl_sched_rt_period"), "throttling"
)
RT_RUNTIME = Param(
    950_000_000, "ns", "0.95 s", "1 s", Source("Linux", "kernel/sched/rt.c, sysctl_sched_rt_runtime"),
    "that SCHED_FIFO and SCHED_RR may use of a period",
)  # fmt: skip
HZ = Param(250, "1/s", "100 /s", "1000 /s", Source("Linux", "kernel/Kconfig.hz"), "timer ticks; RHEL, Fedora: 1000")
SYSCALL = Param(200, "ns", "100 ns", "500 ns", assumed("entry and exit with mitigations, any x86-64 server"), "empty")
CONTEXT_SWITCH = Param(
    2_000, "ns", "1 us", "3 us", assumed("with mitigations and cold caches, any x86-64 server"), "between processes"
)

NICE_MIN, NICE_MAX = -20, 19
WEIGHTS: tuple[int, ...] = (
    88761, 71755, 56483, 46273, 36291,
    29154, 23254, 18705, 14949, 11916,
    9548, 7620, 6100, 4904, 3906,
    3121, 2501, 1991, 1586, 1277,
    1024, 820, 655, 526, 423,
    335, 272, 215, 172, 137,
    110, 87, 70, 56, 45,
    36, 29, 23, 18, 15,
)  # fmt: skip
"""By nice value, -20 first (kernel/sched/core.c, sched_prio_to_weight): one step is 10 % of CPU time for two tasks."""


def weight(nice: int) -> int:
    """The share of a task, 1024 at nice 0. Raises LinuxError outside -20 to 19."""
    if not NICE_MIN <= nice <= NICE_MAX:
        raise LinuxError(f"a nice value is {NICE_MIN} to {NICE_MAX}, not {nice}")
    return WEIGHTS[nice - NICE_MIN]


def base_slice_ns(cpus: int, release: Release) -> int:
    """What a task may run before another one that waits: base slice of EEVDF, minimal granularity of CFS.

    Grows with the logarithm of the CPUs up to 8. A task alone on its CPU runs on; and without high-resolution
    preemption the next tick (``HZ``) ends a slice. Raises LinuxError for less than one CPU.
    """
    if release < EEVDF_SINCE:
        slice_ns: int = CFS_MIN_GRANULARITY.value
    elif release < SHORTER_SLICE_SINCE:
        slice_ns = EEVDF_FIRST_BASE_SLICE.value
    else:
        slice_ns = EEVDF_BASE_SLICE.value
    return slice_ns * _factor(cpus)


def sched_latency_ns(cpus: int, release: Release) -> int:
    """The period in which CFS runs every task once, for up to 8 tasks. Raises LinuxError since 6.6: EEVDF has none."""
    if release >= EEVDF_SINCE:
        raise LinuxError(
            f"Linux {release[0]}.{release[1]} has no scheduling latency: EEVDF (6.6) knows only a base slice"
        )
    latency_ns: int = CFS_LATENCY.value
    return latency_ns * _factor(cpus)


def _factor(cpus: int) -> int:
    if cpus < 1:
        raise LinuxError(f"a machine has at least 1 CPU, not {cpus}")
    return min(cpus, 8).bit_length()  # 1 + ilog2
