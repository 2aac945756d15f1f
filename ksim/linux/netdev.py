"""Network cards that stop sending: the TX watchdog by driver, and the sizes of queues and polls.

A TX queue that is stopped, with its carrier up and nothing sent for the driver's timeout, is reported; then the driver
resets the card. No panic and, in today's releases, no taint: see ``watchdog_warns``. Seconds. Follows
net/sched/sch_generic.c (dev_watchdog), net/core/dev.c and the drivers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ksim.errors import LinuxError, nearest
from ksim.linux.vocabulary import Release
from ksim.source import Param, Source, assumed

WATCHDOG_CRIT_SINCE: Release = (6, 8)
"""Since then a line at level crit in place of WARN_ONCE; the long-term releases have it from 6.1.107 and 6.6.47 on."""
WATCHDOG_MS_SINCE: Release = (6, 4)
_CRIT_BY_BACKPORT: frozenset[Release] = frozenset({(6, 1), (6, 6)})

WATCHDOG_TIMEO_S = Param(
    5.0, "s", "5 s", "15 s", Source("Linux", "net/sched/sch_generic.c, netdev_watchdog_up()"), "for drivers without own"
)
NAPI_WEIGHT = Param(
    64, "packets", "64", "64", Source("Linux", "include/linux/netdevice.h, NAPI_POLL_WEIGHT"), "of one poll of a queue"
)
NETDEV_BUDGET = Param(
    300, "packets", "64", "1200", Source("Linux", "net/core/dev.c, netdev_budget"), "of one NET_RX softirq"
)
NETDEV_BUDGET_USECS = Param(
    2000, "us", "2 ms", "20 ms", Source("Linux", "net/core/dev.c, netdev_budget_usecs"),
    "of one NET_RX softirq: 2 ticks, here at HZ 1000; 8000 at HZ 250",
)  # fmt: skip
RESET_S = Param(
    4.0,
    "s",
    "1 s",
    "10 s",
    assumed("link down to link up after an adapter reset, autonegotiation included"),
    "link down",
)


@dataclass(frozen=True, slots=True)
class Driver:
    """One network driver: ``watchdog_timeo_s`` and the descriptors of one ring, as ethtool -g shows them at first.

    ``resets``: whether its ndo_tx_timeout resets the card; virtio_net only reports.
    """

    watchdog_timeo_s: float
    rx_ring: int
    tx_ring: int
    source: Source
    resets: bool = True


_INTEL, _BROADCOM = "drivers/net/ethernet/intel", "drivers/net/ethernet/broadcom"
_MLX5 = "drivers/net/ethernet/mellanox/mlx5/core"
DRIVERS: Mapping[str, Driver] = {
    "e1000e": Driver(5.0, 256, 256, Source("Linux", f"{_INTEL}/e1000e/e1000.h, netdev.c")),
    "igb": Driver(5.0, 256, 256, Source("Linux", f"{_INTEL}/igb/igb.h, igb_main.c")),
    "ixgbe": Driver(5.0, 512, 512, Source("Linux", f"{_INTEL}/ixgbe/ixgbe.h, ixgbe_main.c")),
    "tg3": Driver(5.0, 200, 511, Source("Linux", f"{_BROADCOM}/tg3.c, TG3_TX_TIMEOUT, TG3_DEF_RX_RING_PENDING")),
    "bnx2": Driver(5.0, 255, 255, Source("Linux", f"{_BROADCOM}/bnx2.c, TX_TIMEOUT, bnx2_init_board()")),
    "mlx5_core": Driver(15.0, 1024, 1024, Source("Linux", f"{_MLX5}/en.h, MLX5E_PARAMS_DEFAULT_LOG_SQ_SIZE")),
    "virtio_net": Driver(
        WATCHDOG_TIMEO_S.value, 256, 256,
        Source("Linux", "drivers/net/virtio_net.c, virtnet_tx_timeout(); QEMU's default queue sizes"), resets=False,
    ),
}  # fmt: skip


def driver(name: str) -> Driver:
    """A driver by its module's name. Raises LinuxError, with the nearest name, for one that the table lacks."""
    found = DRIVERS.get(name)
    if found is None:
        raise LinuxError(f"unknown network driver '{name[:40]}'{nearest(name, DRIVERS)} (known: {', '.join(DRIVERS)})")
    return found


def watchdog_timeo_s(name: str) -> float:
    """Seconds that a stopped TX queue may stay silent under the driver ``name``. Raises LinuxError."""
    return driver(name).watchdog_timeo_s


def watchdog_warns(release: Release) -> bool:
    """Whether the report is a WARN_ONCE: taint W, and a panic under kernel.panic_on_warn."""
    return release < WATCHDOG_CRIT_SINCE and release not in _CRIT_BY_BACKPORT
