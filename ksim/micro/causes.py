"""The seven classical causes of a kernel's end, as faults that can be asked for by name.

Most of them are one event of ``ksim.linux.events`` at one strike point; what becomes of it, ``ksim.linux`` alone
decides. The rest make a device, a program or a lock misbehave, and the kernel has to find out by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from ksim.errors import ScenarioError, nearest
from ksim.linux.events import EVENTS
from ksim.micro.strike import POINTS, point_named

SLEEPS = ("hung_task", "silent_hang")
"""Faults that are a sleep without an end."""
CAUSES: Mapping[str, str] = {
    "memory_access": "improper memory access",
    "bad_ram": "bad RAM",
    "cpu": "defect of a CPU",
    "corruption": "corrupted file system or data",
    "disk": "damaged disk or its path",
    "conflict": "conflict between programs",
    "software": "malicious or buggy software",
}
Kind = Literal["event", "disk", "nic", "program", "lock"]


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault.

    ``event``: of ``ksim.linux.events``, for the kind "event"; ``point``: where it strikes if nobody says, and ``nth``
    at which pass (0: the point's own). ``slot``: for the others the trigger of the device that it takes the place of.
    """

    name: str
    cause: str
    what: str
    kind: Kind = "event"
    event: str = ""
    point: str = ""
    slot: str = ""
    nth: int = 0

    def place(self, point: str) -> str:
        """What only one fault at a time can have."""
        return f"{self.kind} {self.slot or point}"


_AT: Mapping[str, tuple[str, str]] = {
    "null_deref": ("memory_access", "vfs_read"),
    "page_fault": ("memory_access", "vfs_write"),
    "gpf": ("memory_access", "submit_bio"),
    "stack_guard": ("memory_access", "vfs_write"),
    "double_fault": ("memory_access", "vfs_write"),
    "stack_protector": ("memory_access", "dev_queue_xmit"),
    "stack_end": ("memory_access", "do_syscall_64"),
    "copy_fault": ("memory_access", "vfs_write"),
    "mce_user": ("bad_ram", "do_syscall_64"),
    "mce_copy": ("bad_ram", "vfs_write"),
    "poison_clean": ("bad_ram", "vfs_read"),
    "poison_user": ("bad_ram", "do_syscall_64"),
    "poison_kernel": ("bad_ram", "submit_bio"),
    "mce_corrected": ("bad_ram", "do_syscall_64"),
    "mce_fatal": ("cpu", "do_syscall_64"),
    "mce_timeout": ("cpu", "do_idle"),
    "divide_error": ("cpu", "napi_poll"),
    "hard_lockup": ("cpu", "submit_bio"),
    "all_cpus_hang": ("cpu", "blk_mq_complete_request"),
    "ghes_fatal": ("cpu", "do_idle"),
    "unknown_nmi": ("cpu", "do_idle"),
    "serr_nmi": ("cpu", "do_idle"),
    "iock_nmi": ("cpu", "do_idle"),
    "list_corruption": ("corruption", "blk_mq_complete_request"),
    "ext4_error": ("corruption", "vfs_write"),
    "xfs_shutdown": ("corruption", "vfs_write"),
    "xfs_metadata_write": ("corruption", "jbd2_journal_commit_transaction"),
    "bug": ("software", "jbd2_journal_commit_transaction"),
    "warn": ("software", "napi_poll"),
    "scheduling_while_atomic": ("software", "dev_queue_xmit"),
    "ubsan": ("software", "vfs_read"),
    "kasan": ("software", "vfs_write"),
    "sysrq_c": ("software", "do_syscall_64"),
    "user_fault": ("software", "do_syscall_64"),
    "init_exit": ("software", "pid1"),
    "soft_lockup": ("conflict", "vfs_read"),
    "hung_task": ("conflict", "vfs_write"),
    "rcu_stall": ("conflict", "vfs_read"),
    "workqueue_lockup": ("conflict", "worker_thread"),
    "silent_hang": ("conflict", "pid1"),
}
_IRQ = "blk_mq_complete_request"
_OWN = (
    Fault("disk_lost", "disk", "a command of the disk that is never answered", "disk", "", "submit_bio", "lost"),
    Fault("disk_dies", "disk", "a command without an answer, and neither an abort nor a reset helps", "disk", "",
          "submit_bio", "lost"),
    Fault("bad_sector", "disk", "a read that ends with EIO", "disk", "", _IRQ, "medium"),
    Fault("write_error", "disk", "a write that ends with EIO", "disk", "", _IRQ, "write_error", 10),
    Fault("flush_error", "disk", "a cache flush that ends with EIO", "disk", "", _IRQ, "flush_error", 2),
    Fault("packet_lost", "disk", "a received packet that gets lost", "nic", "", "napi_poll", "drop"),
    Fault("link_flap", "disk", "the network card loses its carrier for a while", "nic", "", "napi_poll", "flap"),
    Fault("nic_hang", "disk", "the network card stops sending", "nic", "", "dev_queue_xmit", "hang"),
    Fault("lock_inversion", "conflict", "two directories are locked in the wrong order", "lock", "", "vfs_rename"),
    Fault("memory_leak", "software", "a program that takes memory as fast as it can", "program", "", "do_syscall_64",
          "", 1),
)  # fmt: skip
FAULTS: Mapping[str, Fault] = {
    **{name: Fault(name, cause, EVENTS[name].what, event=name, point=at) for name, (cause, at) in _AT.items()},
    **{fault.name: fault for fault in _OWN},
}


@dataclass(frozen=True, slots=True)
class Asked:
    """A fault as somebody asks for it: at which point, and at which pass."""

    fault: Fault
    point: str
    nth: int


def parse_fault(text: str) -> Asked:
    """``NAME``, ``NAME@POINT``, ``NAME:N`` or ``NAME@POINT:N``: the N-th time that the kernel comes by there (by
    default the point's own ``nth``).

    Raises ScenarioError for an unknown fault or point, a pass that is no number from 1, and a sleep where nobody can.
    """
    head, colon, number = text.partition(":")
    name, at, point = head.partition("@")
    name = name.strip().replace("-", "_")
    if name not in FAULTS:
        raise ScenarioError(f"unknown fault '{name[:60]}'{nearest(name[:60], FAULTS)} (known: {', '.join(FAULTS)})")
    fault = FAULTS[name]
    if at and fault.kind != "event":
        raise ScenarioError(f"fault {name} strikes at {fault.point} and nowhere else")
    found = point_named(point.strip()).name if at else fault.point
    if fault.name in SLEEPS and not POINTS[found].may_sleep:
        raise ScenarioError(f"fault {name}: nobody can sleep in {found}; the kernel calls that scheduling_while_atomic")
    if colon and not (number.strip().isascii() and number.strip().isdigit() and 1 <= int(number[:20]) <= 10**12):
        raise ScenarioError(f"fault {name}: expected a pass from 1 to 1000000000000 behind ':', got '{number[:40]}'")
    return Asked(fault, found, int(number) if colon else fault.nth or point_named(found).nth)
