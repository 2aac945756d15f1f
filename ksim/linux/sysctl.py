"""The settings that decide what a failing kernel does, from a command line and from sysctl values.

Follows kernel/panic.c, kernel/exit.c, kernel/watchdog.c, kernel/hung_task.c, kernel/kexec_core.c (defaults
and ranges), fs/proc/proc_sysctl.c (``sysctl.*`` on the command line) and
Documentation/admin-guide/sysctl/kernel.rst.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from ksim.errors import LinuxError, nearest
from ksim.linux.cmdline import boot_parameters, leading_int

_INT_MAX = 2**31 - 1
_UINT_MAX = 2**32 - 1


@dataclass(frozen=True, slots=True)
class Settings:
    """Values of the sysctls ``kernel.*`` of the same names; the defaults are those of upstream Linux.

    Seconds: panic, watchdog_thresh, hung_task_timeout_secs. ``nmi_watchdog`` is the hard lockup detector and
    ``soft_watchdog`` the soft lockup detector, 1 for on.
    """

    panic: int = 0
    panic_on_oops: int = 0
    oops_limit: int = 10000
    softlockup_panic: int = 0
    hardlockup_panic: int = 0
    hung_task_panic: int = 0
    watchdog_thresh: int = 10
    hung_task_timeout_secs: int = 120
    nmi_watchdog: int = 1
    soft_watchdog: int = 1
    kexec_load_disabled: int = 0

    @property
    def crash_kernel_loadable(self) -> bool:
        """Whether ``kexec -p`` works: kexec_load_disabled=1 also locks the crash kernel out
        (kexec_core.c)."""
        return self.kexec_load_disabled == 0


# What proc_dointvec_minmax() and its kin accept (``ranges`` says what differs by release). hung_task_panic takes
# counts above 1 since 6.19; refused here as long as that meaning is not modelled.
RANGES = {
    "panic": (-_INT_MAX - 1, _INT_MAX),
    "panic_on_oops": (-_INT_MAX - 1, _INT_MAX),
    "oops_limit": (0, _UINT_MAX),
    "softlockup_panic": (0, 1),
    "hardlockup_panic": (0, 1),
    "hung_task_panic": (0, 1),
    "watchdog_thresh": (0, 60),
    "hung_task_timeout_secs": (0, _INT_MAX),
    "nmi_watchdog": (0, 1),
    "soft_watchdog": (0, 1),
    "kexec_load_disabled": (0, 1),
    "watchdog": (0, 1),
}


OOPS_LIMIT_SINCE = (6, 1)
"""kernel.oops_limit came with 6.2 and was ported back to the 6.1 long-term release."""
SOFTLOCKUP_COUNT_SINCE = (7, 0)
"""Since then softlockup_panic=N panics once a CPU is stuck for N thresholds."""


def parse_release(text: str) -> tuple[int, int]:
    """Major and minor number of "6.12" or "5.14.0-427.el9.x86_64". Raises LinuxError."""
    match = re.match(r"(\d{1,3})\.(\d{1,3})(?![0-9])", text)
    if match is None:
        raise LinuxError(f"not a kernel release: '{text[:60]}' (write for example '6.12')")
    return int(match[1]), int(match[2])


def ranges(release: tuple[int, int]) -> dict[str, tuple[int, int]]:
    """What each sysctl accepts in a release; a sysctl that it does not have is missing."""
    found = dict(RANGES)
    if release >= SOFTLOCKUP_COUNT_SINCE:
        found["softlockup_panic"] = (0, _INT_MAX)
    if release < OOPS_LIMIT_SINCE:
        del found["oops_limit"]
    return found


def settings(cmdline: str, sysctl: Mapping[str, int | str], release: tuple[int, int] = (6, 12)) -> Settings:
    """The settings of a kernel booted with ``cmdline`` once systemd-sysctl has written ``sysctl``.

    Three steps, a later one wins: boot parameters (``panic=``, ``oops=panic``, ``softlockup_panic=``,
    ``nmi_watchdog=[panic,|nopanic,]0|1``, ``nowatchdog``, ``nosoftlockup``, ``watchdog_thresh=``); then
    ``sysctl.kernel.X=`` and ``hung_task_panic=`` of the same command line, which Linux applies when it starts
    init; then ``sysctl`` in its order. ``nowatchdog`` (and ``kernel.watchdog=0``) is a master switch: the
    single detectors cannot be switched on past it.

    On the command line, unknown parameters are fine and values that Linux refuses change nothing. Two quirks
    of Linux are kept: ``watchdog_thresh=junk`` sets 0 and so switches the detectors off, and
    softlockup_panic= reads junk as 0 and any other number as yes.

    Raises LinuxError for an unknown key in ``sysctl`` and for a value that is no integer in Linux's range.
    """
    known = ranges(release)
    values = {"watchdog": 1}
    if "oops_limit" not in known:
        values["oops_limit"] = 0
    parameters = boot_parameters(cmdline)
    for name, value in parameters:
        values.update(_boot(name.replace("-", "_"), value, known))
    for name, value in parameters:
        values.update(_boot_sysctl(name, value, known))
    for key, raw in sysctl.items():
        field = key.replace("/", ".").removeprefix("kernel.")
        if not key.startswith(("kernel.", "kernel/")) or field not in known:
            names = [f"kernel.{name}" for name in known]
            hint = nearest(key.replace("/", "."), names)
            raise LinuxError(f"unknown sysctl '{key}' in Linux {release[0]}.{release[1]}{hint}")
        values[field] = _checked(key, known[field], raw)
    if not values.pop("watchdog"):
        values.update(nmi_watchdog=0, soft_watchdog=0)
    return replace(Settings(), **values)


def _boot(name: str, value: str | None, known: Mapping[str, tuple[int, int]]) -> dict[str, int]:
    """What one boot parameter sets, before init runs. Handlers in the order of the kernel files above."""
    if name == "panic":
        number = _int(value)
        return {} if number is None or not _in_range(known["panic"], number) else {"panic": number}
    if name == "oops":
        return {"panic_on_oops": 1} if value == "panic" else {}
    if name == "softlockup_panic":  # simple_strtoul: no complaint, no range
        return {} if value is None else {"softlockup_panic": min(leading_int(value)[0], known["softlockup_panic"][1])}
    if name == "nowatchdog":
        return {"watchdog": 0}
    if name == "nosoftlockup":
        return {"soft_watchdog": 0}
    if name == "watchdog_thresh" and value:  # get_option: stores 0 even where it finds no number
        number, end = leading_int(value.removeprefix("-"))
        is_negative = value.startswith("-") and end > 0 and number > 0
        return {} if is_negative or number > _INT_MAX else {"watchdog_thresh": number}
    if name == "nmi_watchdog":
        return _nmi_watchdog(value or "")
    return {}


def _nmi_watchdog(value: str) -> dict[str, int]:
    """hardlockup_panic_setup() since 6.9: a list, every item looked at by its first letters."""
    values: dict[str, int] = {}
    for item in value.split(","):
        if item.startswith("panic"):
            values["hardlockup_panic"] = 1
        elif item.startswith("nopanic"):
            values["hardlockup_panic"] = 0
        elif item.startswith(("0", "1")):
            values["nmi_watchdog"] = int(item[0])
    return values


def _boot_sysctl(name: str, value: str | None, known: Mapping[str, tuple[int, int]]) -> dict[str, int]:
    """process_sysctl_arg(): ``sysctl.kernel.X=N`` is written as by sysctl(8), with the same ranges."""
    path = "sysctl.kernel.hung_task_panic" if name == "hung_task_panic" else name.replace("/", ".")
    field = path.removeprefix("sysctl.kernel.")
    number = _int(value)
    if path == field or field not in known or number is None or not _in_range(known[field], number):
        return {}
    return {field: number}


def _checked(key: str, limits: tuple[int, int], raw: int | str) -> int:
    number = _int(raw) if isinstance(raw, str) else raw
    # bool is an int to Python, but `true` is nothing that sysctl would write.
    if not isinstance(number, int) or isinstance(number, bool) or not _in_range(limits, number):
        raise LinuxError(f"{key} = {raw!r}: expected an integer from {limits[0]} to {limits[1]}")
    return number


def _in_range(limits: tuple[int, int], number: int) -> bool:
    return limits[0] <= number <= limits[1]


def _int(text: str | None) -> int | None:
    """An integer in base 0 with an optional minus, nothing behind it; None if it is not one."""
    digits = (text or "").strip()
    sign = -1 if digits.startswith("-") else 1
    digits = digits.removeprefix("-")
    number, end = leading_int(digits)
    return sign * number if digits and end == len(digits) else None
