"""Hardware watchdogs: who feeds them, when a silent host is reset, and what that does to a dump.

A watchdog turns every silent hang into a reset after its timeout; it leaves no log and no dump, and a kernel that
still feeds it is never reset however dead its service is. Follows drivers/watchdog (iTCO_wdt.c, softdog.c,
hpwdt.c, watchdog_dev.c), drivers/char/ipmi/ipmi_watchdog.c and systemd-system.conf(5).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from ksim.source import Source

WatchdogDriver = Literal["iTCO_wdt", "ipmi_watchdog", "softdog", "hpwdt"]


@dataclass(frozen=True, slots=True)
class Driver:
    """One driver. ``timeout_s``: its own default. ``panic_s``: what its panic notifier sets a running timer to (once),
    or None. ``fires_in_hard_hang``: False for one that is software itself. ``pretimeout``: what an NMI before the
    reset does. ``stops_for_kdump``: its own panic stops the timer, so that a dump has all the time it needs.
    """

    name: WatchdogDriver
    timeout_s: float
    panic_s: float | None
    fires_in_hard_hang: bool
    pretimeout: Literal["none", "panic"]
    stops_for_kdump: bool
    source: Source


DRIVERS: Mapping[WatchdogDriver, Driver] = {
    "iTCO_wdt": Driver("iTCO_wdt", 30.0, None, True, "none", False, Source("Linux", "drivers/watchdog/iTCO_wdt.c")),
    "ipmi_watchdog": Driver(
        "ipmi_watchdog", 10.0, 255.0, True, "none", False, Source("Linux", "drivers/char/ipmi/ipmi_watchdog.c")
    ),
    "softdog": Driver("softdog", 60.0, None, False, "none", False, Source("Linux", "drivers/watchdog/softdog.c")),
    "hpwdt": Driver("hpwdt", 30.0, None, True, "panic", True, Source("Linux", "drivers/watchdog/hpwdt.c")),
}
REBOOT_WATCHDOG_S = 600.0
"""RebootWatchdogSec of systemd: the safety net of the last phase of a shutdown; KExecWatchdogSec is off."""


def after_panic_s(driver: WatchdogDriver, timeout_s: float, *, notifiers_ran: bool = True) -> float | None:
    """Seconds from a panic to the reset by a watchdog that was fed just before; None: it never fires.

    ``notifiers_ran``: panic() got as far as its notifiers. Where the crash kernel is entered first they do not run,
    and an IPMI watchdog keeps its old timeout. A softdog is a timer of the kernel itself, which panic() stops.
    """
    found = DRIVERS[driver]
    if not found.fires_in_hard_hang:
        return None
    if found.panic_s is not None and notifiers_ran:
        return found.panic_s
    return timeout_s


def in_hang_s(driver: WatchdogDriver, timeout_s: float) -> float | None:
    """Seconds from a hang of the whole kernel to the reset; None: a softdog, which hangs with it."""
    return timeout_s if DRIVERS[driver].fires_in_hard_hang else None


def pretimeout_panics(driver: WatchdogDriver, pre_governor: Literal["noop", "panic"] = "noop") -> bool:
    """Whether a warning of the timer panics the kernel before the reset: then a crash kernel can still dump.

    hpwdt does by itself; others with RuntimeWatchdogPreGovernor=panic of systemd.
    """
    return DRIVERS[driver].pretimeout == "panic" or pre_governor == "panic"


@dataclass(frozen=True, slots=True)
class Feeding:
    """Who feeds the watchdog: ``every_s`` (systemd pings at half of RuntimeWatchdogSec), or nobody."""

    is_armed: bool
    every_s: float
    source: Source


def fed_by_systemd(runtime_watchdog_s: float) -> Feeding:
    """RuntimeWatchdogSec: 0, the default, leaves the watchdog alone."""
    source = Source("systemd-system.conf(5)", "RuntimeWatchdogSec=")
    return Feeding(runtime_watchdog_s > 0.0, runtime_watchdog_s / 2.0, source)


def left_for_dump_s(
    driver: WatchdogDriver, timeout_s: float, *, capture_feeds: bool, panic_by_driver: bool = False
) -> float | None:
    """How long a capture kernel has before the watchdog resets the machine; None: as long as it likes.

    ``capture_feeds``: its initramfs has the driver and feeds it, as RHEL's does when one is in use.
    ``panic_by_driver``: the panic came from the driver's own pretimeout; hpwdt then stops its timer.
    """
    found = DRIVERS[driver]
    if capture_feeds or not found.fires_in_hard_hang or (found.stops_for_kdump and panic_by_driver):
        return None
    return timeout_s
