"""What kdump does to the machine when the dump is written, and when it is not.

Follows kdump.sh (do_failure_action, do_final_action, dump_to_rootfs) and kdump.conf(5) of kdump-utils; kdump-config
of Debian's kdump-tools; dracut/kdump-save of openSUSE/kdump.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from ksim.source import Source


@dataclass(frozen=True, slots=True)
class Action:
    """What a failure_action or final_action does: ``ends`` says where the machine is after ``wait_s``.

    ``reset``: through the firmware. ``halted``: power on or off, until someone outside acts. ``shell``: waits for a
    human at the console, then final_action. ``dump``: a second dump, into the root file system, then final_action.
    """

    name: str
    ends: Literal["reset", "halted", "shell", "dump"]
    wait_s: float
    is_final: bool
    does: str
    source: Source


_KDUMP_SH = Source("rhkdump/kdump-utils", "kdump.sh and kdump.conf(5)")
ACTIONS: Mapping[str, Action] = {
    action.name: action
    for action in (
        Action("reboot", "reset", 0.0, True, "systemctl reboot -f: a reset through the firmware", _KDUMP_SH),
        Action("halt", "halted", 0.0, True, "stops, power on: down until a human or a BMC acts", _KDUMP_SH),
        Action("poweroff", "halted", 0.0, True, "powers off: down until somebody switches it on", _KDUMP_SH),
        Action("shell", "shell", 0.0, False, "a shell on the console waits for ever; then final_action", _KDUMP_SH),
        Action(
            "dump_to_rootfs", "dump", 90.0, False, "mounts the root file system and dumps there, then final_action",
            Source("rhkdump/kdump-utils", "kdump.sh, dump_to_rootfs(): waits up to 90 s for /sysroot"),
        ),
    )
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class FallBack:
    """What a distribution does when the dump fails: ``copies_all``: cp /proc/vmcore, the whole memory, is tried."""

    copies_all: bool
    deletes_below_bytes: int
    then: str
    source: Source


FALL_BACKS: Mapping[str, FallBack] = {
    "rhel": FallBack(False, 0, "failure_action", _KDUMP_SH),
    "debian": FallBack(True, 0, "KDUMP_FAIL_CMD, or reboot -f", Source("Debian kdump-tools", "kdump-config savecore")),
    "suse": FallBack(
        False, 64 << 20, "goes on (KDUMP_CONTINUE_ON_ERROR) and reboots (KDUMP_IMMEDIATE_REBOOT)",
        Source("openSUSE/kdump", "dracut/kdump-save, KDUMP_FREE_DISK_SIZE=64: a dump that leaves less is deleted"),
    ),
}  # fmt: skip
