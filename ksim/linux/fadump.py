"""Firmware-assisted dump: POWER alone has it. The firmware resets the machine and keeps its memory.

Follows arch/powerpc/kernel/fadump.c and fadump-howto.txt of kdump-utils.
"""

from __future__ import annotations

from dataclasses import dataclass

from ksim.linux.boot import Stage
from ksim.linux.cmdline import boot_parameters
from ksim.source import Source

SOURCE = Source("Linux", "arch/powerpc/kernel/fadump.c; kdump-utils fadump-howto.txt")
POWER = ("ppc64", "ppc64le")


@dataclass(frozen=True, slots=True)
class Fadump:
    """Whether it is on, whether its memory can serve user space meanwhile (CMA), and what to tell the user."""

    is_on: bool
    uses_cma: bool
    warning: str


def fadump(cmdline: str, architecture: str = "x86_64") -> Fadump:
    """What ``fadump=on|nocma|off`` does on this architecture; elsewhere than on POWER the kernel ignores it.

    As early_fadump_param(): the beginning of the value counts, a later one wins, ``nocma`` stays for good.
    """
    is_on, uses_cma, unknown = False, True, ""
    for value in (value or "" for name, value in boot_parameters(cmdline) if name == "fadump"):
        if value.startswith("on"):
            is_on = True
        elif value.startswith("off"):
            is_on = False
        elif value.startswith("nocma"):
            is_on, uses_cma = True, False
        else:
            unknown = f"fadump={value} is ignored: the kernel knows on, nocma and off"
    if architecture in POWER:
        return Fadump(is_on, is_on and uses_cma, unknown)
    warning = f"fadump= is ignored on {architecture}: only POWER firmware can do it" if is_on else ""
    return Fadump(False, False, warning)


def stages(*, continues_booting: bool = False) -> tuple[str, ...]:
    """The way of a POWER machine from the panic to the service.

    The firmware resets it and keeps its memory, the default kernel boots, the dump is saved; then it reboots, or
    goes on booting where the distribution can (``continues_booting``, an option of SUSE's).
    """
    boot: tuple[Stage, ...] = ("firmware", "loader", "kernel", "initrd", "root")
    again = () if continues_booting else boot
    return (*boot, "dump", *again, "userspace")
