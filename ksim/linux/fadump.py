"""Firmware-assisted dump: POWER alone has it. The firmware resets the machine and keeps its memory.

Follows arch/powerpc/kernel/fadump.c and fadump-howto.txt of kdump-utils.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ksim.linux.boot import Stage
from ksim.linux.cmdline import boot_parameters
from ksim.source import Source

SOURCE = Source("Linux", "arch/powerpc/kernel/fadump.c; kdump-utils fadump-howto.txt")


@dataclass(frozen=True, slots=True)
class Fadump:
    """Whether it is on, whether its memory can serve user space meanwhile (CMA), and what to tell the user."""

    is_on: bool
    uses_cma: bool
    warning: str


def fadump(cmdline: str, architecture: str = "x86_64") -> Fadump:
    """What ``fadump=on|nocma|off`` does on this architecture; elsewhere than on POWER the kernel ignores it."""
    value = dict(boot_parameters(cmdline)).get("fadump")
    if value not in ("on", "nocma"):
        return Fadump(False, False, "")
    if architecture not in ("ppc64", "ppc64le"):
        return Fadump(False, False, f"fadump={value} is ignored on {architecture}: only POWER firmware can do it")
    return Fadump(True, value == "on", "")


def stages(*, continues_booting: bool = False) -> tuple[str, ...]:
    """The way of a POWER machine from the panic to the service.

    The firmware resets it and keeps its memory, the default kernel boots, the dump is saved; then it reboots, or
    goes on booting where the distribution can (``continues_booting``, an option of SUSE's).
    """
    boot: tuple[Stage, ...] = ("firmware", "loader", "kernel", "initrd", "root")
    again: Mapping[bool, tuple[str, ...]] = {
        True: ("userspace",),
        False: ("firmware", "loader", "kernel", "initrd", "root", "userspace"),
    }
    return (*boot, "dump", *again[continues_booting])
