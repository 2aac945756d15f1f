"""A boot: which stages each kind of start goes through, and what Linux does when the root file system is not there.

Follows init/do_mounts.c, init/main.c, kernel/exit.c, systemd (DefaultDeviceTimeoutSec) and dracut.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from ksim.linux.vocabulary import Release
from ksim.source import Source

Start = Literal["firmware", "kexec", "crash_kexec", "soft_reboot"]
Stage = Literal["firmware", "loader", "kernel", "initrd", "root", "userspace"]
STAGES: tuple[Stage, ...] = ("firmware", "loader", "kernel", "initrd", "root", "userspace")
PASSES: Mapping[Start, tuple[Stage, ...]] = {
    "firmware": STAGES,
    "kexec": ("kernel", "initrd", "root", "userspace"),
    "crash_kexec": ("kernel", "initrd", "root", "userspace"),
    "soft_reboot": ("userspace",),
}
"""Stages by the kind of start: a reset, a planned kexec, a jump of the panicking kernel, systemctl soft-reboot."""
DEVICE_TIMEOUT_S = 90.0
"""DefaultDeviceTimeoutSec of systemd-system.conf(5)."""
NAMES_DEVICE_SINCE: Release = (6, 12)

_MOUNTS = Source("Linux", "init/do_mounts.c, mount_root_generic()")
_INIT = Source("Linux", "init/main.c, kernel_init()")


@dataclass(frozen=True, slots=True)
class RootOutcome:
    """What becomes of a boot at the root file system.

    ``end``: it mounts; it panics with ``message`` after the lines ``prints``; an emergency shell opens after
    ``wait_s`` and waits for ever; or the kernel waits for ever. ``rule`` is the stable name of the reason.
    """

    end: Literal["mounted", "panic", "shell", "waits"]
    rule: str
    wait_s: float
    message: str
    prints: tuple[str, ...]
    source: Source

    @property
    def panics(self) -> bool:
        return self.end == "panic"


def root_mount(
    *,
    initramfs: Literal["dracut", "none"],
    found: bool,
    mountable: bool = True,
    rootwait: str | None = "",
    device: str = "/dev/sda1",
    release: Release = (6, 12),
) -> RootOutcome:
    """What happens when the kernel or the initramfs looks for the root file system.

    ``found``: the device is there; ``mountable``: a file system on it can be mounted. ``rootwait`` is the value of
    that boot parameter: None (the word alone) waits for ever, a number of seconds so long, an empty text says that
    the parameter is not there. It is the kernel's own wait: an initramfs has its own.
    """
    if found and mountable:
        return RootOutcome("mounted", "mounted", 0.0, "", (), _MOUNTS)
    if initramfs == "dracut":
        source = Source("systemd-system.conf(5), dracut(8)", "DefaultDeviceTimeoutSec, emergency shell")
        return RootOutcome("shell", "emergency_shell", 0.0 if found else DEVICE_TIMEOUT_S, "", (), source)
    wait_s = 0.0
    if not found and rootwait != "":
        if rootwait is None or not rootwait.isdigit():
            return RootOutcome("waits", "rootwait", 0.0, "", (), _MOUNTS)
        wait_s = float(rootwait)
    block = "unknown-block(8,1)" if found else "unknown-block(0,0)"
    error = -22 if found else -6
    named = f'"{device}" or {block}' if release >= NAMES_DEVICE_SINCE and found else f"on {block}"
    message = f"VFS: Unable to mount root fs {named if named.startswith('on') else 'on ' + named}"
    prints = (
        f'VFS: Cannot open root device "{device}" or {block}: error {error}',
        'Please append a correct "root=" boot option; here are the available partitions:',
    )
    return RootOutcome("panic", "no_root", wait_s, message, prints, _MOUNTS)


def init_start(
    *, requested: str = "", runs: bool, any_init: bool = True, exit_status: int | None = None
) -> RootOutcome:
    """What happens when the kernel starts the first program.

    ``requested``: the value of ``init=``; ``runs``: it can be executed; ``any_init``: one of /sbin/init, /etc/init,
    /bin/init, /bin/sh can. ``exit_status``: wait status of an initramfs /init that exits.
    """
    if exit_status is not None:
        message = f"Attempted to kill init! exitcode=0x{exit_status:08x}"
        return RootOutcome("panic", "init_exits", 0.0, message, (), Source("Linux", "kernel/exit.c, do_exit()"))
    if requested and not runs:
        return RootOutcome("panic", "requested_init", 0.0, f"Requested init {requested} failed (error -2).", (), _INIT)
    if not requested and not any_init:
        message = (
            "No working init found.  Try passing init= option to kernel. See Linux "
            "Documentation/admin-guide/init.rst for guidance."
        )
        return RootOutcome("panic", "no_init", 0.0, message, (), _INIT)
    return RootOutcome("mounted", "init_runs", 0.0, "", (), _INIT)


def crash_kernel_armed(stage: Stage, *, kdump_started: bool = False, early_kdump: bool = False) -> bool:
    """Whether a panic in this stage of the boot finds a crash kernel.

    kdump.service loads it late in user space; early kdump (``rd.earlykdump``) does in the initramfs, so that it is
    there from then on. A crash before the initramfs is never captured.
    """
    if stage in ("firmware", "loader", "kernel"):
        return False
    if early_kdump:
        return stage != "initrd"
    return stage == "userspace" and kdump_started


def check_after_crash(*, journalled: bool, errors_flagged: bool) -> Literal["journal_replay", "fsck"]:
    """What a file system that was not unmounted needs at the next mount: a full check only where errors are flagged."""
    if errors_flagged:
        return "fsck"
    return "journal_replay" if journalled else "fsck"
