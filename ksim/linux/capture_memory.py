"""How much memory the capture kernel needs, and what it does with less.

Follows kdumpctl of kdump-utils (do_estimate) and kdump-config of Debian's kdump-tools 1.10 (the estimate). Sizes in
bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ksim.source import Param, Source
from ksim.units import size_bytes

MIB = 1 << 20
GIB = 1 << 30
_ESTIMATE = Source("rhkdump/kdump-utils kdumpctl, do_estimate()")
INITRAMFS_FACTOR = 3
"""The archive, its unpacked copy, and room to work in."""
LUKS_EXTRA = 20 * MIB
NETWORK = Param(
    "23 MiB", "B", "0 B", "64 MiB",
    Source("rhkdump/kdump-utils pull request 74", "a dump over NFS needs 238 MiB where a local one does with 215"),
    "network drivers, addresses and the mount of a network target",
)  # fmt: skip
_PER_CPU_KIB = ((2, 32, 5000), (33, 64, 3500), (65, 10**9, 2500))
"""(first CPU, last CPU, KiB each), as kdump-config of Debian's kdump-tools 1.10.9 estimates."""


def need_bytes(
    *,
    kernel_bytes: int,
    modules_bytes: int,
    initramfs_bytes: int,
    runtime_bytes: int,
    luks_bytes: int = 0,
    network: bool = False,
    nr_cpus: int = 1,
) -> int:
    """kdumpctl estimate: kernel image, modules, three times the initramfs, what runs, LUKS keys.

    ``network`` adds what a network target took more in tests; each CPU beyond the first adds Debian's estimate of
    per-CPU memory, which kdumpctl leaves out.
    """
    luks = luks_bytes + LUKS_EXTRA if luks_bytes else 0
    total = kernel_bytes + modules_bytes + INITRAMFS_FACTOR * initramfs_bytes + runtime_bytes + luks
    return total + (size_bytes(NETWORK.value) if network else 0) + per_cpu_bytes(nr_cpus)


def per_cpu_bytes(nr_cpus: int) -> int:
    """Memory of the CPUs beyond the first: 5000, 3500 and 2500 KiB each up to 32, up to 64, and beyond."""
    return sum(1024 * kib * max(0, min(nr_cpus, last) - first + 1) for first, last, kib in _PER_CPU_KIB)


def debian_need_bytes(*, vmlinuz_bytes: int, initramfs_bytes: int, ram_bytes: int, nr_cpus: int = 1) -> int:
    """Debian's estimate: the kernel unpacked to six times its file, the initramfs, CPUs, and the memory map.

    6000 KiB for each of the first 32 GiB of RAM, 600 KiB for each further one.
    """
    gib = -(-ram_bytes // GIB)
    memory_map = 1024 * (6000 * min(gib, 32) + 600 * max(0, gib - 32))
    return 6 * vmlinuz_bytes + initramfs_bytes + per_cpu_bytes(nr_cpus) + memory_map


def recommended_bytes(need: int, distro_default: int) -> int:
    """What kdumpctl recommends: never less than the distribution's default."""
    return max(need, distro_default)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a capture kernel does with its memory: ``fits``, or how its end shows and what follows.

    ``wait_s``: seconds until it resets itself; None where it hangs for ever.
    """

    fits: bool
    shows: tuple[str, ...]
    next: Literal["dump", "reset", "hang"]
    wait_s: float | None
    source: Source


_DEADLOCK = Source("Linux", "mm/oom_kill.c, out_of_memory(): nothing is left that may be killed")


def outcome(reserved_bytes: int, needed_bytes: float, panic_s: int) -> Outcome:
    """What happens in a capture kernel with this reservation, need, and ``panic=`` of its own."""
    if reserved_bytes >= needed_bytes:
        return Outcome(True, (), "dump", 0.0, _ESTIMATE)
    shows = (
        "page allocation failure",
        "Out of memory: Killed process",
        "Out of memory and no killable processes...",
        "Kernel panic - not syncing: System is deadlocked on memory",
    )
    if panic_s == 0:
        return Outcome(False, shows, "hang", None, _DEADLOCK)
    return Outcome(False, shows, "reset", float(max(0, panic_s)), _DEADLOCK)
